-- How old records go, and whose never do.

-- Takes changes and events away with all that is theirs, in one transaction with the event that
-- names their leaves. `step` holds what was found beside: `changes` and `events` by their places,
-- `touched` and `broken` rows, `snapshots` that nothing else names, and such as stand alone from
-- now on (`repacked`). Tells `done`; `busy` where another one prunes; or `overtaken` where the log
-- is not any more as it was found, and nothing is done.
CREATE OR REPLACE FUNCTION changegate.prune_v1(step jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    changes_gone bigint[] := changegate.numbers(step -> 'changes');
    events_gone bigint[] := changegate.numbers(step -> 'events');
    gone bigint[] := changegate.numbers(step -> 'snapshots');
    -- A day by this server's clock, whatever the gateway's says.
    settled bigint := least((step ->> 'settled')::bigint,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 86400000);
    free bigint;
    positions bigint[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(1128743252, 7) THEN RETURN 'busy'; END IF;
    -- The event gets a number.
    PERFORM pg_advisory_xact_lock_shared(1128743252, 1);
    IF (SELECT coalesce(max(seq), 0) FROM changegate.events WHERE kind = 'hold')
        <> (step ->> 'holds')::bigint
    THEN RETURN 'overtaken'; END IF;
    SELECT count(*) INTO free FROM changegate.changes c
        JOIN changegate.ends e ON e.seq = c.seq
        JOIN changegate.leaves l ON l.kind = 1 AND l.ref = c.seq
        LEFT JOIN changegate.late z ON z.seq = c.seq
        WHERE c.seq = ANY (changes_gone) AND e.completed_at < settled
        AND c.seq <= (SELECT coalesce(max(seq), 0) FROM changegate.counted)
        AND (NOT e.swept OR z.seq IS NOT NULL OR e.completed_at < settled - 604800000)
        AND NOT EXISTS (SELECT FROM changegate.unsequenced q
            WHERE q.ref = c.seq AND q.kind IN (1, 2, 3))
        AND NOT EXISTS (SELECT FROM changegate.unsettled u
            WHERE u.deployment = c.deployment AND u.seq = c.seq)
        AND NOT EXISTS (SELECT FROM changegate.idempotency_keys k
            WHERE k.seq = c.seq AND k.until_at > (step ->> 'now')::bigint)
        AND NOT EXISTS (SELECT FROM changegate.approvals a
            JOIN changegate.approval_states s ON s.approval = a.number
            WHERE a.change_id = c.id AND (a.kind = 'break_glass' AND s.step <> 'approved'
                OR EXISTS (SELECT FROM changegate.live_approvals v
                    WHERE v.approval = a.number)))
        -- It tells how its deployment was left.
        AND (c.deployment IS NULL OR EXISTS (SELECT FROM changegate.changes n
            WHERE n.deployment = c.deployment AND n.seq > c.seq))
        AND (c.deployment IS NULL OR (c.before IS NULL AND e.after IS NULL)
            OR EXISTS (SELECT FROM changegate.changes n
                LEFT JOIN changegate.ends m ON m.seq = n.seq
                WHERE n.deployment = c.deployment AND n.seq > c.seq
                    AND (n.before IS NOT NULL OR m.after IS NOT NULL)));
    IF free <> cardinality(changes_gone) THEN RETURN 'overtaken'; END IF;
    SELECT count(*) INTO free FROM changegate.events v
        JOIN changegate.leaves l ON l.kind = 4 AND l.ref = v.seq
        WHERE v.seq = ANY (events_gone) AND v.at < settled
        AND v.kind NOT IN ('prune', 'erase', 'hold', 'key_rotation', 'seal_rotation', 'move',
            'failover');
    IF free <> cardinality(events_gone) THEN RETURN 'overtaken'; END IF;

    INSERT INTO changegate.pruning VALUES (1, (step ->> 'now')::bigint);
    DELETE FROM changegate.touched t USING jsonb_array_elements(step -> 'touched') a
        WHERE t.place = (a ->> 0)::bigint AND t.kind = (a ->> 1)::smallint
        AND t.seq = (a ->> 2)::bigint AND t.seq = ANY (changes_gone);
    DELETE FROM changegate.broken b USING jsonb_array_elements(step -> 'broken') a
        WHERE b.rule = a ->> 0 AND b.seq = (a ->> 1)::bigint AND b.seq = ANY (changes_gone);
    SELECT coalesce(array_agg(position ORDER BY position), '{}') INTO positions
        FROM changegate.leaves WHERE (kind IN (1, 2, 3) AND ref = ANY (changes_gone))
        OR (kind = 4 AND ref = ANY (events_gone));
    DELETE FROM changegate.idempotency_keys WHERE seq = ANY (changes_gone);
    DELETE FROM changegate.settlements WHERE seq = ANY (changes_gone);
    DELETE FROM changegate.originals WHERE seq = ANY (changes_gone);
    DELETE FROM changegate.late WHERE seq = ANY (changes_gone);
    DELETE FROM changegate.ends WHERE seq = ANY (changes_gone);
    DELETE FROM changegate.changes WHERE seq = ANY (changes_gone);
    DELETE FROM changegate.events WHERE seq = ANY (events_gone);
    UPDATE changegate.snapshots s SET base = NULL, depth = 0, body = (a ->> 1)::bytea
        FROM jsonb_array_elements(step -> 'repacked') a
        WHERE s.number = (a ->> 0)::bigint AND s.base = ANY (gone);
    DELETE FROM changegate.snapshots WHERE number = ANY (gone);
    IF EXISTS (SELECT FROM changegate.changes WHERE before = ANY (gone))
        OR EXISTS (SELECT FROM changegate.ends WHERE after = ANY (gone))
        OR EXISTS (SELECT FROM changegate.late WHERE after = ANY (gone))
        OR EXISTS (SELECT FROM changegate.snapshots WHERE base = ANY (gone))
    THEN
        RAISE EXCEPTION USING ERRCODE = 'CG006',
            MESSAGE = 'a document that is named is not pruned';
    END IF;
    UPDATE changegate.leaves SET salt = NULL, entry = NULL WHERE position = ANY (positions);
    INSERT INTO changegate.events (at, kind, detail)
        VALUES ((step ->> 'now')::bigint, 'prune',
            ((step -> 'detail') || jsonb_build_object('changes', cardinality(changes_gone),
                'events', cardinality(events_gone),
                'leaves', changegate.ranges(positions)))::text);
    DELETE FROM changegate.pruning;
    RETURN 'done';
END $f$;

-- Numbers of a list.
CREATE OR REPLACE FUNCTION changegate.numbers(list jsonb) RETURNS bigint[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT ARRAY(SELECT a::bigint FROM jsonb_array_elements_text(list) a)
$f$;

-- Numbers in order as a text of ranges: `1-3,7`.
CREATE OR REPLACE FUNCTION changegate.ranges(numbers bigint[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT coalesce(string_agg(CASE WHEN first = last THEN first::text
        ELSE first || '-' || last END, ',' ORDER BY first), '')
    FROM (SELECT min(n) AS first, max(n) AS last
        FROM (SELECT n, n - row_number() OVER (ORDER BY n) AS run FROM unnest(numbers) n) r
        GROUP BY run) s
$f$;

-- Holds somebody's records back from pruning, or no longer: a word in the log. Whoever prunes right
-- now is waited for.
CREATE OR REPLACE FUNCTION changegate.hold_v1(at_millis bigint, detail jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(1128743252, 7);
    PERFORM pg_advisory_xact_lock_shared(1128743252, 1);
    INSERT INTO changegate.events (at, kind, detail) VALUES (at_millis, 'hold', detail::text);
END $f$;
