//! Counts of changes over time, made from those that have ended, in times without work.

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::asking::Asking;
use super::error::unavailable;
use super::select::Reads;
use super::{Writes, begin};
use crate::audit::count::{CountRow, Counting};
use crate::audit::store::counted::{COUNTED_AT_ONCE, RULES, UNCOUNTED_MAX, statement};
use crate::audit::store::indexed::BLOCK_BITS;
use crate::audit::store::{Boxed, StoreError};

/// The place up to which all have ended, at most so many behind the former one.
const NEXT: &str = "SELECT min(\
    coalesce((SELECT min(seq) - 1 FROM pending), (SELECT max(seq) FROM changes), 0), \
    coalesce((SELECT seq FROM changes WHERE seq > ?1 ORDER BY seq LIMIT 1 OFFSET ?2), \
        9223372036854775807))";

/// The values that hours are counted of, and then days alone.
const COUNT: &str = "WITH span AS MATERIALIZED (\
    SELECT c.received_at, c.decision, c.operation, e.outcome, c.actor_team AS team, \
        coalesce(c.actor_name, 'pat_' || lower(hex(c.actor_fingerprint))) AS actor, \
        (SELECT id FROM deployments WHERE number = c.deployment) AS deployment \
    FROM changes c JOIN ends e ON e.seq = c.seq WHERE c.seq > ?1 AND c.seq <= ?2), \
    broke AS MATERIALIZED (SELECT c.received_at, b.rule FROM rules r \
        CROSS JOIN broken b CROSS JOIN changes c \
        WHERE b.rule = r.rule AND b.seq > ?1 AND b.seq <= ?2 AND c.seq = b.seq), \
    found (about, received_at, value) AS (\
        SELECT 'decision', received_at, decision FROM span \
        UNION ALL SELECT 'operation', received_at, operation FROM span \
        UNION ALL SELECT 'outcome', received_at, outcome FROM span), \
    daily (about, received_at, value) AS (SELECT * FROM found \
        UNION ALL SELECT 'actor', received_at, actor FROM span \
        UNION ALL SELECT 'team', received_at, team FROM span WHERE team IS NOT NULL \
        UNION ALL SELECT 'deployment', received_at, deployment FROM span \
            WHERE deployment IS NOT NULL \
        UNION ALL SELECT 'rule', received_at, rule FROM broke) \
    INSERT INTO counts (about, step, at, value, changes) \
    SELECT about, 3600000, received_at / 3600000 * 3600000, value, count(*) FROM found \
        GROUP BY 1, 3, 4 \
    UNION ALL SELECT about, 86400000, received_at / 86400000 * 86400000, value, count(*) \
        FROM daily WHERE true GROUP BY 1, 3, 4 \
    ON CONFLICT (about, step, at, value) DO UPDATE SET changes = changes + excluded.changes";

/// The times at which they were received, by blocks of their places.
const SPANS: &str = "INSERT INTO spans (block, first_at, last_at) \
    SELECT seq >> ?3, min(received_at), max(received_at) FROM changes \
    WHERE seq > ?1 AND seq <= ?2 GROUP BY 1 ON CONFLICT (block) DO UPDATE SET \
    first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)";

const COUNTED: &str =
    "INSERT INTO counted VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq";

impl Writes {
    /// Counts some of the changes that are not counted yet. Tells whether there are more.
    pub(in crate::audit) async fn count(&mut self) -> Result<bool, StoreError> {
        let mut connection = self.ready().await?;
        let counted = count(&mut connection).await;
        let has_more = self.keep(connection, counted)?;
        if !has_more {
            self.uncounted = 0;
        }
        Ok(has_more)
    }

    /// Whether so many changes wait to be counted that this is not put off any more.
    pub(in crate::audit) fn is_behind(&self) -> bool {
        self.uncounted > UNCOUNTED_MAX
    }
}

async fn count(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let mut transaction = begin(connection).await?;
    let counted = "SELECT coalesce(max(seq), 0) FROM counted";
    let former: i64 =
        sqlx::query_scalar(counted).fetch_one(&mut *transaction).await.map_err(unavailable)?;
    let next = sqlx::query_scalar(NEXT).bind(former).bind(COUNTED_AT_ONCE);
    let next: i64 = next.fetch_one(&mut *transaction).await.map_err(unavailable)?;
    if next > former {
        let count = format!("{RULES}, {}", COUNT.trim_start_matches("WITH "));
        let count = sqlx::query(AssertSqlSafe(count)).bind(former).bind(next);
        count.execute(&mut *transaction).await.map_err(unavailable)?;
        let spans = sqlx::query(SPANS).bind(former).bind(next).bind(BLOCK_BITS);
        spans.execute(&mut *transaction).await.map_err(unavailable)?;
        let note = sqlx::query(COUNTED).bind(next).execute(&mut *transaction);
        note.await.map_err(unavailable)?;
    }
    transaction.commit().await.map_err(unavailable)?;
    Ok(next - former >= COUNTED_AT_ONCE)
}

impl Reads {
    /// The rows of an answer, the oldest first.
    pub(in crate::audit) async fn counts(
        &self,
        counting: &Counting,
    ) -> Result<Vec<CountRow>, Boxed> {
        let mut asking = Asking::on(&self.scans).await?;
        let statement = statement(counting, "lower(hex(c.actor_fingerprint))");
        let found = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *asking).await?;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            Ok(CountRow {
                at: row.try_get("at")?,
                value: row.try_get("value")?,
                changes: row.try_get("changes")?,
            })
        };
        found.iter().map(row).collect()
    }
}
