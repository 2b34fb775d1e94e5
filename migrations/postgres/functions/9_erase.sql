-- How bodies of changes go while the changes stay.

-- Takes parts of records away in one transaction with the event that says so. `erasure` holds what
-- is left of each, found beside: `changes` with their ends, `late` ends, `events`, `approvals` and
-- `steps` by their numbers, `leaves` with the salts by which it is known that nobody altered them
-- meanwhile, `originals`, `touched` rows and their `places`, `snapshots` that nothing else names,
-- and such as stand alone from now on (`repacked`). Tells `done`; or `overtaken` where the log is
-- not any more as it was found, and nothing is done. What may become of a row, its trigger says.
CREATE OR REPLACE FUNCTION changegate.erase_v1(erasure jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    gone bigint[] := changegate.numbers(erasure -> 'snapshots');
    altered bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(1128743252, 7);
    -- Whoever writes is waited for, and waits: no change comes to name what goes.
    PERFORM pg_advisory_xact_lock(1128743252, 1);
    IF (SELECT coalesce(max(seq), 0) FROM changegate.events WHERE kind = 'hold')
        <> (erasure ->> 'holds')::bigint
    THEN RETURN 'overtaken'; END IF;

    INSERT INTO changegate.pruning VALUES (1, (erasure ->> 'now')::bigint);
    UPDATE changegate.leaves l SET entry = a.entry, salt = a.salt
        FROM jsonb_to_recordset(erasure -> 'leaves')
            AS a (position bigint, entry bytea, former bytea, salt bytea)
        WHERE l.position = a.position AND l.salt = a.former;
    GET DIAGNOSTICS altered = ROW_COUNT;
    IF altered <> jsonb_array_length(erasure -> 'leaves') THEN
        RAISE EXCEPTION USING ERRCODE = 'CG006', MESSAGE = 'a record was altered meanwhile';
    END IF;
    PERFORM changegate.erase_changes_v1(erasure);
    UPDATE changegate.events v SET detail = a.detail
        FROM jsonb_to_recordset(erasure -> 'events') AS a (seq bigint, detail text)
        WHERE v.seq = a.seq;
    UPDATE changegate.approvals SET reason = 'erased'
        WHERE number = ANY (changegate.numbers(erasure -> 'approvals'));
    UPDATE changegate.approval_steps SET reason = 'erased'
        WHERE number = ANY (changegate.numbers(erasure -> 'steps'));
    UPDATE changegate.dead_letters d SET reason = 'erased'
        FROM jsonb_to_recordset(erasure -> 'leaves') AS a (position bigint)
        WHERE d.position = a.position;
    DELETE FROM changegate.originals o USING jsonb_array_elements(erasure -> 'originals') a
        WHERE o.seq = (a ->> 0)::bigint AND o.half = (a ->> 1)::smallint;
    DELETE FROM changegate.touched t USING jsonb_array_elements(erasure -> 'touched') a
        WHERE t.place = (a ->> 0)::bigint AND t.kind = (a ->> 1)::smallint
        AND t.seq = (a ->> 2)::bigint;
    DELETE FROM changegate.places p WHERE p.number = ANY (changegate.numbers(erasure -> 'places'))
        AND NOT EXISTS (SELECT FROM changegate.touched t WHERE t.place = p.number);
    UPDATE changegate.snapshots s SET base = NULL, depth = 0, body = (a ->> 1)::bytea
        FROM jsonb_array_elements(erasure -> 'repacked') a
        WHERE s.number = (a ->> 0)::bigint AND s.base = ANY (gone);
    DELETE FROM changegate.snapshots WHERE number = ANY (gone);
    IF EXISTS (SELECT FROM changegate.changes WHERE before = ANY (gone))
        OR EXISTS (SELECT FROM changegate.ends WHERE after = ANY (gone))
        OR EXISTS (SELECT FROM changegate.late WHERE after = ANY (gone))
        OR EXISTS (SELECT FROM changegate.snapshots WHERE base = ANY (gone))
    THEN
        RAISE EXCEPTION USING ERRCODE = 'CG006',
            MESSAGE = 'a document that is named is not erased';
    END IF;
    INSERT INTO changegate.events (at, kind, detail)
        VALUES ((erasure ->> 'now')::bigint, 'erase',
            ((erasure -> 'detail') || jsonb_build_object('login', session_user))::text);
    DELETE FROM changegate.pruning;
    RETURN 'done';
END $f$;

-- The part of a step that is about changes and their ends.
CREATE OR REPLACE FUNCTION changegate.erase_changes_v1(erasure jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    UPDATE changegate.changes c SET violations = a.violations, standing = a.standing,
        body_digest = a.body_digest, redacted = a.redacted, unkept = a.unkept,
        patch = CASE WHEN a.has_patch THEN c.patch END,
        before = CASE WHEN a.has_before THEN c.before END
        FROM jsonb_to_recordset(erasure -> 'changes') AS a (seq bigint, violations text,
            standing text, body_digest text, redacted text, unkept text, has_patch boolean,
            has_before boolean)
        WHERE c.seq = a.seq;
    UPDATE changegate.ends e SET reason = a.reason, redacted = a.after_redacted,
        unkept = a.after_unkept, after_violations = a.after_violations,
        after = CASE WHEN a.has_after THEN e.after END,
        touched = CASE WHEN a.has_touched THEN e.touched END
        FROM jsonb_to_recordset(erasure -> 'changes') AS a (seq bigint, reason text,
            after_redacted text, after_unkept text, after_violations text, has_after boolean,
            has_touched boolean)
        WHERE e.seq = a.seq;
    UPDATE changegate.late e SET reason = a.reason, redacted = a.redacted, unkept = a.unkept,
        after_violations = a.after_violations, after = CASE WHEN a.has_after THEN e.after END
        FROM jsonb_to_recordset(erasure -> 'late') AS a (seq bigint, reason text, redacted text,
            unkept text, after_violations text, has_after boolean)
        WHERE e.seq = a.seq;
END $f$;
