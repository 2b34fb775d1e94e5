-- The log. Every rule that the program keeps is said again here, so that no bug and no other
-- program can write what the log must not hold. Times are milliseconds since the Unix epoch, UTC.
--
-- NULL is named beside json_valid, which says 0 to it before SQLite 3.45: an auditor's older
-- sqlite3 must find the same rows in order.

-- Documents, each stored once: the after of one change is the before of the next.
CREATE TABLE snapshots (
    digest BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32), -- SHA-256 of the text
    body   BLOB    NOT NULL,                                         -- the text, zstd
    bytes  INTEGER NOT NULL CHECK (bytes > 0)                        -- how long the text is
) STRICT;

-- One row for every governed call: first its intent, then, once, its end.
CREATE TABLE changes (
    seq                 INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The intent: never altered.
    id                  BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    provider            TEXT    NOT NULL CHECK (provider <> ''),
    operation           TEXT    NOT NULL CHECK (operation IN
                            ('create', 'update', 'archive', 'pause', 'unpause', 'run')),
    actor_fingerprint   BLOB    NOT NULL CHECK (length(actor_fingerprint) = 8),
    actor_name          TEXT,
    actor_team          TEXT,
    client_ip           TEXT    NOT NULL,
    user_agent          TEXT,
    request_id          TEXT    NOT NULL,
    received_at         INTEGER NOT NULL,
    decision            TEXT    NOT NULL CHECK (decision IN ('allow', 'warn', 'deny', 'refuse')),
    violations          TEXT    CHECK (violations IS NULL OR json_valid(violations)),
    standing            TEXT    CHECK (standing IS NULL OR json_valid(standing)),
    patch_digest        BLOB    REFERENCES snapshots (digest),
    before_digest       BLOB    REFERENCES snapshots (digest),
    body_bytes          INTEGER CHECK (body_bytes >= 0),
    body_digest         TEXT,
    policy_digest       TEXT    NOT NULL,
    redacted            TEXT    CHECK (redacted IS NULL OR json_valid(redacted)),
    -- Both: a create learns the id at its end.
    deployment_id       TEXT    CHECK (deployment_id <> ''),
    -- The end: written once.
    outcome             TEXT    NOT NULL CHECK (outcome IN
                            ('pending', 'applied', 'denied', 'refused', 'rejected', 'failed',
                             'unknown')),
    completed_at        INTEGER,
    forwarded           INTEGER CHECK (forwarded IN (0, 1)), -- NULL: a crash took the answer
    upstream_status     INTEGER CHECK (upstream_status BETWEEN 100 AND 999),
    upstream_request_id TEXT,
    after_digest        BLOB    REFERENCES snapshots (digest),
    effect              TEXT    CHECK (effect IN ('exact', 'partial', 'none', 'other')),
    paths               TEXT    CHECK (paths IS NULL OR json_valid(paths)),
    after_redacted      TEXT    CHECK (after_redacted IS NULL OR json_valid(after_redacted)),

    CHECK ((outcome = 'pending') = (completed_at IS NULL)),
    CHECK ((outcome = 'denied') = (decision = 'deny')),
    -- What was refused or denied was never on its way.
    CHECK (decision IN ('allow', 'warn') OR outcome NOT IN ('pending', 'applied', 'unknown')),
    CHECK (operation = 'create' OR deployment_id IS NOT NULL),
    CHECK (operation <> 'create' OR before_digest IS NULL),
    CHECK (patch_digest IS NULL OR (body_bytes IS NULL AND body_digest IS NULL)),
    CHECK (body_digest IS NULL OR body_bytes IS NOT NULL),
    CHECK (effect IS NULL OR after_digest IS NOT NULL),
    CHECK (forwarded = 1 OR (upstream_status IS NULL AND upstream_request_id IS NULL)),
    CHECK (outcome <> 'pending' OR (forwarded IS NULL AND upstream_status IS NULL
        AND upstream_request_id IS NULL AND after_digest IS NULL AND paths IS NULL
        AND after_redacted IS NULL))
) STRICT;

CREATE INDEX changes_deployment  ON changes (deployment_id, seq);
CREATE INDEX changes_fingerprint ON changes (actor_fingerprint, seq);
CREATE INDEX changes_actor       ON changes (actor_name, seq) WHERE actor_name IS NOT NULL;
CREATE INDEX changes_team        ON changes (actor_team, seq) WHERE actor_team IS NOT NULL;
CREATE INDEX changes_received_at ON changes (received_at);
CREATE INDEX changes_request_id  ON changes (request_id);
CREATE INDEX changes_pending     ON changes (seq) WHERE outcome = 'pending';
CREATE INDEX changes_unknown     ON changes (deployment_id, seq) WHERE outcome = 'unknown';

