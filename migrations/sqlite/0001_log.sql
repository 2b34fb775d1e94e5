-- The log. Every rule that the program keeps is said again here, so that no bug and no other
-- program can write what the log must not hold. Times are milliseconds since the Unix epoch, UTC.
--
-- Rows are only added. A change is two rows, its intent and its end, so that none is altered and
-- pages fill up in order; texts that repeat are named by a number; and a snapshot may say only how
-- it differs from an earlier one.
--
-- NULL is named beside json_valid, which says 0 to it before SQLite 3.45: an auditor's older
-- sqlite3 must find the same rows in order. Words are told apart by = and OR: for IN with more than
-- two of them SQLite makes a table in memory at each statement.

PRAGMA application_id = 1128743252; -- "CGAT": tells the log from the database of another program

-- The APIs that changes went to, by their names in the configuration.
CREATE TABLE upstreams (
    number   INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL CHECK (name <> ''),
    provider TEXT    NOT NULL CHECK (provider <> ''),
    UNIQUE (name, provider)
) STRICT;

-- The gateways that wrote them.
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    name   TEXT    NOT NULL UNIQUE CHECK (name <> '')
) STRICT;

-- Every policy that ever decided, as its file had it.
CREATE TABLE policies (
    number INTEGER PRIMARY KEY,
    digest TEXT    NOT NULL UNIQUE, -- SHA-256 of the text, in hex; empty where there was no file
    text   TEXT    NOT NULL
) STRICT;

-- The deployments that changes name: each upstream gives ids of its own.
CREATE TABLE deployments (
    number   INTEGER PRIMARY KEY,
    upstream TEXT    NOT NULL CHECK (upstream <> ''),
    id       TEXT    NOT NULL CHECK (id <> ''),
    UNIQUE (id, upstream)
) STRICT;

-- Each key from the first change on that was recorded under it; the newest is the one in force.
CREATE TABLE keys (
    number    INTEGER PRIMARY KEY,
    id        BLOB    NOT NULL CHECK (length(id) = 8), -- a keyed digest: it tells nothing of the key
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    at        INTEGER NOT NULL
) STRICT;

-- Documents, each stored once where the after of one change is the before of the next. One that
-- stands alone and those that are built upon it, one upon the other, are a segment, all of one
-- deployment: pruning one of them packs its segment anew, and nothing else.
CREATE TABLE snapshots (
    number INTEGER PRIMARY KEY,
    digest BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the text
    base   INTEGER REFERENCES snapshots (number),        -- whose text is the prefix for zstd
    depth  INTEGER NOT NULL CHECK (depth BETWEEN 0 AND 31), -- how many bases lie below
    body   BLOB    NOT NULL,                             -- the text, one zstd frame

    CHECK (base < number),
    CHECK ((base IS NULL) = (depth = 0))
) STRICT;

-- By these, pruning finds whether anything still depends on a document.
CREATE INDEX snapshots_base ON snapshots (base) WHERE base IS NOT NULL;

-- What was asked, and what was decided: one row for every governed call.
CREATE TABLE changes (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    upstream          INTEGER NOT NULL REFERENCES upstreams (number),
    policy            INTEGER NOT NULL REFERENCES policies (number),
    node              INTEGER NOT NULL REFERENCES nodes (number),
    operation         TEXT    NOT NULL CHECK (
        operation = 'update' OR operation = 'create' OR operation = 'archive'
        OR operation = 'pause' OR operation = 'unpause' OR operation = 'run'),
    method            TEXT    CHECK (method = 'POST' OR method = 'PUT' OR method = 'PATCH'),
    deployment        INTEGER REFERENCES deployments (number), -- a create learns it at its end
    actor_fingerprint BLOB    NOT NULL CHECK (length(actor_fingerprint) = 8),
    actor_name        TEXT,
    actor_team        TEXT,
    actor_person      TEXT,                                  -- the human behind it
    client_ip         TEXT    NOT NULL,
    user_agent        TEXT,
    client_retry      INTEGER CHECK (client_retry >= 0), -- by the client's SDK
    request_id        TEXT    NOT NULL,
    received_at       INTEGER NOT NULL,
    decided_at        INTEGER,                               -- what its rules took for now
    decision          TEXT    NOT NULL CHECK (
        decision = 'allow' OR decision = 'warn' OR decision = 'deny' OR decision = 'refuse'),
    violations        TEXT    CHECK (violations IS NULL OR json_valid(violations)),
    standing          TEXT    CHECK (standing IS NULL OR json_valid(standing)),
    patch             BLOB,                                    -- the text, one zstd frame
    before            INTEGER REFERENCES snapshots (number),
    body_bytes        INTEGER CHECK (body_bytes >= 0),
    body_digest       TEXT,
    redacted          TEXT    CHECK (redacted IS NULL OR json_valid(redacted)),
    -- Bodies of which only size and digest are kept, and the number of findings not listed.
    unkept            TEXT    CHECK (unkept IS NULL OR json_valid(unkept)),
    -- The approval that was asked for, or used, or the review of a change that none was needed for.
    approval          BLOB    CHECK (length(approval) = 16),
    -- The change of the same deployment that it says to take back.
    reverts           BLOB    CHECK (length(reverts) = 16),
    -- Half the SHA-256 of the body of its row in `originals`, half 1.
    sealed            BLOB    CHECK (length(sealed) = 16),

    CHECK (operation = 'create' OR deployment IS NOT NULL),
    CHECK (operation <> 'create' OR before IS NULL),
    -- A policy was asked before anything was let through; one who is not listed was denied without.
    CHECK (decided_at IS NULL OR decision <> 'refuse'),
    CHECK (decided_at IS NOT NULL OR decision = 'refuse' OR decision = 'deny'),
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
CREATE INDEX changes_not_update  ON changes (operation, seq) WHERE operation <> 'update';
CREATE INDEX changes_before      ON changes (before) WHERE before IS NOT NULL;

-- How it ended: one row for every change, once it has.
CREATE TABLE ends (
    seq                 INTEGER NOT NULL PRIMARY KEY REFERENCES changes (seq),
    outcome             TEXT    NOT NULL CHECK (
        outcome = 'applied' OR outcome = 'denied' OR outcome = 'refused'
        OR outcome = 'rejected' OR outcome = 'failed' OR outcome = 'unknown'),
    completed_at        INTEGER NOT NULL,
    -- The call that upstream answered or was sent; NULL: none, or a crash took the answer.
    upstream_call       TEXT    CHECK (upstream_call = 'change' OR upstream_call = 'read'),
    upstream_status     INTEGER CHECK (upstream_status BETWEEN 100 AND 999),
    upstream_request_id TEXT,
    after               INTEGER REFERENCES snapshots (number),
    effect              TEXT    CHECK (
        effect = 'exact' OR effect = 'partial' OR effect = 'none' OR effect = 'other'),
    -- Why it was not applied: status, type and message of the answer.
    reason              TEXT    CHECK (reason IS NULL OR json_valid(reason)),
    redacted            TEXT    CHECK (redacted IS NULL OR json_valid(redacted)),
    unkept              TEXT    CHECK (unkept IS NULL OR json_valid(unkept)),
    -- Rules found broken after the change that were not broken before, nor predicted to be.
    after_violations    TEXT    CHECK (after_violations IS NULL OR json_valid(after_violations)),
    -- Digests of its rows in `touched`, and of half 2 in `originals`.
    touched             BLOB    CHECK (length(touched) = 16),
    sealed              BLOB    CHECK (length(sealed) = 16),

    CHECK (effect IS NULL OR outcome = 'applied'),
    CHECK (upstream_call IS NOT NULL
        OR (upstream_status IS NULL AND upstream_request_id IS NULL))
) STRICT;

CREATE INDEX ends_not_applied ON ends (outcome, seq) WHERE outcome <> 'applied';
CREATE INDEX ends_not_exact   ON ends (effect, seq) WHERE effect <> 'exact';
CREATE INDEX ends_after       ON ends (after) WHERE after IS NOT NULL;

-- The places in deployments that ever changed, or were asked to.
CREATE TABLE places (
    number INTEGER PRIMARY KEY,
    path   TEXT    NOT NULL UNIQUE CHECK (path = '' OR path LIKE '/%') -- JSON Pointer (RFC 6901)
) STRICT;

-- Where changes changed their deployments, computed fields aside, or were asked to: a row for each
-- place and for each around it, so that the changes at or below a place are found by its name alone.
CREATE TABLE touched (
    place INTEGER NOT NULL REFERENCES places (number),
    seq   INTEGER NOT NULL REFERENCES changes (seq),
    -- 0: asked for, and changed; 2: changed alone; 4: asked for alone. And 1 where that is so of
    -- anything below.
    kind  INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 5),
    PRIMARY KEY (place, kind, seq)
) STRICT, WITHOUT ROWID;

