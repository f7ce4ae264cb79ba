-- Indexes for the questions that people ask of a long history.

CREATE INDEX ledger_by_time ON ledger (at);
CREATE INDEX ledger_by_kind ON ledger (kind, at);
CREATE INDEX rotation_by_key_before ON rotation (key_before) WHERE key_before IS NOT NULL;
CREATE INDEX rotation_by_key_after ON rotation (key_after) WHERE key_after IS NOT NULL;
CREATE INDEX key_by_its_id ON key (id);
