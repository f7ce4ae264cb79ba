-- The ledger, and beside it the tables that follow from it.
--
-- Every time is an INTEGER: whole microseconds since 1970-01-01 00:00 UTC; datetime(at / 1000000, 'unixepoch') reads it.
-- A column `seq` names the newest ledger record that the row follows from.
-- A column `failure` and its like hold JSON: reason, verdict, scope, status, code, retry_after_s, detail.

CREATE TABLE ledger_identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  BLOB NOT NULL CHECK (length(id) = 32)
) STRICT;

CREATE TABLE ledger (
    seq       INTEGER PRIMARY KEY CHECK (seq >= 1),
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL CHECK (kind <> ''),
    actor     TEXT NOT NULL,
    target    TEXT NOT NULL,    -- empty: about no target
    rotation  TEXT NOT NULL CHECK (rotation = '' OR target <> ''),    -- 'slot.attempt', or empty
    payload   TEXT NOT NULL CHECK (json_valid(payload)),
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash      BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX ledger_by_target ON ledger (target, seq) WHERE target <> '';

CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_is_not_shortened BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- INSERT OR REPLACE deletes without asking the trigger above, and so does nothing here.
CREATE TRIGGER ledger_grows_at_its_end BEFORE INSERT ON ledger
WHEN NEW.seq IS NOT coalesce((SELECT max(seq) FROM ledger), 0) + 1
  OR NEW.prev_hash IS NOT coalesce((SELECT hash FROM ledger ORDER BY seq DESC LIMIT 1), (SELECT id FROM ledger_identity))
BEGIN SELECT RAISE(ABORT, 'the ledger grows only at its end'); END;

CREATE TRIGGER identity_is_not_changed BEFORE UPDATE ON ledger_identity
BEGIN SELECT RAISE(ABORT, 'a ledger keeps its identity'); END;
CREATE TRIGGER identity_is_not_removed BEFORE DELETE ON ledger_identity
BEGIN SELECT RAISE(ABORT, 'a ledger keeps its identity'); END;
CREATE TRIGGER identity_is_given_once BEFORE INSERT ON ledger_identity
WHEN EXISTS (SELECT 1 FROM ledger_identity)
BEGIN SELECT RAISE(ABORT, 'a ledger keeps its identity'); END;

-- One row for each target ever listed.
CREATE TABLE target (
    id                TEXT NOT NULL PRIMARY KEY CHECK (id = manager || '/' || project_id || '/' || cluster_id),
    name              TEXT NOT NULL CHECK (name = manager || '/' || project || '/' || cluster || '/' || replica_set),
    manager           TEXT NOT NULL,
    project_id        TEXT NOT NULL,
    project           TEXT NOT NULL,
    cluster_id        TEXT NOT NULL,
    cluster           TEXT NOT NULL,
    replica_set       TEXT NOT NULL,
    role              TEXT NOT NULL,
    mechanism         TEXT NOT NULL,
    listing           TEXT NOT NULL CHECK (json_valid(listing)),    -- '"eligible"', or why it is not fit
    found_at          INTEGER NOT NULL,
    gone_since        INTEGER,
    refusal           TEXT CHECK (json_valid(refusal)),    -- why the server will not speak of its key
    key_id            TEXT,
    key_not_before    INTEGER,    -- the earliest that the key may have come into use; empty: unknown
    key_first_seen    INTEGER,
    key_last_seen     INTEGER,    -- kept up to date without ledger records
    regressed_at      INTEGER,
    unread_since      INTEGER,    -- since when looks at its key have failed
    unread            TEXT CHECK (json_valid(unread)),
    slot              INTEGER NOT NULL CHECK (slot >= 1),
    attempt           INTEGER NOT NULL CHECK (attempt >= 0),
    failures          INTEGER NOT NULL CHECK (failures >= 0),    -- of the slot's attempts, by the target's doing
    unconfirmed       TEXT CHECK (json_valid(unconfirmed)),    -- an attempt given up, whose PUT may act late
    setback           TEXT CHECK (json_valid(setback)),    -- the newest failure in this slot
    retry_at          INTEGER,
    quarantined_since INTEGER,
    quarantine        TEXT CHECK (json_valid(quarantine)),
    last_rotation_at  INTEGER,
    seq               INTEGER NOT NULL REFERENCES ledger,
    CHECK ((key_id IS NULL) = (key_first_seen IS NULL) AND (key_id IS NULL) = (key_last_seen IS NULL)),
    CHECK (key_not_before IS NULL OR key_id IS NOT NULL),
    CHECK ((unread IS NULL) = (unread_since IS NULL)),
    CHECK ((setback IS NULL) = (retry_at IS NULL)),
    CHECK ((quarantine IS NULL) = (quarantined_since IS NULL))
) STRICT;

-- One row for each attempt to answer a slot. Nothing is ever removed.
CREATE TABLE rotation (
    target      TEXT NOT NULL REFERENCES target,
    slot        INTEGER NOT NULL CHECK (slot >= 1),
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    actor       TEXT NOT NULL,    -- who began it
    state       TEXT NOT NULL
                CHECK (state IN ('intended', 'sending', 'confirming', 'done', 'failed', 'unconfirmed', 'withdrawn')),
    how         TEXT CHECK (how IN ('rotated', 'found_changed', 'recovered')),
    due_at      INTEGER NOT NULL,
    began_at    INTEGER NOT NULL,    -- when it was first recorded
    key_before  TEXT,
    key_after   TEXT,
    looked_at   INTEGER,    -- when key_before was read by the attempt
    intended_at INTEGER,    -- empty: it ended before there was an intent
    sent_at     INTEGER,    -- from here a PUT may have left
    accepted_at INTEGER,
    accepted    INTEGER,    -- the HTTP status of the acceptance
    ended_at    INTEGER,
    stage       TEXT CHECK (stage IN ('precheck', 'put')),
    failure     TEXT CHECK (json_valid(failure)),    -- the newest of the attempt, also of one that was done after it
    reason      TEXT GENERATED ALWAYS AS (failure ->> '$.reason') VIRTUAL,
    status      INTEGER GENERATED ALWAYS AS (failure ->> '$.status') VIRTUAL,
    code        TEXT GENERATED ALWAYS AS (failure ->> '$.code') VIRTUAL,
    detail      TEXT GENERATED ALWAYS AS (failure ->> '$.detail') VIRTUAL,
    retry_at    INTEGER,    -- the next attempt is not before this
    why         TEXT,    -- it was withdrawn
    seq         INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (target, slot, attempt),
    CHECK ((state = 'done') = (how IS NOT NULL) AND (state = 'done') = (key_after IS NOT NULL)),
    CHECK (key_after IS NULL OR key_before IS NOT NULL AND key_after <> key_before),
    CHECK ((state IN ('intended', 'sending', 'confirming')) = (ended_at IS NULL)),
    CHECK (state NOT IN ('intended', 'sending', 'confirming', 'unconfirmed', 'withdrawn') OR intended_at IS NOT NULL),
    CHECK (state NOT IN ('sending', 'confirming', 'unconfirmed') OR sent_at IS NOT NULL),
    CHECK (state NOT IN ('intended', 'withdrawn') OR sent_at IS NULL),
    CHECK (state <> 'confirming' OR accepted_at IS NOT NULL),
    CHECK ((accepted_at IS NULL) = (accepted IS NULL)),
    CHECK ((state = 'failed') = (stage IS NOT NULL)),
    CHECK ((state IN ('failed', 'unconfirmed')) = (retry_at IS NOT NULL)),
    CHECK (retry_at IS NULL OR failure IS NOT NULL),
    CHECK ((state = 'withdrawn') = (why IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX rotation_open_once ON rotation (target) WHERE state IN ('intended', 'sending', 'confirming');
CREATE UNIQUE INDEX rotation_done_once ON rotation (target, slot) WHERE state = 'done';
CREATE INDEX rotation_by_target ON rotation (target, began_at);
CREATE INDEX rotation_by_time ON rotation (began_at);

-- One row for each time that a target took a key into use; a key that came back has several.
CREATE TABLE key (
    target      TEXT NOT NULL REFERENCES target,
    came_seq    INTEGER NOT NULL REFERENCES ledger,    -- the record that brought it
    id          TEXT NOT NULL,
    not_before  INTEGER,    -- the earliest that it may have come into use; empty: unknown
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,    -- of a present key kept up to date without ledger records
    replaced_at INTEGER,    -- empty: the present key
    how         TEXT NOT NULL
                CHECK (how IN ('first_seen', 'rotated', 'found_changed', 'recovered', 'foreign', 'regression')),
    rotation    TEXT,    -- 'slot.attempt', where a rotation of ours explains it
    seq         INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (target, came_seq),
    CHECK ((how IN ('rotated', 'found_changed', 'recovered')) = (rotation IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX key_present_once ON key (target) WHERE replaced_at IS NULL;
CREATE INDEX key_by_id ON key (target, id);

CREATE TABLE manager (
    name          TEXT NOT NULL PRIMARY KEY,
    failing_since INTEGER,
    failure       TEXT CHECK (json_valid(failure)),
    seq           INTEGER NOT NULL REFERENCES ledger,
    CHECK ((failure IS NULL) = (failing_since IS NULL))
) STRICT;

-- Sharded clusters listed without config servers.
CREATE TABLE gap (
    manager    TEXT NOT NULL REFERENCES manager,
    project_id TEXT NOT NULL,
    project    TEXT NOT NULL,
    cluster    TEXT NOT NULL,
    seq        INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (manager, project_id, project, cluster)
) STRICT;

-- Projects that can not be listed.
CREATE TABLE unread_project (
    manager TEXT NOT NULL REFERENCES manager,
    project TEXT NOT NULL,    -- its name or id, as the configuration or the server gives it
    since   INTEGER NOT NULL,
    failure TEXT NOT NULL CHECK (json_valid(failure)),
    seq     INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (manager, project)
) STRICT;

-- The alerts that fire.
CREATE TABLE alert (
    alert        TEXT NOT NULL,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('target', 'manager', 'cluster', 'project', 'api_key', 'receiver', 'daemon')),
    subject      TEXT NOT NULL,
    since        INTEGER NOT NULL,
    words        TEXT NOT NULL,
    seq          INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (alert, subject_kind, subject)
) STRICT;

-- Those who are told of alerts.
CREATE TABLE receiver (
    name          TEXT NOT NULL PRIMARY KEY,
    failing_since INTEGER,
    error         TEXT,
    seq           INTEGER NOT NULL REFERENCES ledger,
    CHECK ((error IS NULL) = (failing_since IS NULL))
) STRICT;

-- The alerts whose beginning a receiver took, and whose end it did not.
CREATE TABLE told (
    receiver     TEXT NOT NULL REFERENCES receiver,
    alert        TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject      TEXT NOT NULL,
    since        INTEGER NOT NULL,
    name         TEXT NOT NULL,    -- what the subject was called
    seq          INTEGER NOT NULL REFERENCES ledger,
    PRIMARY KEY (receiver, alert, subject_kind, subject)
) STRICT;

-- The policies in force, in words.
CREATE TABLE policy (
    name  TEXT NOT NULL PRIMARY KEY,
    words TEXT NOT NULL,
    since INTEGER NOT NULL,
    seq   INTEGER NOT NULL REFERENCES ledger
) STRICT;
