-- Who may come in: the API keys that the managers list, and our own.

-- The API keys that a list names.
CREATE TABLE api_key (
    manager      TEXT NOT NULL,
    id           TEXT NOT NULL,
    public_key   TEXT NOT NULL,
    description  TEXT NOT NULL,
    grants       TEXT NOT NULL CHECK (json_valid(grants)),    -- the roles, and where they hold
    lists        TEXT NOT NULL CHECK (json_valid(lists)),    -- which lists name it
    first_seen   INTEGER NOT NULL,
    empowered_at INTEGER,    -- when it was seen to have come to reach a rotation
    seq          INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (manager, id)
) STRICT;

-- The lists of API keys that were asked for.
CREATE TABLE api_key_list (
    manager      TEXT NOT NULL REFERENCES manager,
    list         TEXT NOT NULL CHECK (json_valid(list)),
    unread_since INTEGER,
    failure      TEXT CHECK (json_valid(failure)),
    seq          INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (manager, list),
    CHECK ((failure IS NULL) = (unread_since IS NULL))
) STRICT;

-- As whom the manager is asked: the public half of the API key, and since when.
ALTER TABLE manager ADD COLUMN public_key TEXT;
ALTER TABLE manager ADD COLUMN public_key_since INTEGER;
