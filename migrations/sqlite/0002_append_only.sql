-- The log as rows that are only added. A change is two rows, its intent and its end, so that
-- none is altered and pages fill up in order; texts that repeat are named by a number; and a
-- snapshot may say only how it differs from an earlier one.
--
-- What tables allow is as before: see 0001 for NULL beside json_valid.

DROP TRIGGER changes_end_once;
DROP TRIGGER changes_keep_their_intent;
DROP TRIGGER changes_are_kept;
DROP TRIGGER snapshots_stay;
DROP TRIGGER snapshots_are_kept;
DROP TRIGGER settlements_stay;
DROP TRIGGER settlements_are_kept;
DROP TRIGGER settlements_settle_the_unknown;
DROP INDEX changes_deployment;
DROP INDEX changes_fingerprint;
DROP INDEX changes_actor;
DROP INDEX changes_team;
DROP INDEX changes_received_at;
DROP INDEX changes_request_id;
DROP INDEX changes_pending;
DROP INDEX changes_unknown;
ALTER TABLE settlements RENAME TO former_settlements;
ALTER TABLE changes RENAME TO former_changes;
ALTER TABLE snapshots RENAME TO former_snapshots;

-- The deployments that changes name.
CREATE TABLE deployments (
    number INTEGER PRIMARY KEY,
    id     TEXT    NOT NULL UNIQUE CHECK (id <> '')
) STRICT;

-- Under what changes were decided.
CREATE TABLE terms (
    number        INTEGER PRIMARY KEY,
    provider      TEXT    NOT NULL CHECK (provider <> ''),
    policy_digest TEXT    NOT NULL,
    UNIQUE (provider, policy_digest)
) STRICT;

-- Documents, each stored once where the after of one change is the before of the next.
CREATE TABLE snapshots (
    number INTEGER PRIMARY KEY,
    digest BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the text
    base   INTEGER REFERENCES snapshots (number),        -- whose text is the prefix for zstd
    depth  INTEGER NOT NULL CHECK (depth BETWEEN 0 AND 31), -- how many bases lie below
    body   BLOB    NOT NULL,                             -- the text, one zstd frame

    CHECK (base < number),
    CHECK ((base IS NULL) = (depth = 0))
) STRICT;

-- What was asked, and what was decided: one row for every governed call.
CREATE TABLE changes (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    terms             INTEGER NOT NULL REFERENCES terms (number),
    operation         TEXT    NOT NULL CHECK (operation IN
                          ('create', 'update', 'archive', 'pause', 'unpause', 'run')),
    deployment        INTEGER REFERENCES deployments (number), -- a create learns it at its end
    actor_fingerprint BLOB    NOT NULL CHECK (length(actor_fingerprint) = 8),
    actor_name        TEXT,
    actor_team        TEXT,
    client_ip         TEXT    NOT NULL,
    user_agent        TEXT,
    request_id        TEXT    NOT NULL,
    received_at       INTEGER NOT NULL,
    decision          TEXT    NOT NULL CHECK (decision IN ('allow', 'warn', 'deny', 'refuse')),
    violations        TEXT    CHECK (violations IS NULL OR json_valid(violations)),
    standing          TEXT    CHECK (standing IS NULL OR json_valid(standing)),
    patch             BLOB,                                    -- the text, one zstd frame
    before            INTEGER REFERENCES snapshots (number),
    body_bytes        INTEGER CHECK (body_bytes >= 0),
    body_digest       TEXT,
    redacted          TEXT    CHECK (redacted IS NULL OR json_valid(redacted)),

    CHECK (operation = 'create' OR deployment IS NOT NULL),
    CHECK (operation <> 'create' OR before IS NULL),
    CHECK (patch IS NULL OR (body_bytes IS NULL AND body_digest IS NULL)),
    CHECK (body_digest IS NULL OR body_bytes IS NOT NULL)
) STRICT;

CREATE INDEX changes_deployment  ON changes (deployment, seq);
CREATE INDEX changes_fingerprint ON changes (actor_fingerprint, seq);
CREATE INDEX changes_actor       ON changes (actor_name, seq) WHERE actor_name IS NOT NULL;
CREATE INDEX changes_team        ON changes (actor_team, seq) WHERE actor_team IS NOT NULL;
CREATE INDEX changes_received_at ON changes (received_at);
CREATE INDEX changes_request_id  ON changes (request_id);
CREATE INDEX changes_not_allowed ON changes (decision, seq) WHERE decision <> 'allow';

