-- Changing the sealing key.

-- Puts data keys that are wrapped anew in the place of the former ones, by their changes and halves.
CREATE OR REPLACE FUNCTION changegate.rewrap_v1(rewrapped jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    UPDATE changegate.originals o SET key = a.key, wrapped = a.wrapped
        FROM jsonb_to_recordset(rewrapped)
            AS a (seq bigint, half smallint, key bytea, wrapped bytea)
        WHERE o.seq = a.seq AND o.half = a.half AND o.key <> a.key
$f$;

-- Refuses where a gateway runs on the log: it would go on sealing under the former key.
CREATE OR REPLACE FUNCTION changegate.begin_seal_rotation_v1() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    running text;
BEGIN
    PERFORM pg_advisory_xact_lock(1128743252, 3);
    SELECT string_agg(DISTINCT l.node, ', ') INTO running FROM changegate.leases l
        WHERE l.until_at > clock_timestamp();
    IF running IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CG004', MESSAGE = format(
            'gateways run on this log (%s): stop them first, and wait ten seconds', running);
    END IF;
END $f$;
