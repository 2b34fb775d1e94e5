-- What gateways write by. A function is named by its version: the one before stays while gateways
-- that call it may still run.

-- Where readers of all gateways stop: every number up to there has its row, or never will have one,
-- so that pages of the past never change. Those who write hold the lock together, from before they
-- take a number until they have committed; who asks waits for them, and they for nobody.
CREATE OR REPLACE FUNCTION changegate.horizon(OUT changes bigint, OUT events bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    PERFORM pg_advisory_xact_lock(1128743252, 1);
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO changes
        FROM changegate.changes_seq;
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO events FROM changegate.events_seq;
END $f$;

-- The first of 1,024 numbers for snapshots, which nobody else is given.
CREATE OR REPLACE FUNCTION changegate.snapshot_numbers_v1() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    SELECT nextval('changegate.snapshots_seq')
$f$;

-- Which of those that wait for a turn gets it: the first whose lease is not over.
CREATE OR REPLACE FUNCTION changegate.heir(waiting uuid[]) RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT l.lease FROM unnest(waiting) WITH ORDINALITY w (lease, place)
    JOIN changegate.leases l ON l.lease = w.lease AND l.until_at > clock_timestamp()
    ORDER BY w.place LIMIT 1
$f$;

-- Those who wait for a turn, behind that one.
CREATE OR REPLACE FUNCTION changegate.behind(waiting uuid[], heir uuid) RETURNS uuid[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT CASE WHEN heir IS NULL THEN '{}'
        ELSE waiting[array_position(waiting, heir) + 1 :] END
$f$;

-- Gives on a turn that is locked, to the first who waits.
CREATE OR REPLACE FUNCTION changegate.give_on(given changegate.turns) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE heir uuid := changegate.heir(given.waiting);
BEGIN
    UPDATE changegate.turns t SET holder = heir, token = given.token + 1, is_known = false,
        given_at = clock_timestamp(), waiting = changegate.behind(given.waiting, heir)
        WHERE t.turn = given.turn;
END $f$;

-- Writes a batch, once: a process numbers its batches, and one that was written already is left out.
-- Tells the number of the last batch that was written before. `entries` holds a list for each table,
-- each of which may be missing.
CREATE OR REPLACE FUNCTION changegate.write_v1(
    me uuid, batch_number bigint, node_name text, entries jsonb,
    OUT former bigint, OUT late_ends bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    node_number bigint;
    tokens integer;
    held integer;
BEGIN
    late_ends := 0;
    -- Until this commits, no reader takes a number from here for decided.
    PERFORM pg_advisory_xact_lock_shared(1128743252, 1);
    SELECT w.batch INTO former FROM changegate.writers w WHERE w.process = me FOR UPDATE;
    IF former >= batch_number THEN RETURN; END IF;
    INSERT INTO changegate.writers (process, batch) VALUES (me, batch_number)
        ON CONFLICT (process) DO UPDATE SET batch = EXCLUDED.batch, at = clock_timestamp();

    SELECT n.number INTO node_number FROM changegate.nodes n WHERE n.name = node_name;
    -- A command that writes is none.
    IF node_number IS NULL AND node_name IS NOT NULL THEN
        INSERT INTO changegate.nodes (name) VALUES (node_name) ON CONFLICT DO NOTHING;
        SELECT n.number INTO node_number FROM changegate.nodes n WHERE n.name = node_name;
    END IF;
    PERFORM set_config('changegate.node', coalesce(node_number::text, ''), true);

    IF entries ? 'approvals' OR entries ? 'steps' OR entries ? 'expiry' THEN
        -- Before any other lock.
        PERFORM pg_advisory_xact_lock(1128743252, 2);
    END IF;

    -- Two gateways may bring the same names: rare, so the second one waits for the first, and they
    -- are numbered in the order in which they come.
    IF entries ?| ARRAY['upstreams', 'policies', 'places', 'deployments'] THEN
        PERFORM pg_advisory_xact_lock(1128743252, 5);
    END IF;
    IF entries ? 'upstreams' THEN
        INSERT INTO changegate.upstreams (name, provider)
            SELECT name, provider FROM jsonb_to_recordset(entries -> 'upstreams')
                AS a (name text, provider text) ORDER BY 1, 2 ON CONFLICT DO NOTHING;
    END IF;
    IF entries ? 'policies' THEN
        INSERT INTO changegate.policies (digest, text)
            SELECT digest, text FROM jsonb_to_recordset(entries -> 'policies')
                AS a (digest text, text text) ORDER BY 1 ON CONFLICT DO NOTHING;
    END IF;
    IF entries ? 'places' THEN
        INSERT INTO changegate.places (path)
            SELECT path FROM jsonb_array_elements_text(entries -> 'places') AS a (path)
            WHERE NOT EXISTS (SELECT FROM changegate.places p WHERE p.path = a.path)
            ORDER BY 1 ON CONFLICT DO NOTHING;
    END IF;
    IF entries ? 'deployments' THEN
        INSERT INTO changegate.deployments (upstream, id)
            SELECT upstream, id FROM ROWS FROM (jsonb_to_recordset(entries -> 'deployments')
                AS (upstream text, id text)) WITH ORDINALITY AS a (upstream, id, place)
            WHERE NOT EXISTS (SELECT FROM changegate.deployments d
                WHERE d.id = a.id AND d.upstream = a.upstream)
            ORDER BY place ON CONFLICT DO NOTHING;
    END IF;
    IF entries ? 'snapshots' THEN
        INSERT INTO changegate.snapshots (number, digest, base, depth, body)
            SELECT number, digest, base, depth, body
            FROM jsonb_to_recordset(entries -> 'snapshots')
                AS a (number bigint, digest bytea, base bigint, depth smallint, body bytea);
        -- What was erased meanwhile is not built upon.
        IF EXISTS (SELECT FROM jsonb_to_recordset(entries -> 'snapshots') AS a (base bigint)
            WHERE a.base IS NOT NULL
            AND NOT EXISTS (SELECT FROM changegate.snapshots s WHERE s.number = a.base))
        THEN RAISE EXCEPTION USING ERRCODE = 'CG007',
            MESSAGE = 'the document that one is built upon is gone'; END IF;
    END IF;

    -- The turns of what begins, which nobody takes before this commits; and of what ends, which are
    -- given on below: all in their order.
    IF entries ? 'turns' OR entries ? 'ends' THEN
        PERFORM FROM changegate.turns t WHERE t.turn IN (
            SELECT turn FROM jsonb_to_recordset(entries -> 'turns') AS a (turn uuid)
            UNION ALL
            SELECT turn FROM jsonb_to_recordset(entries -> 'ends') AS a (turn uuid))
        ORDER BY t.turn FOR NO KEY UPDATE;
    END IF;
    IF entries ? 'turns' THEN
        SELECT count(*), count(l.lease) INTO tokens, held
            FROM jsonb_to_recordset(entries -> 'turns') AS a (turn uuid, token bigint)
            LEFT JOIN changegate.turns t ON t.turn = a.turn AND t.token = a.token
            LEFT JOIN changegate.leases l ON l.lease = t.holder AND l.process = me
                AND l.until_at > clock_timestamp();
        IF held < tokens THEN
            RAISE EXCEPTION USING ERRCODE = 'CG002',
                MESSAGE = 'the turn of the deployment is another gateway''s by now';
        END IF;
    END IF;

    IF entries ? 'changes' THEN
        IF EXISTS (SELECT FROM jsonb_to_recordset(entries -> 'changes') AS a (before bigint)
            WHERE a.before IS NOT NULL
            AND NOT EXISTS (SELECT FROM changegate.snapshots s WHERE s.number = a.before))
        THEN RAISE EXCEPTION USING ERRCODE = 'CG007',
            MESSAGE = 'the document that a change names is gone'; END IF;
        INSERT INTO changegate.changes (id, upstream, policy, node, process, turn, token, operation,
            method, deployment, actor_fingerprint, actor_name, actor_team, actor_person, client_ip,
            user_agent, client_retry, request_id, received_at, decided_at, decision, violations,
            standing, patch, before, body_bytes, body_digest, redacted, unkept, approval, reverts,
            sealed)
        SELECT a.id,
            (SELECT number FROM changegate.upstreams u
                WHERE u.name = a.upstream AND u.provider = a.provider),
            (SELECT number FROM changegate.policies p WHERE p.digest = a.policy),
            node_number, me, a.turn, a.token, a.operation, a.method,
            (SELECT number FROM changegate.deployments d
                WHERE d.id = a.deployment AND d.upstream = a.upstream),
            a.actor_fingerprint, a.actor_name, a.actor_team, a.actor_person, a.client_ip,
            a.user_agent, a.client_retry, a.request_id, a.received_at, a.decided_at, a.decision,
            a.violations, a.standing, a.patch, a.before, a.body_bytes, a.body_digest, a.redacted,
            a.unkept, a.approval, a.reverts, a.sealed
        FROM ROWS FROM (jsonb_to_recordset(entries -> 'changes') AS (id bytea, upstream text,
            provider text, policy text, turn uuid, token bigint, operation text, method text,
            deployment text, actor_fingerprint bytea, actor_name text, actor_team text,
            actor_person text, client_ip text, user_agent text, client_retry bigint,
            request_id text, received_at bigint, decided_at bigint, decision text, violations text,
            standing text, patch bytea, before bigint, body_bytes bigint, body_digest text,
            redacted text, unkept text, approval bytea, reverts bytea, sealed bytea))
            WITH ORDINALITY
            AS a (id, upstream,
            provider, policy, turn, token, operation, method, deployment, actor_fingerprint,
            actor_name, actor_team, actor_person, client_ip, user_agent, client_retry, request_id,
            received_at, decided_at, decision, violations, standing, patch, before, body_bytes,
            body_digest, redacted, unkept, approval, reverts, sealed, place)
        ORDER BY a.place;
    END IF;
    IF entries ? 'keys' THEN
        INSERT INTO changegate.idempotency_keys (digest, seq, request, until_at)
            SELECT a.digest, c.seq, a.request, c.received_at + 86400000
            FROM jsonb_to_recordset(entries -> 'keys')
                AS a (id bytea, digest bytea, request bytea)
            JOIN changegate.changes c ON c.id = a.id ORDER BY a.digest;
    END IF;
    PERFORM changegate.write_approvals_v1(entries);
    IF entries ? 'ends' THEN
        late_ends := changegate.write_ends_v1(me, node_number, entries);
    END IF;
    IF entries ? 'originals' THEN
        INSERT INTO changegate.originals (seq, half, key, wrapped, body)
            SELECT c.seq, a.half, a.key, a.wrapped, a.body
            FROM jsonb_to_recordset(entries -> 'originals')
                AS a (id bytea, half smallint, key bytea, wrapped bytea, body bytea)
            JOIN changegate.changes c ON c.id = a.id ON CONFLICT DO NOTHING;
    END IF;
    IF entries ? 'settlements' THEN
        INSERT INTO changegate.settlements (seq, settled_by, at, applied)
            SELECT DISTINCT ON (seq) seq, settled_by, at, applied
            FROM jsonb_to_recordset(entries -> 'settlements')
                AS a (seq bigint, settled_by text, at bigint, applied boolean)
            ORDER BY seq ON CONFLICT (seq) DO NOTHING;
    END IF;
    IF entries ? 'events' THEN
        INSERT INTO changegate.events (at, kind, node, actor_fingerprint, actor_name, actor_team,
            actor_person, client_ip, request_id, detail)
        SELECT at, kind, node_number, actor_fingerprint, actor_name, actor_team, actor_person,
            client_ip, request_id, detail
        FROM ROWS FROM (jsonb_to_recordset(entries -> 'events') AS (at bigint, kind text,
            actor_fingerprint bytea, actor_name text, actor_team text, actor_person text,
            client_ip text, request_id text, detail text)) WITH ORDINALITY AS a (at, kind,
            actor_fingerprint, actor_name, actor_team, actor_person, client_ip, request_id, detail,
            place)
        ORDER BY a.place;
    END IF;
END $f$;

-- The part of a batch that is about approvals: steps that come before others are asked for, those,
-- and the other steps.
CREATE OR REPLACE FUNCTION changegate.write_approvals_v1(entries jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    IF entries ? 'voids' THEN
        PERFORM changegate.write_steps_v1(entries -> 'voids');
    END IF;
    IF entries ? 'approvals' THEN
        INSERT INTO changegate.approvals (id, kind, change_id, upstream, operation, deployment_id,
            actor_fingerprint, actor_name, actor_team, person, opened_at, rules, expires_at, asked,
            base, asks, reason)
        SELECT id, kind, change_id, upstream, operation, deployment_id, actor_fingerprint,
            actor_name, actor_team, person, opened_at, rules, expires_at, asked, base, asks, reason
        FROM jsonb_to_recordset(entries -> 'approvals') AS a (id bytea, kind text, change_id bytea,
            upstream text, operation text, deployment_id text, actor_fingerprint bytea,
            actor_name text, actor_team text, person text, opened_at bigint, rules text,
            expires_at bigint, asked bytea, base bytea, asks bytea, reason text);
    END IF;
    IF entries ? 'steps' THEN
        PERFORM changegate.write_steps_v1(entries -> 'steps');
    END IF;
    IF entries ? 'expiry' THEN
        INSERT INTO changegate.approval_steps (approval, step, at)
            SELECT approval, 'expired', (entries ->> 'expiry')::bigint
            FROM changegate.live_approvals
            WHERE until_at <= (entries ->> 'expiry')::bigint ORDER BY approval;
    END IF;
END $f$;

-- Where no approval has that id, its number is NULL, which the table refuses.
CREATE OR REPLACE FUNCTION changegate.write_steps_v1(steps jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $f$
    INSERT INTO changegate.approval_steps
        (approval, step, at, person, token, reason, until_at, change_id)
    SELECT (SELECT number FROM changegate.approvals p WHERE p.id = a.id), a.step, a.at, a.person,
        a.token, a.reason, a.until_at, a.change_id
    FROM jsonb_to_recordset(steps) AS a (id bytea, step text, at bigint, person text, token text,
        reason text, until_at bigint, change_id bytea)
$f$;

-- The ends of a batch, what they touched, and the turns that they give on. Ending a change twice
-- changes nothing; an end of one that was ended for its gateway is kept beside: tells how many.
CREATE OR REPLACE FUNCTION changegate.write_ends_v1(
    me uuid, node_number bigint, entries jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    ended bigint[];
    late_ends bigint;
BEGIN
    -- What a create has made, whoever ended it.
    IF entries ? 'made' THEN
        UPDATE changegate.changes c SET deployment = d.number
            FROM jsonb_to_recordset(entries -> 'made') AS a (id bytea, upstream text, made text)
            JOIN changegate.deployments d ON d.id = a.made AND d.upstream = a.upstream
            WHERE c.id = a.id AND c.operation = 'create' AND c.deployment IS NULL;
    END IF;
    -- Who ends a change for a gateway that has gone takes it from those that wait, too.
    WITH asked AS (
        SELECT DISTINCT ON (c.seq) c.seq AS at_seq, a.*
        FROM ROWS FROM (jsonb_to_recordset(entries -> 'ends') AS (id bytea, outcome text,
            completed_at bigint, upstream_call text, upstream_status integer,
            upstream_request_id text, after bigint, effect text, reason text, redacted text,
            unkept text, after_violations text, touched bytea, sealed bytea)) WITH ORDINALITY
            AS a (id, outcome, completed_at,
            upstream_call, upstream_status, upstream_request_id, after, effect, reason, redacted,
            unkept, after_violations, touched, sealed, place)
        JOIN changegate.changes c ON c.id = a.id
        ORDER BY c.seq, a.place
    ), open AS MATERIALIZED (
        SELECT p.seq FROM changegate.pending p
        WHERE p.seq IN (SELECT at_seq FROM asked) ORDER BY p.seq FOR UPDATE
    ), done AS (
        INSERT INTO changegate.ends (seq, outcome, completed_at, upstream_call, upstream_status,
            upstream_request_id, after, effect, reason, redacted, unkept, after_violations,
            touched, sealed)
        SELECT a.at_seq, a.outcome, a.completed_at, a.upstream_call, a.upstream_status,
            a.upstream_request_id, a.after, a.effect, a.reason, a.redacted, a.unkept,
            a.after_violations, a.touched, a.sealed
        FROM asked a JOIN open o ON o.seq = a.at_seq ORDER BY a.at_seq
        RETURNING seq
    )
    SELECT coalesce(array_agg(seq), '{}') INTO ended FROM done;
    INSERT INTO changegate.late (seq, node, at, outcome, completed_at, upstream_call,
        upstream_status, upstream_request_id, after, effect, reason, redacted, unkept,
        after_violations, sealed)
    SELECT c.seq, node_number, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, a.outcome,
        a.completed_at, a.upstream_call, a.upstream_status, a.upstream_request_id, a.after,
        a.effect, a.reason, a.redacted, a.unkept, a.after_violations, a.sealed
    FROM jsonb_to_recordset(entries -> 'ends') AS a (id bytea, outcome text, completed_at bigint,
        upstream_call text, upstream_status integer, upstream_request_id text, after bigint,
        effect text, reason text, redacted text, unkept text, after_violations text, sealed bytea)
    JOIN changegate.changes c ON c.id = a.id JOIN changegate.ends e ON e.seq = c.seq AND e.swept
    ORDER BY c.seq ON CONFLICT (seq) DO NOTHING;
    GET DIAGNOSTICS late_ends = ROW_COUNT;
    IF entries ? 'touched' THEN
        INSERT INTO changegate.touched (place, seq, kind)
            SELECT (SELECT number FROM changegate.places p WHERE p.path = a.path), c.seq, a.kind
            FROM jsonb_to_recordset(entries -> 'touched')
                AS a (id bytea, path text, kind smallint)
            JOIN changegate.changes c ON c.id = a.id
            WHERE c.seq = ANY (ended) ON CONFLICT DO NOTHING;
    END IF;
    -- They are locked since before. Even of a change that was never opened; but nobody gives on
    -- what is another process's by now.
    PERFORM changegate.give_on(t) FROM changegate.turns t JOIN (
        SELECT DISTINCT turn, token FROM jsonb_to_recordset(entries -> 'ends')
            AS a (turn uuid, token bigint)) a ON t.turn = a.turn AND t.token = a.token
        JOIN changegate.leases l ON l.lease = t.holder AND l.process = me;
    RETURN late_ends;
END $f$;

-- Ends, for those that have gone, what waits for its end.
CREATE OR REPLACE FUNCTION changegate.end_for_others(seqs bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
DECLARE ended bigint;
BEGIN
    WITH open AS MATERIALIZED (
        SELECT p.seq FROM changegate.pending p WHERE p.seq = ANY (seqs)
        ORDER BY p.seq FOR UPDATE)
    INSERT INTO changegate.ends (seq, outcome, completed_at, swept)
        SELECT o.seq,
            CASE WHEN c.decision IN ('allow', 'warn') THEN 'unknown'
                WHEN c.decision = 'deny' THEN 'denied' ELSE 'refused' END,
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
            c.decision IN ('allow', 'warn')
        FROM open o JOIN changegate.changes c ON c.seq = o.seq ORDER BY o.seq;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END $f$;

-- Finds out whether a batch can be written, durably.
CREATE OR REPLACE FUNCTION changegate.probe_v1(me uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    INSERT INTO changegate.writers (process, batch) VALUES (me, 0)
        ON CONFLICT (process) DO UPDATE SET at = clock_timestamp()
$f$;

-- Puts the key of a gateway in force where nothing is recorded yet; where something is, it must be
-- the one that is.
CREATE OR REPLACE FUNCTION changegate.prepare_v1(key bytea, at_millis bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE newest bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(1128743252, 3);
    SELECT k.id INTO newest FROM changegate.keys k ORDER BY k.number DESC LIMIT 1;
    IF newest = key THEN RETURN; END IF;
    IF newest IS NOT NULL AND (EXISTS (SELECT FROM changegate.changes)
        OR EXISTS (SELECT FROM changegate.events))
    THEN
        RAISE EXCEPTION USING ERRCODE = 'CG005', MESSAGE = format(
            'the log was written under another key (key_%s) than this one (key_%s)',
            encode(newest, 'hex'), encode(key, 'hex'));
    END IF;
    INSERT INTO changegate.keys (id, first_seq, at) VALUES (key, 1, at_millis);
END $f$;

-- Refuses where a gateway runs on the log: a key is not changed beside one.
CREATE OR REPLACE FUNCTION changegate.hold_that_none_runs_v1() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    running text;
BEGIN
    -- A gateway that starts has its lease before it asks for its key.
    PERFORM pg_advisory_xact_lock(1128743252, 3);
    SELECT string_agg(DISTINCT l.node, ', ') INTO running FROM changegate.leases l
        WHERE l.until_at > clock_timestamp();
    IF running IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CG004', MESSAGE = format(
            'gateways run on this log (%s): stop them first, and wait ten seconds', running);
    END IF;
END $f$;

-- Puts another key in force, where no gateway runs, and tells from which change on it is.
CREATE OR REPLACE FUNCTION changegate.change_key_v1(
    former bytea, key bytea, at_millis bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    first bigint;
BEGIN
    PERFORM changegate.hold_that_none_runs_v1();
    PERFORM pg_advisory_xact_lock_shared(1128743252, 1);
    SELECT CASE WHEN is_called THEN last_value + 1 ELSE 1 END INTO first
        FROM changegate.changes_seq;
    INSERT INTO changegate.keys (id, first_seq, at) VALUES (key, first, at_millis);
    INSERT INTO changegate.events (at, kind, detail) VALUES (at_millis, 'key_rotation',
        json_build_object('from', 'key_' || encode(former, 'hex'),
            'to', 'key_' || encode(key, 'hex'), 'first_seq', first)::text);
    RETURN first;
END $f$;

-- Notes once that the server is on another timeline than before: another one has taken its place. Tells
-- how many of the batches that a gateway knows to be written are not there. Each gateway asks; who has
-- lost something notes that, too.
CREATE OR REPLACE FUNCTION changegate.failover_v1(
    me uuid, node_name text, written bigint, former_timeline text, timeline text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE lost bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1128743252, 5);
    PERFORM pg_advisory_xact_lock_shared(1128743252, 1);
    SELECT greatest(written - coalesce(max(w.batch), 0), 0) INTO lost
        FROM changegate.writers w WHERE w.process = me;
    IF lost > 0 OR NOT EXISTS (SELECT FROM
        (SELECT e.kind, e.detail FROM changegate.events e ORDER BY e.seq DESC LIMIT 1000) n
        WHERE n.kind = 'failover' AND n.detail::json ->> 'timeline' = failover_v1.timeline)
    THEN
        INSERT INTO changegate.events (at, kind, node, detail)
            VALUES ((extract(epoch FROM clock_timestamp()) * 1000)::bigint, 'failover',
                (SELECT n.number FROM changegate.nodes n WHERE n.name = node_name),
                json_build_object('from', former_timeline, 'timeline', timeline,
                    'lost', lost)::text);
    END IF;
    RETURN lost;
END $f$;