-- The rules that changes violated, each once, for the same reason.
CREATE TABLE broken (
    rule TEXT    NOT NULL CHECK (rule <> ''),
    seq  INTEGER NOT NULL REFERENCES changes (seq),
    PRIMARY KEY (rule, seq)
) STRICT, WITHOUT ROWID;

-- Bodies as they were before their secrets were concealed, encrypted: half 1 is what was asked and the
-- deployment before, half 2 the deployment after. Each has a data key of its own, wrapped under the
-- sealing key of that id: only by deleting a row, and changing that key, is an original gone.
CREATE TABLE originals (
    seq     INTEGER NOT NULL REFERENCES changes (seq),
    half    INTEGER NOT NULL CHECK (half = 1 OR half = 2),
    key     BLOB    NOT NULL CHECK (length(key) = 8),
    wrapped BLOB    NOT NULL CHECK (length(wrapped) = 60),
    body    BLOB    NOT NULL,
    PRIMARY KEY (seq, half)
) STRICT, WITHOUT ROWID;

-- What a later snapshot told of a change whose end was unclear.
CREATE TABLE settlements (
    seq     INTEGER NOT NULL PRIMARY KEY REFERENCES changes (seq),
    settled_by TEXT NOT NULL CHECK (settled_by = 'answer' OR settled_by LIKE 'chg\_%' ESCAPE '\'),
    at      INTEGER NOT NULL,
    applied INTEGER CHECK (applied IN (0, 1))                -- NULL: it can't be told
) STRICT;

-- What is no governed call.
CREATE TABLE events (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    at                INTEGER NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind <> ''),
    actor_fingerprint BLOB    CHECK (length(actor_fingerprint) = 8),
    actor_name        TEXT,
    actor_team        TEXT,
    actor_person      TEXT,
    client_ip         TEXT,
    request_id        TEXT,
    detail            TEXT    NOT NULL CHECK (json_valid(detail)),

    CHECK (actor_fingerprint IS NOT NULL
        OR (actor_name IS NULL AND actor_team IS NULL AND actor_person IS NULL))
) STRICT;

CREATE INDEX events_at ON events (at);
-- What was pruned or erased, what may not be, and verifications: looked for by each that prunes or
-- verifies.
CREATE INDEX events_retention ON events (kind, seq)
    WHERE kind = 'prune' OR kind = 'hold' OR kind = 'verification' OR kind = 'erase'
    OR kind = 'seal_rotation';

-- The Idempotency-Keys in force, each with the change that was forwarded under it: for a day from
-- its arrival, or until it has ended in a way that leaves the key unused. No other change is opened
-- under a key meanwhile, whoever writes.
CREATE TABLE idempotency_keys (
    digest   BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 16), -- keyed, of key and scope
    seq      INTEGER NOT NULL UNIQUE REFERENCES changes (seq),
    request  BLOB    NOT NULL CHECK (length(request) = 16),  -- keyed, of query and body
    until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_until ON idempotency_keys (until_at);

