-- The call's method, rules found broken after a change, and bodies of which only size and digest
-- are kept.

ALTER TABLE changes ADD COLUMN method TEXT CHECK (method IN ('POST', 'PUT', 'PATCH'));
ALTER TABLE changes ADD COLUMN unkept TEXT CHECK (unkept IS NULL OR json_valid(unkept));
ALTER TABLE ends ADD COLUMN unkept TEXT CHECK (unkept IS NULL OR json_valid(unkept));
ALTER TABLE ends ADD COLUMN after_violations TEXT
    CHECK (after_violations IS NULL OR json_valid(after_violations));

DROP TRIGGER changes_stay;
CREATE TRIGGER changes_stay BEFORE UPDATE OF seq, id, terms, operation, actor_fingerprint,
    actor_name, actor_team, client_ip, user_agent, request_id, received_at, decision, violations,
    standing, patch, before, body_bytes, body_digest, redacted, method, unkept ON changes
BEGIN SELECT RAISE(ABORT, 'a change is never altered'); END;

-- More kinds of events.
DROP TRIGGER events_are_kept;
DROP TRIGGER events_are_not_replaced;
DROP TRIGGER events_stay;
ALTER TABLE events RENAME TO former_events;
CREATE TABLE events (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    at                INTEGER NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind <> ''),
    actor_fingerprint BLOB    CHECK (length(actor_fingerprint) = 8),
    actor_name        TEXT,
    actor_team        TEXT,
    client_ip         TEXT,
    request_id        TEXT,
    detail            TEXT    NOT NULL CHECK (json_valid(detail)),

    CHECK (actor_fingerprint IS NOT NULL OR (actor_name IS NULL AND actor_team IS NULL))
) STRICT;
INSERT INTO events SELECT * FROM former_events ORDER BY seq;
-- Places are never given twice, not even those of events that were pruned.
UPDATE sqlite_sequence
SET seq = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'former_events'), seq)
WHERE name = 'events';
DROP TABLE former_events;
CREATE INDEX events_at ON events (at);

CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never altered'); END;

CREATE TRIGGER events_are_kept BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes events'); END;

CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN NEW.seq > 0 AND EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'an event is never replaced'); END;
