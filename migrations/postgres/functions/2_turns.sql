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

-- Whether who has a turn still does: the lease is not over, and whom it was given on to has asked for
-- it again within a second.
CREATE OR REPLACE FUNCTION changegate.is_held(t changegate.turns) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT t.holder IS NOT NULL
        AND (t.is_known OR t.given_at > clock_timestamp() - interval '1 second')
        AND EXISTS (SELECT FROM changegate.leases l
            WHERE l.lease = t.holder AND l.until_at > clock_timestamp())
$f$;

-- Takes turns, or lines up for them. Each answer is a token, for how many milliseconds no other lease
-- has had the turn, and how many changes of the deployment are unclear; or the place in line. What
-- one whose lease is over has left open ends as unknown.
CREATE OR REPLACE FUNCTION changegate.take_v1(me uuid, my_lease uuid, wanted uuid[])
RETURNS TABLE (turn uuid, token bigint, place integer, rested bigint, unclear bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    t changegate.turns;
    heir uuid;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF NOT EXISTS (SELECT FROM changegate.leases l
        WHERE l.lease = my_lease AND l.until_at > clock_timestamp())
    THEN RAISE EXCEPTION USING ERRCODE = 'CG003', MESSAGE = 'the lease is over'; END IF;
    FOR turn IN SELECT DISTINCT w FROM unnest(wanted) w ORDER BY w LOOP
        token := NULL; place := NULL; rested := NULL; unclear := 0;
        -- Who only waits on locks nothing.
        SELECT * INTO t FROM changegate.turns x WHERE x.turn = take_v1.turn;
        IF NOT FOUND THEN
            INSERT INTO changegate.turns (turn) VALUES (take_v1.turn) ON CONFLICT DO NOTHING;
        ELSIF t.holder <> my_lease AND my_lease = ANY (t.waiting) AND changegate.is_held(t) THEN
            place := array_position(t.waiting, my_lease);
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT * INTO t FROM changegate.turns x WHERE x.turn = take_v1.turn FOR NO KEY UPDATE;
        IF t.holder IS DISTINCT FROM my_lease THEN
            IF NOT my_lease = ANY (t.waiting) THEN t.waiting := t.waiting || my_lease; END IF;
            IF changegate.is_held(t) THEN
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
            IF heir <> my_lease THEN
                PERFORM changegate.give_on(t);
                place := array_position(changegate.behind(t.waiting, heir), my_lease);
                RETURN NEXT;
                CONTINUE;
            END IF;
            t.waiting := changegate.behind(t.waiting, heir);
        END IF;
        IF t.last <> my_lease THEN
            -- Who has not given it on may have been at work until now.
            t.others_until := CASE WHEN t.is_known THEN clock_timestamp() ELSE t.given_at END;
        END IF;
        -- A token that a crash of the server took back is not given again: whoever has it believes
        -- in it still.
        UPDATE changegate.turns x SET holder = my_lease, is_known = true, token = greatest(
                x.token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
            waiting = t.waiting, last = my_lease, others_until = t.others_until
            WHERE x.turn = take_v1.turn RETURNING x.token INTO take_v1.token;
        rested := (extract(epoch FROM clock_timestamp() - t.others_until) * 1000)::bigint;
        SELECT count(*) INTO unclear FROM changegate.unsettled u WHERE u.turn = take_v1.turn;
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
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR g IN SELECT a.turn, a.token FROM unnest(given, tokens) AS a (turn, token) ORDER BY 1 LOOP
        SELECT * INTO t FROM changegate.turns x WHERE x.turn = g.turn FOR NO KEY UPDATE;
        IF t.holder = my_lease AND (g.token = t.token OR g.token IS NULL AND NOT t.is_known) THEN
            PERFORM changegate.give_on(t);
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
    PERFORM changegate.give_v1(my_lease, array_agg(t.turn),
            array_agg(CASE WHEN t.holder = my_lease THEN t.token END))
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
