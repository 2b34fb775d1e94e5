-- Changing the sealing key.

-- Puts data keys that are wrapped anew in the place of the former ones, by their changes and halves.
CREATE OR REPLACE FUNCTION changegate.rewrap_v1(rewrapped jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    UPDATE changegate.originals o SET key = a.key, wrapped = a.wrapped
        FROM jsonb_to_recordset(rewrapped)
            AS a (seq bigint, half smallint, key bytea, wrapped bytea)
        WHERE o.seq = a.seq AND o.half = a.half AND o.key <> a.key
$f$;
