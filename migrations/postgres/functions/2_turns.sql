-- Leases and turns. None of this is flushed to disk by itself: the intent of a change checks the
-- token of its turn once more, under a lock, and where an intent is flushed so is all before it.

-- Begins a lease, or renews it for as long as it is not over; tells whether it holds, how many
-- processes have one, and how many of them have this node's name.
CREATE OR REPLACE FUNCTION changegate.beat_v1(
    my_lease uuid, me uuid, node_name text, policy_digest text, millis bigint,
    OUT alive boolean, OUT nodes bigint, OUT namesakes bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO changegate.leases AS l (lease, process, node, policy, until_at)
        VALUES (my_lease, me, node_name, policy_digest,
            clock_timestamp() + millis * interval '1 millisecond')
        ON CONFLICT (lease) DO UPDATE SET until_at = EXCLUDED.until_at, policy = EXCLUDED.policy
            WHERE l.until_at > clock_timestamp();
    alive := FOUND;
    SELECT count(DISTINCT l.process),
        count(DISTINCT l.process) FILTER (WHERE l.node = node_name AND l.process <> me)
        INTO nodes, namesakes
        FROM changegate.leases l WHERE l.until_at > clock_timestamp();
END $f$;

-- Takes turns, or lines up for them. Each answer is a token, or the place in line, and whether there
-- may be changes of that deployment that are not settled. What one whose lease is over has left open
-- ends as unknown.
CREATE OR REPLACE FUNCTION changegate.take_v1(me uuid, my_lease uuid, wanted uuid[])
RETURNS TABLE (turn uuid, token bigint, place integer, unclear boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    t changegate.turns;
    heir uuid;
    is_held boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF NOT EXISTS (SELECT FROM changegate.leases l
        WHERE l.lease = my_lease AND l.until_at > clock_timestamp())
    THEN RAISE EXCEPTION USING ERRCODE = 'CG003', MESSAGE = 'the lease is over'; END IF;
    FOR turn IN SELECT DISTINCT w FROM unnest(wanted) w ORDER BY w LOOP
        token := NULL; place := NULL; unclear := false;
        -- Who only waits on locks nothing.
        SELECT * INTO t FROM changegate.turns x WHERE x.turn = take_v1.turn;
        IF NOT FOUND THEN
            INSERT INTO changegate.turns (turn) VALUES (take_v1.turn) ON CONFLICT DO NOTHING;
        ELSIF t.holder <> my_lease AND my_lease = ANY (t.waiting) AND EXISTS (
            SELECT FROM changegate.leases l
            WHERE l.lease = t.holder AND l.until_at > clock_timestamp())
        THEN
            place := array_position(t.waiting, my_lease);
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT * INTO t FROM changegate.turns x WHERE x.turn = take_v1.turn FOR NO KEY UPDATE;
        IF t.holder IS DISTINCT FROM my_lease THEN
            is_held := t.holder IS NOT NULL AND EXISTS (SELECT FROM changegate.leases l
                WHERE l.lease = t.holder AND l.until_at > clock_timestamp());
            IF NOT my_lease = ANY (t.waiting) THEN t.waiting := t.waiting || my_lease; END IF;
            IF is_held THEN
                UPDATE changegate.turns x SET waiting = t.waiting WHERE x.turn = take_v1.turn;
                place := array_position(t.waiting, my_lease);
                RETURN NEXT;
                CONTINUE;
            END IF;
            PERFORM changegate.end_for_others(array_agg(p.seq)) FROM changegate.pending p
                WHERE p.turn = take_v1.turn AND p.process <> me AND (p.token = t.token
                    AND t.holder IS NOT NULL OR NOT EXISTS (SELECT FROM changegate.leases l
                        WHERE l.process = p.process AND l.until_at > clock_timestamp()));
            -- The first who waits and lives, who may be another one still.
            heir := changegate.heir(t.waiting);
            t.waiting := changegate.behind(t.waiting, heir);
            UPDATE changegate.turns x SET holder = heir, token = x.token + 1, waiting = t.waiting
                WHERE x.turn = take_v1.turn RETURNING x.token INTO t.token;
            IF heir <> my_lease THEN
                place := array_position(t.waiting, my_lease);
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
        token := t.token;
        unclear := EXISTS (SELECT FROM changegate.unsettled u WHERE u.turn = take_v1.turn);
        RETURN NEXT;
    END LOOP;
END $f$;

-- Gives turns on, and leaves the line where there is no token.
CREATE OR REPLACE FUNCTION changegate.give_v1(my_lease uuid, given uuid[], tokens bigint[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    g record;
    t changegate.turns;
    heir uuid;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR g IN SELECT a.turn, a.token FROM unnest(given, tokens) AS a (turn, token) ORDER BY 1 LOOP
        SELECT * INTO t FROM changegate.turns x WHERE x.turn = g.turn FOR NO KEY UPDATE;
        IF t.holder = my_lease AND (g.token IS NULL OR g.token = t.token) THEN
            heir := changegate.heir(t.waiting);
            UPDATE changegate.turns x SET holder = heir,
                token = x.token + CASE WHEN heir IS NULL THEN 0 ELSE 1 END,
                waiting = changegate.behind(t.waiting, heir) WHERE x.turn = g.turn;
        ELSIF g.token IS NULL AND my_lease = ANY (t.waiting) THEN
            UPDATE changegate.turns x SET waiting = array_remove(t.waiting, my_lease)
                WHERE x.turn = g.turn;
        END IF;
    END LOOP;
END $f$;

-- Ends a lease, and gives on all that was taken under it.
CREATE OR REPLACE FUNCTION changegate.end_lease_v1(my_lease uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    PERFORM changegate.give_v1(my_lease, array_agg(t.turn), array_agg(NULL::bigint))
        FROM changegate.turns t WHERE t.holder = my_lease OR my_lease = ANY (t.waiting);
    UPDATE changegate.leases l SET until_at = clock_timestamp() WHERE l.lease = my_lease;
END $f$;

-- Ends what processes without a lease have left open; tells how much. A gateway whose own lease is
-- younger than a lease lasts ends that of its own node's name alone: where the server was away, the
-- others may be on their way back to it.
CREATE OR REPLACE FUNCTION changegate.sweep_v1(
    me uuid, my_lease uuid, node_name text, millis bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    is_settled boolean;
    ended bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT l.since_at + millis * interval '1 millisecond' < clock_timestamp() INTO is_settled
        FROM changegate.leases l WHERE l.lease = my_lease AND l.until_at > clock_timestamp();
    IF is_settled IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CG003', MESSAGE = 'the lease is over';
    END IF;
    SELECT coalesce(changegate.end_for_others(array_agg(p.seq)), 0) INTO ended
    FROM (SELECT q.seq FROM changegate.pending q
        WHERE q.process IS DISTINCT FROM me AND NOT EXISTS (SELECT FROM changegate.leases l
            WHERE l.process = q.process AND l.until_at > clock_timestamp())
        AND (is_settled OR EXISTS (SELECT FROM changegate.leases l
            WHERE l.process = q.process AND l.node = node_name))
        ORDER BY q.seq LIMIT 1000) p;
    DELETE FROM changegate.leases l WHERE l.until_at < clock_timestamp() - interval '1 day'
        AND NOT EXISTS (SELECT FROM changegate.pending p WHERE p.process = l.process);
    DELETE FROM changegate.writers w WHERE w.at < clock_timestamp() - interval '1 day'
        AND NOT EXISTS (SELECT FROM changegate.leases l WHERE l.process = w.process);
    RETURN ended;
END $f$;
