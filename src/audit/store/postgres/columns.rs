//! The columns of a change, and how PostgreSQL's rows tell what they hold.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::audit::store::Boxed;
use crate::audit::store::rows::{Bytes, Row};

/// Every column of a change, whose bodies are read apart.
pub(super) const CHANGE: &str = "SELECT c.seq, c.id, c.operation, \
    c.actor_fingerprint, c.actor_name, c.actor_team, c.actor_person, c.client_ip, c.user_agent, \
    c.client_retry, c.request_id, c.received_at, c.decided_at, c.decision, c.violations, \
    c.standing, c.body_bytes, c.body_digest, c.redacted, c.method, c.unkept, c.reverts, \
    e.unkept AS after_unkept, e.after_violations, u.provider, u.name AS upstream_name, \
    p.digest AS policy_digest, n.name AS node, d.id AS deployment_id, e.reason, \
    coalesce(e.outcome, 'pending') AS outcome, e.completed_at, e.upstream_call, \
    e.upstream_status::bigint AS upstream_status, e.upstream_request_id, e.effect, \
    e.redacted AS after_redacted, s.settled_by, s.at AS settled_at, s.applied, \
    l.outcome AS late_outcome, l.completed_at AS late_at, \
    coalesce((SELECT name FROM nodes WHERE number = l.node), n.name) AS late_node, \
    a.id AS approval_id, a.change_id AS approval_change, \
    a.person AS asked_by, a.opened_at AS asked_at, a.reason AS glass_reason, \
    v.step AS verdict, v.person AS verdict_by, v.token AS verdict_token, \
    v.reason AS verdict_reason, v.at AS verdict_at \
    FROM changes c LEFT JOIN ends e ON e.seq = c.seq JOIN upstreams u ON u.number = c.upstream \
    JOIN policies p ON p.number = c.policy JOIN nodes n ON n.number = c.node \
    LEFT JOIN deployments d ON d.number = c.deployment \
    LEFT JOIN settlements s ON s.seq = c.seq LEFT JOIN late l ON l.seq = c.seq \
    LEFT JOIN approvals a ON a.id = c.approval LEFT JOIN approval_steps v ON v.number = \
    (SELECT max(number) FROM approval_steps WHERE approval = a.number AND person IS NOT NULL)";

/// The numbers as a list in parentheses. There is at least one.
pub(super) fn list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("({})", numbers.join(", "))
}

/// Adds a part to a query.
pub(super) fn add(query: &mut String, part: &str) {
    query.push_str(part);
}

impl Row for PgRow {
    fn integer(&self, column: &'static str) -> Result<Option<i64>, Boxed> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &'static str) -> Result<Option<bool>, Boxed> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, Boxed> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &'static str) -> Result<Option<Bytes<'_>>, Boxed> {
        // They come as hex digits.
        Ok(self.try_get::<Option<Vec<u8>>, _>(column)?.map(Bytes::Owned))
    }
}