-- Changes that somebody else must approve before they pass, and those that passed by break-glass and
-- that somebody else must look at afterwards: what was asked. They stay for ever, so nothing here
-- depends on rows that pruning takes.
CREATE TABLE approvals (
    number            INTEGER PRIMARY KEY AUTOINCREMENT,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    kind              TEXT    NOT NULL CHECK (kind = 'request' OR kind = 'break_glass'),
    change_id         BLOB    NOT NULL UNIQUE CHECK (length(change_id) = 16), -- that asked
    upstream          TEXT    NOT NULL CHECK (upstream <> ''),
    operation         TEXT    NOT NULL,
    deployment_id     TEXT,                                   -- NULL on create
    actor_fingerprint BLOB    NOT NULL CHECK (length(actor_fingerprint) = 8),
    actor_name        TEXT,
    actor_team        TEXT,
    person            TEXT    NOT NULL CHECK (person <> ''),  -- who asks
    opened_at         INTEGER NOT NULL,
    rules             TEXT    NOT NULL CHECK (json_valid(rules)), -- that ask, each once
    -- Of a request: until when it is to be decided; a keyed digest of what is asked, and one of the
    -- deployment that it is asked of (NULL on create); and of each rule and place 8 bytes.
    expires_at        INTEGER,
    asked             BLOB    CHECK (length(asked) = 32),
    base              BLOB    CHECK (length(base) = 16),
    asks              BLOB    CHECK (length(asks) % 8 = 0),
    reason            TEXT,                                   -- of break-glass

    CHECK ((kind = 'request') = (expires_at IS NOT NULL)),
    CHECK ((kind = 'request') = (asked IS NOT NULL)),
    CHECK ((kind = 'request') = (asks IS NOT NULL)),
    CHECK ((kind = 'break_glass') = (reason IS NOT NULL)),
    CHECK (expires_at > opened_at)
) STRICT;

CREATE INDEX approvals_deployment  ON approvals (deployment_id, number);
CREATE INDEX approvals_break_glass ON approvals (person, number) WHERE kind = 'break_glass';

-- What became of them. The newest step tells; what is never decided, or never used, is over once
-- its time is, whether that is noted or not.
CREATE TABLE approval_steps (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    approval  INTEGER NOT NULL REFERENCES approvals (number),
    step      TEXT    NOT NULL CHECK (
        step = 'approved' OR step = 'rejected' OR step = 'used' OR step = 'returned'
        OR step = 'void' OR step = 'expired'),
    at        INTEGER NOT NULL,
    person    TEXT    CHECK (person <> ''),                   -- who decided
    token     TEXT,                                           -- by which admin token
    reason    TEXT    CHECK (reason <> ''),
    until_at  INTEGER,                                        -- it is to be used before
    change_id BLOB    CHECK (length(change_id) = 16),         -- that used it, or that made it void

    CHECK ((step = 'approved' OR step = 'rejected') = (person IS NOT NULL)),
    CHECK ((person IS NULL) = (token IS NULL)),
    CHECK (person IS NULL OR reason IS NOT NULL),
    CHECK (step <> 'void' OR reason IS NOT NULL),
    CHECK ((step = 'used' OR step = 'returned') <= (change_id IS NOT NULL))
) STRICT;

CREATE INDEX approval_steps_approval ON approval_steps (approval, number);
CREATE INDEX approval_steps_used     ON approval_steps (change_id) WHERE step = 'used';
CREATE INDEX approval_steps_expired  ON approval_steps (approval) WHERE step = 'expired';

-- How approvals stand, their time aside: by their newest step, and until when that holds.
CREATE VIEW approval_states AS
    SELECT a.number AS approval, coalesce(s.step, 'open') AS step,
        CASE WHEN s.step IS NULL THEN a.expires_at
            ELSE (SELECT until_at FROM approval_steps d
                WHERE d.approval = a.number AND d.step = 'approved' ORDER BY d.number DESC LIMIT 1)
        END AS until_at
    FROM approvals a LEFT JOIN approval_steps s ON s.number =
        (SELECT max(number) FROM approval_steps WHERE approval = a.number);

-- Kept by triggers, so that nobody looks through all of them: requests that are open, or approved
-- and not used; and until when they are that.
CREATE TABLE live_approvals (
    actor_fingerprint BLOB    NOT NULL,
    approval          INTEGER NOT NULL REFERENCES approvals (number),
    until_at          INTEGER NOT NULL,
    PRIMARY KEY (actor_fingerprint, approval)
) STRICT, WITHOUT ROWID;

CREATE INDEX live_approvals_until ON live_approvals (until_at);

-- Every record once it is finished, numbered from 0 without gaps in the order in which they were: the
-- leaves of a Merkle tree, and the order in which the log is read on. `kind` tells the table and `ref`
-- the row: 1 a change (its seq, once it has ended), 2 a settlement (likewise), 4 an event, 5 a policy,
-- 6 a key, 7 an approval, 8 a step of one, 9 a key of the log.
CREATE TABLE leaves (
    position INTEGER PRIMARY KEY CHECK (position >= 0),
    kind     INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 9),
    ref      INTEGER NOT NULL,
    -- Of the entry, which is made of the record and the salt; NULL until it is in the tree.
    hash     BLOB    CHECK (length(hash) = 32),
    -- A secret of the record's own: without it, nothing tells what was committed to. Of a record of
    -- which a part was erased, another one, under which the event `erase` commits to what is left.
    salt     BLOB    CHECK (length(salt) = 32),
    -- The entry itself, of a record that is not whole any more.
    entry    BLOB,

    CHECK (hash IS NOT NULL OR (salt IS NULL AND entry IS NULL)),
    UNIQUE (kind, ref)
) STRICT;

-- The roots over each 256 leaves (level 1), over each 256 of those (level 2), and so on.
CREATE TABLE subtrees (
    level  INTEGER NOT NULL CHECK (level > 0),
    number INTEGER NOT NULL CHECK (number >= 0),
    hash   BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- How many leaves are in the tree: the first ones.
CREATE TABLE tree (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL CHECK (size >= 0)
) STRICT;

INSERT INTO tree VALUES (1, 0);

-- The keys by which trees are signed, as verifiers take them.
CREATE TABLE log_keys (
    number INTEGER PRIMARY KEY,
    vkey   TEXT    NOT NULL UNIQUE CHECK (vkey <> ''),
    at     INTEGER NOT NULL
) STRICT;

-- The newest tree that was signed: its checkpoint, word by word.
CREATE TABLE checkpoint (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL CHECK (size >= 0),
    at   INTEGER NOT NULL,
    note TEXT    NOT NULL
) STRICT;

-- Where finished records are sent: of each sink the position of the record that it is sent next,
-- and how it went last. A row for a sink, none for a record.
CREATE TABLE sinks (
    name     TEXT    NOT NULL PRIMARY KEY CHECK (name <> ''),
    next     INTEGER NOT NULL CHECK (next >= 0),             -- a position
    revision INTEGER NOT NULL DEFAULT 1 CHECK (revision > 0), -- another one with each order
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0), -- that failed, one after the other
    next_at  INTEGER,                                        -- no attempt before
    sent     INTEGER NOT NULL DEFAULT 0 CHECK (sent >= 0),
    sent_at  INTEGER,
    error    TEXT,                                           -- of the last attempt that failed
    error_at INTEGER,
    dead     INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),   -- that were refused, listed or not
    disabled TEXT                                            -- a digest of the keys that were
) STRICT, WITHOUT ROWID;

