-- What is on record of the current slot's windows and freezes, so that a restart does not tell it again.
ALTER TABLE target ADD COLUMN missed_until INTEGER;    -- the end of the newest window that it missed
ALTER TABLE target ADD COLUMN held_until INTEGER;    -- the end of the newest freeze that holds, or held, it
