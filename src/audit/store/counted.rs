//! Counts of changes over time: those that were counted already, and the few that came since.

use crate::audit::count::{CountedBy, Counting};

/// The number of changes that are counted at a time: a few milliseconds of work.
pub(super) const COUNTED_AT_ONCE: i64 = 2_000;

/// How many changes may wait to be counted while there is no time without work.
pub(super) const UNCOUNTED_MAX: usize = 100_000;

/// The statement that finds the rows of an answer, the oldest first. `fingerprint` is how the kind
/// of store writes a token's.
pub(super) fn statement(counting: &Counting, fingerprint: &str) -> String {
    let Counting { by, step, since, until, values } = *counting;
    let (length, since, until) = (step.millis(), since.millis(), until.millis());
    let (about, newer) = (by.word(), newer(by, fingerprint));
    format!(
        "WITH every AS MATERIALIZED (\
         SELECT at, value, changes FROM counts WHERE about = '{about}' AND step = {length} \
         AND at >= {since} AND at < {until} \
         UNION ALL SELECT received_at / {length} * {length} AS at, value, count(*) AS changes \
         FROM ({newer}) newer WHERE received_at >= {since} AND received_at < {until} \
         GROUP BY 1, 2), \
         most AS MATERIALIZED (\
         SELECT value FROM every GROUP BY value ORDER BY sum(changes) DESC, value LIMIT {values}) \
         SELECT e.at, m.value, CAST(sum(e.changes) AS bigint) AS changes \
         FROM every e LEFT JOIN most m ON m.value = e.value GROUP BY 1, 2 ORDER BY 1, 2"
    )
}

/// The statement that finds the changes that are not counted yet, each with its value. It walks the
/// newest places alone: what is added to a time hides its index.
fn newer(by: CountedBy, fingerprint: &str) -> String {
    let after = "(SELECT coalesce(max(seq), 0) FROM counted)";
    let actor = format!("coalesce(c.actor_name, 'pat_' || {fingerprint})");
    let (value, beside) = match by {
        CountedBy::Decision => ("c.decision", ""),
        CountedBy::Operation => ("c.operation", ""),
        CountedBy::Outcome => {
            ("coalesce(e.outcome, 'pending')", "LEFT JOIN ends e ON e.seq = c.seq")
        }
        CountedBy::Actor => (actor.as_str(), ""),
        CountedBy::Team => ("c.actor_team", ""),
        CountedBy::Deployment => ("d.id", "JOIN deployments d ON d.number = c.deployment"),
        CountedBy::Rule => {
            return format!(
                "{RULES} SELECT +c.received_at AS received_at, b.rule AS value FROM rules r \
                 CROSS JOIN broken b CROSS JOIN changes c \
                 WHERE b.rule = r.rule AND b.seq > {after} AND c.seq = b.seq"
            );
        }
    };
    format!(
        "SELECT +c.received_at AS received_at, {value} AS value FROM changes c {beside} \
         WHERE c.seq > {after} AND {value} IS NOT NULL"
    )
}

/// The rules that were ever violated, each found behind the former: places are in order within a
/// rule alone.
pub(super) const RULES: &str = "WITH RECURSIVE rules (rule) AS (\
    SELECT min(rule) FROM broken UNION ALL \
    SELECT (SELECT min(b.rule) FROM broken b WHERE b.rule > r.rule) FROM rules r \
    WHERE r.rule IS NOT NULL)";
