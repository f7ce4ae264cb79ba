-- What operators order: rotations that are asked for, and pauses.

-- Who asked for the current slot to be answered now, when and why; empty: nobody did, or it has been.
ALTER TABLE target ADD COLUMN request TEXT CHECK (json_valid(request));

-- The pauses that stand. One row for each scope.
CREATE TABLE pause (
    scope  TEXT NOT NULL PRIMARY KEY,    -- a glob of target names
    since  INTEGER NOT NULL,
    until  INTEGER NOT NULL,    -- it ends by itself
    reason TEXT NOT NULL,
    caller TEXT NOT NULL CHECK (json_valid(caller)),    -- by whose order
    seq    INTEGER NOT NULL REFERENCES ledger
) STRICT;