-- What a later snapshot told of a change whose end was unclear.
CREATE TABLE settlements (
    seq     INTEGER NOT NULL PRIMARY KEY REFERENCES changes (seq),
    told_by TEXT    NOT NULL CHECK (told_by = 'answer' OR told_by LIKE 'chg\_%' ESCAPE '\'),
    at      INTEGER NOT NULL,
    applied INTEGER CHECK (applied IN (0, 1))                        -- NULL: it can't be told
) STRICT;

-- What is no governed call.
CREATE TABLE events (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    at                INTEGER NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind IN
                          ('other_write', 'refused_write', 'summary', 'dropped', 'reload',
                           'settlement', 'start')),
    actor_fingerprint BLOB    CHECK (length(actor_fingerprint) = 8),
    actor_name        TEXT,
    actor_team        TEXT,
    client_ip         TEXT,
    request_id        TEXT,
    detail            TEXT    NOT NULL CHECK (json_valid(detail)),

    CHECK (actor_fingerprint IS NOT NULL OR (actor_name IS NULL AND actor_team IS NULL))
) STRICT;

CREATE INDEX events_at ON events (at);

-- Holds its one row only inside the transaction that prunes: without it nothing is deleted.
CREATE TABLE pruning (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    since_at INTEGER NOT NULL
) STRICT;

-- Written to find out whether the log can be written again.
CREATE TABLE heartbeat (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;

CREATE TRIGGER changes_end_once BEFORE UPDATE ON changes
WHEN OLD.outcome <> 'pending' OR NEW.outcome = 'pending'
BEGIN SELECT RAISE(ABORT, 'a change ends once and is never altered after'); END;

CREATE TRIGGER changes_keep_their_intent BEFORE UPDATE ON changes
WHEN NEW.seq IS NOT OLD.seq OR NEW.id IS NOT OLD.id OR NEW.provider IS NOT OLD.provider
    OR NEW.operation IS NOT OLD.operation OR NEW.actor_fingerprint IS NOT OLD.actor_fingerprint
    OR NEW.actor_name IS NOT OLD.actor_name OR NEW.actor_team IS NOT OLD.actor_team
    OR NEW.client_ip IS NOT OLD.client_ip OR NEW.user_agent IS NOT OLD.user_agent
    OR NEW.request_id IS NOT OLD.request_id OR NEW.received_at IS NOT OLD.received_at
    OR NEW.decision IS NOT OLD.decision OR NEW.violations IS NOT OLD.violations
    OR NEW.standing IS NOT OLD.standing OR NEW.patch_digest IS NOT OLD.patch_digest
    OR NEW.before_digest IS NOT OLD.before_digest OR NEW.body_bytes IS NOT OLD.body_bytes
    OR NEW.body_digest IS NOT OLD.body_digest OR NEW.policy_digest IS NOT OLD.policy_digest
    OR NEW.redacted IS NOT OLD.redacted
    OR (OLD.deployment_id IS NOT NULL AND NEW.deployment_id IS NOT OLD.deployment_id)
BEGIN SELECT RAISE(ABORT, 'the intent of a change is never altered'); END;

CREATE TRIGGER snapshots_stay BEFORE UPDATE ON snapshots
BEGIN SELECT RAISE(ABORT, 'a snapshot is never altered'); END;

CREATE TRIGGER settlements_stay BEFORE UPDATE ON settlements
BEGIN SELECT RAISE(ABORT, 'a settlement is never altered'); END;

CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never altered'); END;

CREATE TRIGGER settlements_settle_the_unknown BEFORE INSERT ON settlements
WHEN NOT EXISTS (SELECT 1 FROM changes WHERE seq = NEW.seq AND outcome = 'unknown')
BEGIN SELECT RAISE(ABORT, 'only a change with an unknown outcome is settled'); END;

CREATE TRIGGER changes_are_kept BEFORE DELETE ON changes
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes changes'); END;

CREATE TRIGGER snapshots_are_kept BEFORE DELETE ON snapshots
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes snapshots'); END;

CREATE TRIGGER settlements_are_kept BEFORE DELETE ON settlements
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes settlements'); END;

CREATE TRIGGER events_are_kept BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes events'); END;
