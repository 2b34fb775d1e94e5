//! The policies that changes were judged by, as both kinds of store find them.

use super::page::SEARCHED_MAX;
use super::rows::{Row, cell, maybe};
use crate::audit::question::KnownPolicy;
use crate::audit::store::Boxed;

/// The policies in the log, the newest first: when each was first used, of the changes that ended
/// soon behind it, and when last, of the newest changes.
pub(super) fn known_policies() -> String {
    format!(
        "WITH newest AS (SELECT policy, received_at FROM changes ORDER BY seq DESC \
         LIMIT {SEARCHED_MAX}), \
         lately AS (SELECT policy, max(received_at) AS last_at, count(*) AS changes \
         FROM newest GROUP BY policy) \
         SELECT p.digest, CAST(length(p.text) AS bigint) AS chars, \
         (SELECT min(c.received_at) FROM leaves own \
          JOIN leaves l ON +l.kind = 1 \
          AND l.position BETWEEN own.position AND own.position + {LEAVES_MAX} \
          JOIN changes c ON c.seq = l.ref AND c.policy = p.number \
          WHERE own.kind = 5 AND own.ref = p.number) AS first_at, \
         lately.last_at, coalesce(lately.changes, 0) AS changes \
         FROM policies p LEFT JOIN lately ON lately.policy = p.number \
         ORDER BY p.number DESC LIMIT {POLICIES_MAX}"
    )
}

/// The most leaves behind a policy's own among which its first change is looked for.
const LEAVES_MAX: i64 = 1_024;

/// The most policies that are listed.
const POLICIES_MAX: i64 = 200;

/// A policy, as its row tells it.
pub(super) fn known_policy(row: &impl Row) -> Result<KnownPolicy, Boxed> {
    Ok(KnownPolicy {
        digest: cell(row, "digest")?,
        chars: cell(row, "chars")?,
        first_at: maybe(row, "first_at")?,
        last_at: maybe(row, "last_at")?,
        changes: cell(row, "changes")?,
    })
}