-- The newest records that sinks refused for themselves, and were passed over.
CREATE TABLE dead_letters (
    sink     TEXT    NOT NULL REFERENCES sinks (name),
    position INTEGER NOT NULL CHECK (position >= 0),
    at       INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (sink, position)
) STRICT, WITHOUT ROWID;

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

-- How many changes there were, by what is asked about them, a day or an hour (UTC): those up to the
-- place in `counted`, which all have ended. It is made from them, a while later, so that a year of
-- them is counted without reading each; it stays when they are pruned.
CREATE TABLE counts (
    about   TEXT    NOT NULL CHECK (about <> ''),
    step    INTEGER NOT NULL CHECK (step = 3600000 OR step = 86400000),
    at      INTEGER NOT NULL CHECK (at % step = 0),
    value   TEXT    NOT NULL,
    changes INTEGER NOT NULL CHECK (changes > 0),
    PRIMARY KEY (about, step, at, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE counted (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL CHECK (seq > 0)
) STRICT;

-- When the changes of a block of 1,024 places were received, as far as they are counted: where those
-- of some time may lie. Places follow arrivals nearly, and clocks may be set.
CREATE TABLE spans (
    block    INTEGER NOT NULL PRIMARY KEY CHECK (block >= 0),
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL CHECK (last_at >= first_at)
) STRICT;

-- Holds its one row only inside a transaction that prunes or erases: nothing is deleted without it.
CREATE TABLE pruning (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    since_at INTEGER NOT NULL
) STRICT;

-- Written to find out whether the log can be written again.
CREATE TABLE heartbeat (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;

-- As large as a batch of records, written and emptied to find out whether there is room for one.
CREATE TABLE ballast (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    room BLOB    NOT NULL
) STRICT;

CREATE TRIGGER changes_begin AFTER INSERT ON changes
BEGIN INSERT INTO pending VALUES (NEW.seq); END;

CREATE TRIGGER changes_break_rules AFTER INSERT ON changes WHEN NEW.violations IS NOT NULL
BEGIN
    INSERT INTO broken
    SELECT DISTINCT json_extract(value, '$.rule'), NEW.seq FROM json_each(NEW.violations);
END;

CREATE TRIGGER ends_fit_their_decision BEFORE INSERT ON ends
WHEN EXISTS (SELECT 1 FROM changes WHERE seq = NEW.seq AND (
    (NEW.outcome = 'denied') <> (decision = 'deny')
    -- What was refused or denied was never on its way.
    OR (decision NOT IN ('allow', 'warn') AND NEW.outcome IN ('applied', 'unknown'))))
BEGIN SELECT RAISE(ABORT, 'a change ends as its decision allows'); END;

CREATE TRIGGER idempotency_keys_come_with_their_intents BEFORE INSERT ON idempotency_keys
WHEN NOT EXISTS (SELECT 1 FROM pending p JOIN changes c ON c.seq = p.seq
    WHERE p.seq = NEW.seq AND NEW.until_at = c.received_at + 86400000)
BEGIN SELECT RAISE(ABORT, 'an Idempotency-Key is one of a change on its way, for a day'); END;

-- The one in the way, and some others, so that there are never many.
CREATE TRIGGER idempotency_keys_expire BEFORE INSERT ON idempotency_keys
BEGIN
    DELETE FROM idempotency_keys
    WHERE digest = NEW.digest AND until_at <= NEW.until_at - 86400000;
    DELETE FROM idempotency_keys WHERE digest IN (
        SELECT digest FROM idempotency_keys WHERE until_at <= NEW.until_at - 86400000
        ORDER BY until_at LIMIT 4);
END;

-- What surely was not done, and may be tried again, was not done under the key.
CREATE TRIGGER ends_may_leave_a_key_unused AFTER INSERT ON ends
WHEN NEW.outcome = 'failed'
    OR (NEW.outcome = 'rejected' AND (NEW.upstream_status = 401 OR NEW.upstream_status = 408
        OR NEW.upstream_status = 409 OR NEW.upstream_status = 425 OR NEW.upstream_status = 429))
BEGIN DELETE FROM idempotency_keys WHERE seq = NEW.seq; END;

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

-- Every record is a leaf, whoever writes it.

CREATE TRIGGER ends_are_leaves AFTER INSERT ON ends
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 1, NEW.seq);
END;

CREATE TRIGGER settlements_are_leaves AFTER INSERT ON settlements
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 2, NEW.seq);
END;

CREATE TRIGGER events_are_leaves AFTER INSERT ON events
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 4, NEW.seq);
END;

CREATE TRIGGER policies_are_leaves AFTER INSERT ON policies
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 5, NEW.number);
END;

CREATE TRIGGER keys_are_leaves AFTER INSERT ON keys
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 6, NEW.number);
END;

CREATE TRIGGER approvals_are_leaves AFTER INSERT ON approvals
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 7, NEW.number);
END;

CREATE TRIGGER approval_steps_are_leaves AFTER INSERT ON approval_steps
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 8, NEW.number);
END;

CREATE TRIGGER log_keys_are_leaves AFTER INSERT ON log_keys
BEGIN
    INSERT INTO leaves (position, kind, ref)
    VALUES ((SELECT coalesce(max(position), -1) + 1 FROM leaves), 9, NEW.number);
END;

CREATE TRIGGER leaves_follow_each_other BEFORE INSERT ON leaves
WHEN NEW.position IS NOT (SELECT coalesce(max(position), -1) + 1 FROM leaves)
    OR EXISTS (SELECT 1 FROM leaves WHERE kind = NEW.kind AND ref = NEW.ref)
BEGIN SELECT RAISE(ABORT, 'a leaf is the next one, and the only one of its record'); END;

