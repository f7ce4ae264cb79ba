-- The records of a target in the order of their times, which is the order in which people are shown them.

DROP INDEX ledger_by_target;
CREATE INDEX ledger_by_target ON ledger (target, at) WHERE target <> '';
