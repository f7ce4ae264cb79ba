-- By which policy each target is rotated, as its newest record of that says.

ALTER TABLE target ADD COLUMN policy TEXT;
ALTER TABLE target ADD COLUMN alert_after INTEGER CHECK ((alert_after IS NULL) = (policy IS NULL));    -- seconds
