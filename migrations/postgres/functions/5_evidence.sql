-- How leaves come into the tree, and trees are signed.

-- Has finished records come into the tree of the size `first`, as the leaves behind its last: tells
-- whether they did. Where another gateway was faster, nothing is done. `leaves` holds the number of
-- the kind and the row of each, `hashes` its hash and its salt, 64 bytes together.
CREATE OR REPLACE FUNCTION changegate.seal_v1(
    first bigint, leaves jsonb, hashes bytea, completed jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    added bigint := jsonb_array_length(leaves);
    waiting bigint;
BEGIN
    UPDATE changegate.tree SET size = size + added WHERE size = first;
    IF NOT FOUND THEN RETURN false; END IF;
    SELECT count(*) INTO waiting FROM jsonb_array_elements(leaves) a
        JOIN changegate.unsequenced u
        ON u.kind = (a ->> 0)::smallint AND u.ref = (a ->> 1)::bigint;
    IF waiting <> added THEN
        PERFORM changegate.refuse('a leaf is one of a record that waits for it');
    END IF;
    INSERT INTO changegate.leaves (position, kind, ref, hash, salt)
        SELECT first + a.place - 1, (a.leaf ->> 0)::smallint, (a.leaf ->> 1)::bigint,
            substr(hashes, (64 * (a.place - 1) + 1)::integer, 32),
            substr(hashes, (64 * (a.place - 1) + 33)::integer, 32)
        FROM jsonb_array_elements(leaves) WITH ORDINALITY AS a (leaf, place) ORDER BY a.place;
    DELETE FROM changegate.unsequenced u USING jsonb_array_elements(leaves) a
        WHERE u.kind = (a ->> 0)::smallint AND u.ref = (a ->> 1)::bigint;
    INSERT INTO changegate.subtrees (level, number, hash)
        SELECT (a ->> 0)::smallint, (a ->> 1)::bigint, (a ->> 2)::bytea
        FROM jsonb_array_elements(completed) a;
    RETURN true;
END $f$;

-- Keeps the checkpoint of the newest tree.
CREATE OR REPLACE FUNCTION changegate.sign_v1(size bigint, at_millis bigint, note text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    INSERT INTO changegate.checkpoint AS c (one, size, at, note) VALUES (1, size, at_millis, note)
        ON CONFLICT (one) DO UPDATE
        SET size = EXCLUDED.size, at = EXCLUDED.at, note = EXCLUDED.note
        WHERE c.size <= EXCLUDED.size
$f$;

-- Records a key by which trees are signed, where it is not known.
CREATE OR REPLACE FUNCTION changegate.add_log_key_v1(vkey text, at_millis bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    INSERT INTO changegate.log_keys (vkey, at) VALUES (vkey, at_millis)
        ON CONFLICT (vkey) DO NOTHING
$f$;
