-- Counts of changes over time.

-- Counts the next changes that are not counted yet, at most so many, and none beyond what is decided:
-- a horizon, asked for before, since whoever asks holds up those that write until they commit. Tells
-- whether there are more. One that is on its way stops those behind it; who finds another one
-- counting leaves it to them.
CREATE OR REPLACE FUNCTION changegate.count_v1(most bigint, decided bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    former bigint;
    latest bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1128743252, 6) THEN RETURN false; END IF;
    SELECT coalesce(max(seq), 0) INTO former FROM changegate.counted;
    latest := least(decided, (SELECT min(seq) - 1 FROM changegate.pending),
        (SELECT seq FROM changegate.changes WHERE seq > former ORDER BY seq
            OFFSET greatest(most, 1) - 1 LIMIT 1));
    IF latest <= former THEN RETURN false; END IF;
    WITH RECURSIVE rules (rule) AS (
        SELECT min(rule) FROM changegate.broken
        UNION ALL SELECT (SELECT min(b.rule) FROM changegate.broken b WHERE b.rule > r.rule)
            FROM rules r WHERE r.rule IS NOT NULL),
    span AS MATERIALIZED (
        SELECT c.received_at, c.decision, c.operation, e.outcome, c.actor_team AS team,
            coalesce(c.actor_name, 'pat_' || encode(c.actor_fingerprint, 'hex')) AS actor,
            (SELECT id FROM changegate.deployments WHERE number = c.deployment) AS deployment
        FROM changegate.changes c JOIN changegate.ends e ON e.seq = c.seq
        WHERE c.seq > former AND c.seq <= latest),
    broke AS MATERIALIZED (
        SELECT c.received_at, b.rule FROM rules r
        JOIN changegate.broken b ON b.rule = r.rule AND b.seq > former AND b.seq <= latest
        JOIN changegate.changes c ON c.seq = b.seq),
    found (about, received_at, value) AS (
        SELECT 'decision', received_at, decision FROM span
        UNION ALL SELECT 'operation', received_at, operation FROM span
        UNION ALL SELECT 'outcome', received_at, outcome FROM span),
    daily (about, received_at, value) AS (
        SELECT * FROM found
        UNION ALL SELECT 'actor', received_at, actor FROM span
        UNION ALL SELECT 'team', received_at, team FROM span WHERE team IS NOT NULL
        UNION ALL SELECT 'deployment', received_at, deployment FROM span
            WHERE deployment IS NOT NULL
        UNION ALL SELECT 'rule', received_at, rule FROM broke)
    INSERT INTO changegate.counts AS k (about, step, at, value, changes)
    SELECT about, 3600000, received_at / 3600000 * 3600000, value, count(*) FROM found
        GROUP BY 1, 3, 4
    UNION ALL SELECT about, 86400000, received_at / 86400000 * 86400000, value, count(*)
        FROM daily GROUP BY 1, 3, 4
    ON CONFLICT (about, step, at, value) DO UPDATE SET changes = k.changes + excluded.changes;
    INSERT INTO changegate.spans AS s (block, first_at, last_at)
    SELECT seq >> 10, min(received_at), max(received_at) FROM changegate.changes
        WHERE seq > former AND seq <= latest GROUP BY 1
    ON CONFLICT (block) DO UPDATE SET first_at = least(s.first_at, excluded.first_at),
        last_at = greatest(s.last_at, excluded.last_at);
    INSERT INTO changegate.counted VALUES (1, latest)
        ON CONFLICT (one) DO UPDATE SET seq = excluded.seq;
    RETURN latest - former >= most;
END $f$;