-- A leaf comes into the tree once. Pruning and erasing may take its record away, or a part of it,
-- and leave what is said of it.
CREATE TRIGGER leaves_stay BEFORE UPDATE ON leaves
WHEN NEW.position <> OLD.position OR NEW.kind <> OLD.kind OR NEW.ref <> OLD.ref
    OR (OLD.hash IS NOT NULL AND (NEW.hash IS NOT OLD.hash OR NOT EXISTS (SELECT 1 FROM pruning)))
BEGIN SELECT RAISE(ABORT, 'a leaf is never altered'); END;

CREATE TRIGGER leaves_are_kept BEFORE DELETE ON leaves
BEGIN SELECT RAISE(ABORT, 'a leaf is never deleted'); END;

CREATE TRIGGER subtrees_stay BEFORE UPDATE ON subtrees
BEGIN SELECT RAISE(ABORT, 'the root of a full subtree is never altered'); END;

CREATE TRIGGER subtrees_are_kept BEFORE DELETE ON subtrees
BEGIN SELECT RAISE(ABORT, 'the root of a full subtree is never deleted'); END;

CREATE TRIGGER subtrees_are_not_replaced BEFORE INSERT ON subtrees
WHEN EXISTS (SELECT 1 FROM subtrees WHERE level = NEW.level AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the root of a full subtree is never replaced'); END;

CREATE TRIGGER tree_grows BEFORE UPDATE ON tree WHEN NEW.size < OLD.size
BEGIN SELECT RAISE(ABORT, 'the tree only grows'); END;

CREATE TRIGGER tree_is_kept BEFORE DELETE ON tree
BEGIN SELECT RAISE(ABORT, 'the tree only grows'); END;

CREATE TRIGGER tree_is_not_replaced BEFORE INSERT ON tree
BEGIN SELECT RAISE(ABORT, 'the tree only grows'); END;

CREATE TRIGGER log_keys_stay BEFORE UPDATE ON log_keys
BEGIN SELECT RAISE(ABORT, 'a key of the log is never altered'); END;

CREATE TRIGGER log_keys_are_kept BEFORE DELETE ON log_keys
BEGIN SELECT RAISE(ABORT, 'a key of the log is never deleted'); END;

CREATE TRIGGER log_keys_are_not_replaced BEFORE INSERT ON log_keys
WHEN EXISTS (SELECT 1 FROM log_keys WHERE vkey = NEW.vkey OR number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER checkpoint_grows BEFORE UPDATE ON checkpoint WHEN NEW.size < OLD.size
BEGIN SELECT RAISE(ABORT, 'a checkpoint is of the newest tree'); END;

CREATE TRIGGER checkpoint_is_kept BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'a checkpoint is of the newest tree'); END;

-- No row is altered.

CREATE TRIGGER changes_stay BEFORE UPDATE OF seq, id, upstream, policy, node, operation, actor_fingerprint,
    actor_name, actor_team, actor_person, client_ip, user_agent, client_retry, request_id, received_at, decided_at,
    decision, body_bytes, method, approval, reverts, sealed ON changes
BEGIN SELECT RAISE(ABORT, 'a change is never altered'); END;

-- Erasing takes bodies and texts away, and leaves which rules there were.
CREATE TRIGGER changes_are_erased_alone BEFORE UPDATE OF violations, standing, patch, before, body_digest,
    redacted, unkept ON changes
WHEN NOT EXISTS (SELECT 1 FROM pruning)
    OR (NEW.patch IS NOT NULL AND NEW.patch IS NOT OLD.patch)
    OR (NEW.before IS NOT NULL AND NEW.before IS NOT OLD.before)
    OR (NEW.body_digest IS NOT NULL AND NEW.body_digest IS NOT OLD.body_digest)
    OR length(coalesce(NEW.redacted, '')) > length(coalesce(OLD.redacted, ''))
    OR (SELECT group_concat(json_extract(value, '$.rule')) FROM json_each(NEW.violations))
        IS NOT (SELECT group_concat(json_extract(value, '$.rule')) FROM json_each(OLD.violations))
    OR (SELECT group_concat(json_extract(value, '$.rule')) FROM json_each(NEW.standing))
        IS NOT (SELECT group_concat(json_extract(value, '$.rule')) FROM json_each(OLD.standing))
BEGIN SELECT RAISE(ABORT, 'a change is never altered, but by erasing'); END;

CREATE TRIGGER changes_learn_what_they_made BEFORE UPDATE OF deployment ON changes
WHEN OLD.operation <> 'create' OR OLD.deployment IS NOT NULL OR NEW.deployment IS NULL
BEGIN SELECT RAISE(ABORT, 'a change is never altered'); END;

CREATE TRIGGER ends_stay BEFORE UPDATE ON ends
WHEN NOT EXISTS (SELECT 1 FROM pruning)
    OR NEW.seq <> OLD.seq OR NEW.outcome <> OLD.outcome OR NEW.completed_at <> OLD.completed_at
    OR NEW.upstream_call IS NOT OLD.upstream_call OR NEW.upstream_status IS NOT OLD.upstream_status
    OR NEW.upstream_request_id IS NOT OLD.upstream_request_id OR NEW.effect IS NOT OLD.effect
    OR NEW.sealed IS NOT OLD.sealed
    OR (NEW.touched IS NOT NULL AND NEW.touched IS NOT OLD.touched)
    OR (NEW.after IS NOT NULL AND NEW.after IS NOT OLD.after)
    OR json_extract(NEW.reason, '$.status') IS NOT json_extract(OLD.reason, '$.status')
    OR length(coalesce(NEW.reason, '')) > length(coalesce(OLD.reason, ''))
    OR length(coalesce(NEW.redacted, '')) > length(coalesce(OLD.redacted, ''))
    OR (SELECT group_concat(json_extract(value, '$.rule')) FROM json_each(NEW.after_violations))
        IS NOT
        (SELECT group_concat(json_extract(value, '$.rule')) FROM json_each(OLD.after_violations))
BEGIN SELECT RAISE(ABORT, 'a change ends once and is never altered after, but by erasing'); END;

CREATE TRIGGER settlements_stay BEFORE UPDATE ON settlements
BEGIN SELECT RAISE(ABORT, 'a settlement is never altered'); END;

-- Changing the sealing key wraps data keys anew: what they open stays.
CREATE TRIGGER originals_stay BEFORE UPDATE ON originals
WHEN NEW.seq <> OLD.seq OR NEW.half <> OLD.half OR NEW.body <> OLD.body OR NEW.key = OLD.key
BEGIN SELECT RAISE(ABORT, 'a sealed original is never altered'); END;

-- Pruning may pack what it leaves of a segment anew: the text stays.
CREATE TRIGGER snapshots_stay BEFORE UPDATE ON snapshots
WHEN NOT EXISTS (SELECT 1 FROM pruning)
    OR NEW.number <> OLD.number OR NEW.digest <> OLD.digest
BEGIN SELECT RAISE(ABORT, 'a snapshot is never altered'); END;

CREATE TRIGGER deployments_stay BEFORE UPDATE ON deployments
BEGIN SELECT RAISE(ABORT, 'a deployment keeps its number'); END;

CREATE TRIGGER upstreams_stay BEFORE UPDATE ON upstreams
BEGIN SELECT RAISE(ABORT, 'an upstream is never altered'); END;

CREATE TRIGGER nodes_stay BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'a node is never altered'); END;