-- How it ended: one row for every change, once it has.
CREATE TABLE ends (
    seq                 INTEGER NOT NULL PRIMARY KEY REFERENCES changes (seq),
    outcome             TEXT    NOT NULL CHECK (outcome IN
                            ('applied', 'denied', 'refused', 'rejected', 'failed', 'unknown')),
    completed_at        INTEGER NOT NULL,
    forwarded           INTEGER CHECK (forwarded IN (0, 1)), -- NULL: a crash took the answer
    upstream_status     INTEGER CHECK (upstream_status BETWEEN 100 AND 999),
    upstream_request_id TEXT,
    after               INTEGER REFERENCES snapshots (number),
    effect              TEXT    CHECK (effect IN ('exact', 'partial', 'none', 'other')),
    paths               TEXT    CHECK (paths IS NULL OR json_valid(paths)),
    redacted            TEXT    CHECK (redacted IS NULL OR json_valid(redacted)),

    CHECK (effect IS NULL OR after IS NOT NULL),
    CHECK (forwarded = 1 OR (upstream_status IS NULL AND upstream_request_id IS NULL))
) STRICT;

CREATE INDEX ends_not_applied ON ends (outcome, seq) WHERE outcome <> 'applied';

-- What a later snapshot told of a change whose end was unclear.
CREATE TABLE settlements (
    seq     INTEGER NOT NULL PRIMARY KEY REFERENCES changes (seq),
    told_by TEXT    NOT NULL CHECK (told_by = 'answer' OR told_by LIKE 'chg\_%' ESCAPE '\'),
    at      INTEGER NOT NULL,
    applied INTEGER CHECK (applied IN (0, 1))                -- NULL: it can't be told
) STRICT;

-- Kept by triggers, so that nobody looks through the whole log for them: changes without an
-- end, and those that wait for a settlement.
CREATE TABLE pending (
    seq INTEGER NOT NULL PRIMARY KEY REFERENCES changes (seq)
) STRICT;

CREATE TABLE unsettled (
    deployment INTEGER NOT NULL,
    seq        INTEGER NOT NULL REFERENCES changes (seq),
    PRIMARY KEY (deployment, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO deployments (id)
SELECT deployment_id FROM former_changes WHERE deployment_id IS NOT NULL
GROUP BY deployment_id ORDER BY min(seq);

INSERT INTO terms (provider, policy_digest)
SELECT provider, policy_digest FROM former_changes
GROUP BY provider, policy_digest ORDER BY min(seq);

INSERT INTO snapshots (digest, depth, body)
SELECT digest, 0, body FROM former_snapshots ORDER BY rowid;

CREATE TEMP TABLE numbered (digest BLOB NOT NULL PRIMARY KEY, number INTEGER NOT NULL);
INSERT INTO numbered SELECT digest, number FROM snapshots;

INSERT INTO changes
SELECT c.seq, c.id, t.number, c.operation, d.number, c.actor_fingerprint, c.actor_name,
    c.actor_team, c.client_ip, c.user_agent, c.request_id, c.received_at, c.decision,
    c.violations, c.standing, p.body, b.number, c.body_bytes, c.body_digest, c.redacted
FROM former_changes c
JOIN terms t ON t.provider = c.provider AND t.policy_digest = c.policy_digest
LEFT JOIN deployments d ON d.id = c.deployment_id
LEFT JOIN former_snapshots p ON p.digest = c.patch_digest
LEFT JOIN numbered b ON b.digest = c.before_digest
ORDER BY c.seq;

INSERT INTO ends
SELECT c.seq, c.outcome, c.completed_at, c.forwarded, c.upstream_status, c.upstream_request_id,
    a.number, c.effect, c.paths, c.after_redacted
FROM former_changes c LEFT JOIN numbered a ON a.digest = c.after_digest
WHERE c.outcome <> 'pending' ORDER BY c.seq;

INSERT INTO settlements SELECT * FROM former_settlements;

INSERT INTO pending
SELECT seq FROM changes WHERE seq NOT IN (SELECT seq FROM ends);

INSERT INTO unsettled
SELECT c.deployment, c.seq FROM ends e JOIN changes c ON c.seq = e.seq
WHERE e.outcome = 'unknown' AND c.deployment IS NOT NULL
AND c.seq NOT IN (SELECT seq FROM settlements);

DROP TABLE numbered;
DROP TABLE former_settlements;
DROP TABLE former_changes;
DROP TABLE former_snapshots;

CREATE TRIGGER changes_begin AFTER INSERT ON changes
BEGIN INSERT INTO pending VALUES (NEW.seq); END;

CREATE TRIGGER ends_fit_their_decision BEFORE INSERT ON ends
WHEN EXISTS (SELECT 1 FROM changes WHERE seq = NEW.seq AND (
    (NEW.outcome = 'denied') <> (decision = 'deny')
    -- What was refused or denied was never on its way.
    OR (decision NOT IN ('allow', 'warn') AND NEW.outcome IN ('applied', 'unknown'))))
BEGIN SELECT RAISE(ABORT, 'a change ends as its decision allows'); END;

CREATE TRIGGER ends_close AFTER INSERT ON ends
BEGIN DELETE FROM pending WHERE seq = NEW.seq; END;

CREATE TRIGGER ends_may_be_unclear AFTER INSERT ON ends WHEN NEW.outcome = 'unknown'
BEGIN
    INSERT INTO unsettled
    SELECT deployment, seq FROM changes WHERE seq = NEW.seq AND deployment IS NOT NULL;
END;

CREATE TRIGGER settlements_settle_the_unknown BEFORE INSERT ON settlements
WHEN NOT EXISTS (SELECT 1 FROM ends WHERE seq = NEW.seq AND outcome = 'unknown')
BEGIN SELECT RAISE(ABORT, 'only a change with an unknown outcome is settled'); END;

CREATE TRIGGER settlements_clear AFTER INSERT ON settlements
BEGIN
    DELETE FROM unsettled
    WHERE deployment = (SELECT deployment FROM changes WHERE seq = NEW.seq) AND seq = NEW.seq;
END;

CREATE TRIGGER changes_stay BEFORE UPDATE OF seq, id, terms, operation, actor_fingerprint,
    actor_name, actor_team, client_ip, user_agent, request_id, received_at, decision, violations,
    standing, patch, before, body_bytes, body_digest, redacted ON changes
BEGIN SELECT RAISE(ABORT, 'a change is never altered'); END;

CREATE TRIGGER changes_learn_what_they_made BEFORE UPDATE OF deployment ON changes
WHEN OLD.operation <> 'create' OR OLD.deployment IS NOT NULL OR NEW.deployment IS NULL
BEGIN SELECT RAISE(ABORT, 'a change is never altered'); END;

CREATE TRIGGER ends_stay BEFORE UPDATE ON ends
BEGIN SELECT RAISE(ABORT, 'a change ends once and is never altered after'); END;

CREATE TRIGGER snapshots_stay BEFORE UPDATE ON snapshots
BEGIN SELECT RAISE(ABORT, 'a snapshot is never altered'); END;

CREATE TRIGGER settlements_stay BEFORE UPDATE ON settlements
BEGIN SELECT RAISE(ABORT, 'a settlement is never altered'); END;

CREATE TRIGGER deployments_stay BEFORE UPDATE ON deployments
BEGIN SELECT RAISE(ABORT, 'a deployment keeps its number'); END;

CREATE TRIGGER terms_stay BEFORE UPDATE ON terms
BEGIN SELECT RAISE(ABORT, 'terms are never altered'); END;

CREATE TRIGGER changes_are_kept BEFORE DELETE ON changes
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes changes'); END;

CREATE TRIGGER ends_are_kept BEFORE DELETE ON ends
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes ends'); END;

CREATE TRIGGER snapshots_are_kept BEFORE DELETE ON snapshots
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes snapshots'); END;

CREATE TRIGGER settlements_are_kept BEFORE DELETE ON settlements
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes settlements'); END;

CREATE TRIGGER deployments_are_kept BEFORE DELETE ON deployments
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes deployments'); END;

CREATE TRIGGER terms_are_kept BEFORE DELETE ON terms
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes terms'); END;
