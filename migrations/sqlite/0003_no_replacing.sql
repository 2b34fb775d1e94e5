-- REPLACE deletes the row in its way without firing the triggers that keep rows, unless a
-- connection asks for it (recursive_triggers). So a key that is there is refused before, or, where
-- writing the same row twice is harmless (a retry), the second one is left out. Each of these costs
-- the row one look for its key, which lies where the row is about to go.
--
-- NEW.seq is no number yet, or -1, where it is the table that chooses it.

CREATE TRIGGER changes_are_not_replaced BEFORE INSERT ON changes
WHEN EXISTS (SELECT 1 FROM changes WHERE id = NEW.id)
    OR (NEW.seq > 0 AND EXISTS (SELECT 1 FROM changes WHERE seq = NEW.seq))
BEGIN SELECT RAISE(ABORT, 'a change is never replaced'); END;

CREATE TRIGGER ends_are_not_replaced BEFORE INSERT ON ends
WHEN EXISTS (SELECT 1 FROM ends WHERE seq = NEW.seq)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER settlements_are_not_replaced BEFORE INSERT ON settlements
WHEN EXISTS (SELECT 1 FROM settlements WHERE seq = NEW.seq)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER snapshots_are_not_replaced BEFORE INSERT ON snapshots
WHEN EXISTS (SELECT 1 FROM snapshots WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'a snapshot is never replaced'); END;

CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN NEW.seq > 0 AND EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'an event is never replaced'); END;

-- These two are written only where the gateway does not remember that they are there.
CREATE TRIGGER deployments_are_not_replaced BEFORE INSERT ON deployments
WHEN EXISTS (SELECT 1 FROM deployments WHERE id = NEW.id)
    OR EXISTS (SELECT 1 FROM deployments WHERE number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER terms_are_not_replaced BEFORE INSERT ON terms
WHEN EXISTS (SELECT 1 FROM terms WHERE provider = NEW.provider
        AND policy_digest = NEW.policy_digest)
    OR EXISTS (SELECT 1 FROM terms WHERE number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

-- What waits for its end, or for its settlement, waits until that is there.
CREATE TRIGGER pending_are_kept BEFORE DELETE ON pending
WHEN NOT EXISTS (SELECT 1 FROM ends WHERE seq = OLD.seq) AND NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only its end takes a change from those that wait for one'); END;

CREATE TRIGGER pending_stay BEFORE UPDATE ON pending
BEGIN SELECT RAISE(ABORT, 'only its end takes a change from those that wait for one'); END;

CREATE TRIGGER unsettled_are_kept BEFORE DELETE ON unsettled
WHEN NOT EXISTS (SELECT 1 FROM settlements WHERE seq = OLD.seq)
    AND NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only its settlement takes a change from the unsettled'); END;

CREATE TRIGGER unsettled_stay BEFORE UPDATE ON unsettled
BEGIN SELECT RAISE(ABORT, 'only its settlement takes a change from the unsettled'); END;