CREATE TRIGGER policies_stay BEFORE UPDATE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy is never altered'); END;

CREATE TRIGGER places_stay BEFORE UPDATE ON places
BEGIN SELECT RAISE(ABORT, 'a place is never altered'); END;

CREATE TRIGGER touched_stay BEFORE UPDATE ON touched
BEGIN SELECT RAISE(ABORT, 'a touched place is never altered'); END;

CREATE TRIGGER broken_stay BEFORE UPDATE ON broken
BEGIN SELECT RAISE(ABORT, 'a broken rule is never altered'); END;

CREATE TRIGGER idempotency_keys_stay BEFORE UPDATE ON idempotency_keys
BEGIN SELECT RAISE(ABORT, 'an Idempotency-Key stays with its change'); END;

CREATE TRIGGER events_stay BEFORE UPDATE ON events
WHEN NOT EXISTS (SELECT 1 FROM pruning) OR json_extract(NEW.detail, '$.erased') IS NOT 1
    OR NOT (OLD.kind = 'drift' OR OLD.kind = 'approval' OR OLD.kind = 'break_glass')
    OR NEW.seq <> OLD.seq OR NEW.at <> OLD.at OR NEW.kind <> OLD.kind
    OR NEW.actor_fingerprint IS NOT OLD.actor_fingerprint OR NEW.actor_name IS NOT OLD.actor_name
    OR NEW.actor_team IS NOT OLD.actor_team OR NEW.actor_person IS NOT OLD.actor_person
    OR NEW.client_ip IS NOT OLD.client_ip OR NEW.request_id IS NOT OLD.request_id
BEGIN SELECT RAISE(ABORT, 'an event is never altered, but by erasing'); END;

CREATE TRIGGER keys_stay BEFORE UPDATE ON keys
BEGIN SELECT RAISE(ABORT, 'the key of a record is never altered'); END;

-- Nothing is deleted, but by pruning and erasing.

CREATE TRIGGER changes_are_kept BEFORE DELETE ON changes
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes changes'); END;

CREATE TRIGGER ends_are_kept BEFORE DELETE ON ends
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes ends'); END;

CREATE TRIGGER settlements_are_kept BEFORE DELETE ON settlements
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes settlements'); END;

CREATE TRIGGER originals_are_kept BEFORE DELETE ON originals
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning and erasing delete originals'); END;

CREATE TRIGGER snapshots_are_kept BEFORE DELETE ON snapshots
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning and erasing delete snapshots'); END;

CREATE TRIGGER deployments_are_kept BEFORE DELETE ON deployments
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes deployments'); END;

CREATE TRIGGER upstreams_are_kept BEFORE DELETE ON upstreams
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes upstreams'); END;

CREATE TRIGGER nodes_are_kept BEFORE DELETE ON nodes
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes nodes'); END;

CREATE TRIGGER policies_are_kept BEFORE DELETE ON policies
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes policies'); END;

CREATE TRIGGER places_are_kept BEFORE DELETE ON places
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning and erasing delete places'); END;

CREATE TRIGGER touched_are_kept BEFORE DELETE ON touched
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning and erasing delete touched places'); END;

CREATE TRIGGER broken_are_kept BEFORE DELETE ON broken
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes broken rules'); END;

CREATE TRIGGER idempotency_keys_are_kept BEFORE DELETE ON idempotency_keys
WHEN NOT EXISTS (SELECT 1 FROM pruning)
    AND NOT EXISTS (SELECT 1 FROM changes WHERE received_at >= OLD.until_at)
    AND NOT EXISTS (SELECT 1 FROM ends WHERE seq = OLD.seq AND (outcome = 'failed'
        OR (outcome = 'rejected' AND (upstream_status = 401 OR upstream_status = 408
            OR upstream_status = 409 OR upstream_status = 425 OR upstream_status = 429))))
BEGIN SELECT RAISE(ABORT, 'an Idempotency-Key is in force for a day'); END;

CREATE TRIGGER events_are_kept BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'only pruning deletes events'); END;

CREATE TRIGGER keys_are_kept BEFORE DELETE ON keys
BEGIN SELECT RAISE(ABORT, 'the key of a record is kept'); END;

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

CREATE TRIGGER idempotency_keys_are_not_replaced BEFORE INSERT ON idempotency_keys
WHEN EXISTS (SELECT 1 FROM idempotency_keys
    WHERE (digest = NEW.digest AND until_at > NEW.until_at - 86400000) OR seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'an Idempotency-Key in force is never replaced'); END;

CREATE TRIGGER settlements_are_not_replaced BEFORE INSERT ON settlements
WHEN EXISTS (SELECT 1 FROM settlements WHERE seq = NEW.seq)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER originals_are_not_replaced BEFORE INSERT ON originals
WHEN EXISTS (SELECT 1 FROM originals WHERE seq = NEW.seq AND half = NEW.half)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER snapshots_are_not_replaced BEFORE INSERT ON snapshots
WHEN EXISTS (SELECT 1 FROM snapshots WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'a snapshot is never replaced'); END;

CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN NEW.seq > 0 AND EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'an event is never replaced'); END;

