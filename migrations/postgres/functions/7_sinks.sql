-- How far sinks have come. One gateway at a time sends to a sink; where it says nothing for a
-- while, another one goes on from what it has kept, so that what lies between comes twice.

-- The timeline of this server: another one from each failover on. A server that took over may lack
-- what a sink was sent, and has other records at those positions soon.
CREATE OR REPLACE FUNCTION changegate.timeline() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $f$
    SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
$f$;

-- Takes a sink, or keeps it taken: tells whether it is. One that is not known begins at the start,
-- or at the end of what there is.
CREATE OR REPLACE FUNCTION changegate.take_sink_v1(
    sink text, from_start boolean, me uuid, millis bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    INSERT INTO changegate.sinks AS s (name, next, holder, until_at, timeline)
        VALUES (sink, CASE WHEN from_start THEN 0 ELSE (SELECT size FROM changegate.tree) END, me,
            clock_timestamp() + millis * interval '1 millisecond', changegate.timeline())
        ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, until_at = EXCLUDED.until_at,
            timeline = EXCLUDED.timeline
        WHERE s.holder IS NULL OR s.holder = me OR s.until_at < clock_timestamp();
    RETURN FOUND;
END $f$;

-- Keeps how far a sink has come, and what it has refused: tells whether it did. It does not where
-- another gateway has the sink by now, or where there was an order or a failover meanwhile.
CREATE OR REPLACE FUNCTION changegate.keep_sink_v1(
    me uuid, kept jsonb, letters jsonb, letters_max bigint, millis bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    UPDATE changegate.sinks s SET next = k.next, attempts = k.attempts, next_at = k.next_at,
            sent = k.sent, sent_at = k.sent_at, error = k.error, error_at = k.error_at,
            dead = k.dead, disabled = k.disabled,
            until_at = clock_timestamp() + millis * interval '1 millisecond'
        FROM jsonb_to_record(kept) AS k (name text, next bigint, revision bigint, attempts bigint,
            next_at bigint, sent bigint, sent_at bigint, error text, error_at bigint, dead bigint,
            disabled text)
        WHERE s.name = k.name AND s.holder = me AND s.revision = k.revision
            AND s.timeline = changegate.timeline();
    IF NOT FOUND THEN RETURN false; END IF;
    IF jsonb_array_length(letters) > 0 THEN
        INSERT INTO changegate.dead_letters AS d (sink, position, at, reason)
            SELECT kept ->> 'name', a.position, a.at, a.reason
            FROM jsonb_to_recordset(letters) AS a (position bigint, at bigint, reason text)
            ON CONFLICT (sink, position) DO UPDATE SET at = EXCLUDED.at, reason = EXCLUDED.reason;
        DELETE FROM changegate.dead_letters d WHERE d.sink = kept ->> 'name' AND d.position <= (
            SELECT o.position FROM changegate.dead_letters o WHERE o.sink = kept ->> 'name'
            ORDER BY o.position DESC LIMIT 1 OFFSET letters_max);
    END IF;
    RETURN true;
END $f$;

-- Has a sink go on at once, from another position where one is given: tells whether it is known.
CREATE OR REPLACE FUNCTION changegate.order_sink_v1(sink text, from_position bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    UPDATE changegate.sinks s SET next = coalesce(from_position, s.next), revision = s.revision + 1,
        attempts = 0, next_at = NULL, disabled = NULL WHERE s.name = sink;
    RETURN FOUND;
END $f$;

-- Gives back the sinks that a process has.
CREATE OR REPLACE FUNCTION changegate.leave_sinks_v1(me uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    UPDATE changegate.sinks SET holder = NULL, until_at = NULL WHERE holder = me
$f$;
