-- The freezes that operators ordered. One that is over stays: what fell due in it was held.
CREATE TABLE freeze (
    name       TEXT NOT NULL PRIMARY KEY,
    scope      TEXT NOT NULL,    -- a glob of target names
    begins_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,    -- by itself, or when it was cut short
    reason     TEXT NOT NULL,
    ordered_at INTEGER NOT NULL,
    caller     TEXT NOT NULL CHECK (json_valid(caller)),    -- by whose order
    ended      INTEGER NOT NULL CHECK (ended IN (0, 1)),    -- whether its end is on record
    seq        INTEGER NOT NULL REFERENCES ledger,
    CHECK (begins_at < ends_at)
) STRICT;