CREATE TRIGGER keys_are_not_replaced BEFORE INSERT ON keys
WHEN NEW.number > 0 AND EXISTS (SELECT 1 FROM keys WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the key of a record is never replaced'); END;

-- These are written only where the gateway does not remember that they are there.
CREATE TRIGGER deployments_are_not_replaced BEFORE INSERT ON deployments
WHEN EXISTS (SELECT 1 FROM deployments WHERE id = NEW.id AND upstream = NEW.upstream)
    OR EXISTS (SELECT 1 FROM deployments WHERE number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER upstreams_are_not_replaced BEFORE INSERT ON upstreams
WHEN EXISTS (SELECT 1 FROM upstreams WHERE name = NEW.name AND provider = NEW.provider)
    OR EXISTS (SELECT 1 FROM upstreams WHERE number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER nodes_are_not_replaced BEFORE INSERT ON nodes
WHEN EXISTS (SELECT 1 FROM nodes WHERE name = NEW.name)
    OR EXISTS (SELECT 1 FROM nodes WHERE number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER places_are_not_replaced BEFORE INSERT ON places
WHEN EXISTS (SELECT 1 FROM places WHERE path = NEW.path)
    OR EXISTS (SELECT 1 FROM places WHERE number = NEW.number)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER policies_are_not_replaced BEFORE INSERT ON policies
WHEN EXISTS (SELECT 1 FROM policies WHERE digest = NEW.digest)
    OR EXISTS (SELECT 1 FROM policies WHERE number = NEW.number)
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

-- Approvals.

CREATE TRIGGER approvals_are_of_their_changes BEFORE INSERT ON approvals
WHEN NOT EXISTS (SELECT 1 FROM changes c JOIN upstreams u ON u.number = c.upstream
    WHERE c.id = NEW.change_id AND c.approval = NEW.id AND c.operation = NEW.operation
        AND u.name = NEW.upstream AND c.actor_fingerprint = NEW.actor_fingerprint
        AND c.actor_person = NEW.person
        AND c.decision = CASE NEW.kind WHEN 'request' THEN 'deny' ELSE 'allow' END)
BEGIN SELECT RAISE(ABORT, 'an approval is of the change that asks for it, by a person'); END;

CREATE TRIGGER approvals_are_asked_for_once BEFORE INSERT ON approvals
WHEN NEW.kind = 'request' AND EXISTS (SELECT 1 FROM live_approvals l
    JOIN approvals a ON a.number = l.approval
    WHERE l.actor_fingerprint = NEW.actor_fingerprint AND a.asked = NEW.asked
        AND l.until_at > NEW.opened_at)
BEGIN SELECT RAISE(ABORT, 'what is asked for already is not asked for again'); END;

CREATE TRIGGER approvals_wait_for_reviews BEFORE INSERT ON approvals
WHEN NEW.kind = 'break_glass' AND EXISTS (SELECT 1 FROM approvals a
    JOIN approval_states s ON s.approval = a.number
    WHERE a.kind = 'break_glass' AND a.person = NEW.person AND s.step <> 'approved')
BEGIN SELECT RAISE(ABORT, 'the glass is broken again only once somebody has reviewed the last time'); END;

CREATE TRIGGER approvals_live AFTER INSERT ON approvals WHEN NEW.kind = 'request'
BEGIN INSERT INTO live_approvals VALUES (NEW.actor_fingerprint, NEW.number, NEW.expires_at); END;

CREATE TRIGGER approvals_are_told AFTER INSERT ON approvals
BEGIN
    INSERT INTO events (at, kind, actor_fingerprint, actor_name, actor_team, actor_person, detail)
    VALUES (NEW.opened_at, CASE NEW.kind WHEN 'request' THEN 'approval' ELSE NEW.kind END,
        NEW.actor_fingerprint, NEW.actor_name, NEW.actor_team, NEW.person,
        json_patch('{}', json_object('approval', 'apr_' || lower(hex(NEW.id)), 'step', 'opened',
            'change', 'chg_' || lower(hex(NEW.change_id)), 'deployment_id', NEW.deployment_id,
            'rules', json(NEW.rules), 'reason', NEW.reason)));
END;

CREATE TRIGGER approval_steps_follow_each_other BEFORE INSERT ON approval_steps
WHEN NOT EXISTS (SELECT 1 FROM approvals a JOIN approval_states s ON s.approval = a.number
    WHERE a.number = NEW.approval AND CASE a.kind
    WHEN 'break_glass' THEN CASE NEW.step
        WHEN 'approved' THEN NEW.until_at IS NULL AND (s.step = 'open' OR s.step = 'rejected')
        WHEN 'rejected' THEN s.step = 'open'
        ELSE 0 END
    ELSE CASE NEW.step
        WHEN 'approved' THEN s.step = 'open' AND s.until_at > NEW.at AND NEW.until_at > NEW.at
        WHEN 'rejected' THEN (s.step = 'open' OR s.step = 'approved' OR s.step = 'returned')
            AND s.until_at > NEW.at
        WHEN 'used' THEN (s.step = 'approved' OR s.step = 'returned') AND s.until_at > NEW.at
        WHEN 'returned' THEN s.step = 'used'
        WHEN 'void' THEN s.step = 'open' OR s.step = 'approved' OR s.step = 'returned'
        WHEN 'expired' THEN (s.step = 'open' OR s.step = 'approved' OR s.step = 'returned')
            AND s.until_at <= NEW.at
        ELSE 0 END
    END)
BEGIN SELECT RAISE(ABORT, 'the approval is not, or no longer, so that this can become of it'); END;

CREATE TRIGGER approval_steps_are_others_words BEFORE INSERT ON approval_steps
WHEN NEW.person = (SELECT person FROM approvals WHERE number = NEW.approval)
BEGIN SELECT RAISE(ABORT, 'nobody decides on what they asked for themselves'); END;

CREATE TRIGGER approval_steps_are_used_by_their_changes BEFORE INSERT ON approval_steps
WHEN NEW.step = 'used' AND NOT EXISTS (SELECT 1 FROM changes c
    JOIN pending p ON p.seq = c.seq JOIN approvals a ON a.number = NEW.approval
    WHERE c.id = NEW.change_id AND c.approval = a.id AND c.operation = a.operation
        AND c.actor_fingerprint = a.actor_fingerprint AND c.actor_person = a.person
        AND (c.decision = 'allow' OR c.decision = 'warn'))
BEGIN SELECT RAISE(ABORT, 'an approval is used by a change of its actor that begins'); END;

CREATE TRIGGER approval_steps_end_lives AFTER INSERT ON approval_steps
WHEN NEW.step = 'rejected' OR NEW.step = 'used' OR NEW.step = 'void' OR NEW.step = 'expired'
BEGIN
    DELETE FROM live_approvals WHERE approval = NEW.approval AND actor_fingerprint =
        (SELECT actor_fingerprint FROM approvals WHERE number = NEW.approval);
END;

CREATE TRIGGER approval_steps_set_terms AFTER INSERT ON approval_steps
WHEN NEW.step = 'approved' AND NEW.until_at IS NOT NULL
BEGIN
    UPDATE live_approvals SET until_at = NEW.until_at WHERE approval = NEW.approval
        AND actor_fingerprint =
            (SELECT actor_fingerprint FROM approvals WHERE number = NEW.approval);
END;

CREATE TRIGGER approval_steps_give_lives_back AFTER INSERT ON approval_steps
WHEN NEW.step = 'returned'
BEGIN
    INSERT INTO live_approvals
    SELECT a.actor_fingerprint, a.number, s.until_at
    FROM approvals a JOIN approval_states s ON s.approval = a.number WHERE a.number = NEW.approval;
END;

CREATE TRIGGER approval_steps_are_told AFTER INSERT ON approval_steps
BEGIN
    INSERT INTO events (at, kind, actor_fingerprint, actor_name, actor_team, actor_person, detail)
    SELECT NEW.at, CASE a.kind WHEN 'request' THEN 'approval' ELSE a.kind END,
        a.actor_fingerprint, a.actor_name, a.actor_team, a.person,
        json_patch('{}', json_object('approval', 'apr_' || lower(hex(a.id)), 'step', NEW.step,
            'change', 'chg_' || lower(hex(coalesce(NEW.change_id, a.change_id))),
            'deployment_id', a.deployment_id, 'by', NEW.person, 'token', NEW.token,
            'reason', NEW.reason))
    FROM approvals a WHERE a.number = NEW.approval;
END;

-- What surely was not applied has not used it up.
CREATE TRIGGER ends_give_approvals_back AFTER INSERT ON ends WHEN NEW.outcome = 'failed'
BEGIN
    INSERT INTO approval_steps (approval, step, at, change_id)
    SELECT s.approval, 'returned', NEW.completed_at, s.change_id FROM approval_steps s
    WHERE s.step = 'used' AND s.change_id = (SELECT id FROM changes WHERE seq = NEW.seq);
END;

-- What is approved is a change of one deployment as it was.
CREATE TRIGGER touched_voids_approvals AFTER INSERT ON touched
WHEN NEW.kind < 4 AND EXISTS (SELECT 1 FROM live_approvals)
BEGIN
    INSERT INTO approval_steps (approval, step, at, reason, change_id)
    SELECT a.number, 'void', e.completed_at, 'the deployment was changed', c.id
    FROM changes c JOIN ends e ON e.seq = c.seq JOIN deployments d ON d.number = c.deployment
    JOIN approvals a ON a.deployment_id = d.id AND a.upstream = d.upstream
    JOIN live_approvals l ON l.approval = a.number
        AND l.actor_fingerprint = a.actor_fingerprint AND l.until_at > e.completed_at
    WHERE c.seq = NEW.seq AND e.outcome = 'applied';
END;

CREATE TRIGGER approvals_stay BEFORE UPDATE OF number, id, kind, change_id, upstream, operation,
    deployment_id, actor_fingerprint, actor_name, actor_team, person, opened_at, rules, expires_at,
    asked, base, asks ON approvals
BEGIN SELECT RAISE(ABORT, 'an approval is never altered'); END;

CREATE TRIGGER approvals_are_erased_alone BEFORE UPDATE OF reason ON approvals
WHEN NOT EXISTS (SELECT 1 FROM pruning) OR NEW.reason IS NOT 'erased'
BEGIN SELECT RAISE(ABORT, 'an approval is never altered, but by erasing'); END;

CREATE TRIGGER approval_steps_stay BEFORE UPDATE OF number, approval, step, at, person, token,
    until_at, change_id ON approval_steps
BEGIN SELECT RAISE(ABORT, 'what became of an approval is never altered'); END;

CREATE TRIGGER approval_steps_are_erased_alone BEFORE UPDATE OF reason ON approval_steps
WHEN NOT EXISTS (SELECT 1 FROM pruning) OR NEW.reason IS NOT 'erased'
BEGIN SELECT RAISE(ABORT, 'what became of an approval is never altered, but by erasing'); END;

CREATE TRIGGER live_approvals_stay BEFORE UPDATE ON live_approvals
WHEN NEW.actor_fingerprint <> OLD.actor_fingerprint OR NEW.approval <> OLD.approval
    OR NEW.until_at IS NOT
        (SELECT until_at FROM approval_states WHERE approval = OLD.approval AND step = 'approved')
BEGIN SELECT RAISE(ABORT, 'only what becomes of an approval ends it'); END;

CREATE TRIGGER approvals_are_kept BEFORE DELETE ON approvals
BEGIN SELECT RAISE(ABORT, 'an approval is never deleted'); END;

CREATE TRIGGER approval_steps_are_kept BEFORE DELETE ON approval_steps
BEGIN SELECT RAISE(ABORT, 'what became of an approval is never deleted'); END;

CREATE TRIGGER live_approvals_are_kept BEFORE DELETE ON live_approvals
WHEN EXISTS (SELECT 1 FROM approval_states WHERE approval = OLD.approval
    AND (step = 'open' OR step = 'approved' OR step = 'returned'))
BEGIN SELECT RAISE(ABORT, 'only what becomes of an approval ends it'); END;

CREATE TRIGGER approvals_are_not_replaced BEFORE INSERT ON approvals
WHEN EXISTS (SELECT 1 FROM approvals
    WHERE id = NEW.id OR change_id = NEW.change_id OR (NEW.number > 0 AND number = NEW.number))
BEGIN SELECT RAISE(ABORT, 'an approval is never replaced'); END;

CREATE TRIGGER approval_steps_are_not_replaced BEFORE INSERT ON approval_steps
WHEN NEW.number > 0 AND EXISTS (SELECT 1 FROM approval_steps WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'what became of an approval is never replaced'); END;
