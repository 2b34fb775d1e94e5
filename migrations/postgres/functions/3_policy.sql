-- The policy that gateways without a file of their own take.

-- Puts a policy in the place of the one that is served, and tells whether it is another one.
CREATE OR REPLACE FUNCTION changegate.push_policy_v1(policy_digest text, policy_text text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    former text;
    pushed_at bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    -- Those who push wait for each other; and an event gets a number.
    PERFORM pg_advisory_xact_lock(1128743252, 5);
    PERFORM pg_advisory_xact_lock_shared(1128743252, 1);
    SELECT p.digest INTO former FROM changegate.served_policies s
        JOIN changegate.policies p ON p.number = s.policy ORDER BY s.number DESC LIMIT 1;
    IF former = policy_digest THEN RETURN false; END IF;
    INSERT INTO changegate.policies (digest, text) VALUES (policy_digest, policy_text)
        ON CONFLICT DO NOTHING;
    INSERT INTO changegate.served_policies (policy, at, pushed_by)
        SELECT p.number, pushed_at, session_user FROM changegate.policies p
        WHERE p.digest = policy_digest;
    INSERT INTO changegate.events (at, kind, detail)
        VALUES (pushed_at, 'policy_push', json_build_object('policy_digest', policy_digest,
            'former_policy_digest', former, 'by', session_user)::text);
    RETURN true;
END $f$;
