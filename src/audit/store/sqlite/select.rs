//! The statements that read. Each has a LIMIT.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions as _, QueryBuilder, Row as _, Sqlite, SqlitePool};

use super::{BUSY_TIMEOUT, rows};
use crate::audit::query::{ActorFilter, DeploymentAt, DeploymentSummary, Filter};
use crate::audit::record::{Change, Event};
use crate::audit::store::Boxed;
use crate::clock::Timestamp;
use crate::ids::ChangeId;
use crate::provider::Operation;

/// How many questions are answered at once, each on a thread of its own.
const CONNECTIONS_MAX: u32 = 4;

/// How long a question waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// The most unclear changes of one deployment that are settled at once.
const UNCLEAR_MAX: i64 = 100;

const CHANGE: &str = "SELECT c.*, s.told_by, s.at AS settled_at, s.applied";

const BODIES: &str = ", p.body AS patch_body, p.bytes AS patch_bytes, b.body AS before_body, \
    b.bytes AS before_bytes, a.body AS after_body, a.bytes AS after_bytes";

const FROM: &str = " FROM changes c LEFT JOIN settlements s ON s.seq = c.seq";

const JOINED_BODIES: &str = " LEFT JOIN snapshots p ON p.digest = c.patch_digest \
    LEFT JOIN snapshots b ON b.digest = c.before_digest \
    LEFT JOIN snapshots a ON a.digest = c.after_digest";

/// The newest that is known of each deployment.
const DEPLOYMENTS: &str = "SELECT d.deployment_id, d.seq, d.changes, c.id, c.received_at, \
    n.body, n.bytes \
    FROM (SELECT deployment_id, max(seq) AS seq, count(*) AS changes FROM changes \
          WHERE deployment_id IS NOT NULL GROUP BY deployment_id HAVING max(seq) < ? \
          ORDER BY max(seq) DESC LIMIT ?) d \
    JOIN changes c ON c.seq = d.seq \
    LEFT JOIN snapshots n ON n.digest = (SELECT coalesce(k.after_digest, k.before_digest) \
          FROM changes k WHERE k.deployment_id = d.deployment_id \
          AND (k.after_digest IS NOT NULL OR k.before_digest IS NOT NULL) \
          ORDER BY k.seq DESC LIMIT 1) \
    ORDER BY d.seq DESC";

/// What was last seen of a deployment. Its changes take turns, so their places tell their order.
/// A change that waited for its turn was received while its predecessor was under way: its
/// before was seen after the predecessor's end, not at its own arrival.
const DEPLOYMENT_AT: &str = "SELECT id, seen_at, body, bytes FROM (\
    SELECT c.seq, c.id, c.completed_at AS seen_at, c.after_digest AS digest, 1 AS later \
    FROM changes c WHERE c.deployment_id = ?1 AND c.after_digest IS NOT NULL \
    AND c.completed_at <= ?2 \
    UNION ALL \
    SELECT c.seq, c.id, max(c.received_at, coalesce(c.former_end, c.received_at)), \
    c.before_digest, 0 FROM (SELECT n.*, (SELECT f.completed_at FROM changes f \
          WHERE f.deployment_id = n.deployment_id AND f.seq < n.seq \
          ORDER BY f.seq DESC LIMIT 1) AS former_end FROM changes n \
          WHERE n.deployment_id = ?1 AND n.before_digest IS NOT NULL AND n.received_at <= ?2) c \
    WHERE coalesce(c.former_end, 0) <= ?2 \
    ORDER BY 1 DESC, 5 DESC LIMIT 1) v \
    JOIN snapshots s ON s.digest = v.digest";

const UNCLEAR: &str = "SELECT c.seq, c.id, c.provider, c.operation, \
    p.body AS patch_body, p.bytes AS patch_bytes, b.body AS before_body, b.bytes AS before_bytes, \
    EXISTS (SELECT 1 FROM changes l WHERE l.deployment_id = c.deployment_id AND l.seq > c.seq \
            AND l.outcome IN ('applied', 'unknown', 'pending')) AS overtaken \
    FROM changes c LEFT JOIN snapshots p ON p.digest = c.patch_digest \
    LEFT JOIN snapshots b ON b.digest = c.before_digest \
    WHERE c.outcome = 'unknown' AND c.deployment_id = ? \
    AND NOT EXISTS (SELECT 1 FROM settlements s WHERE s.seq = c.seq) ORDER BY c.seq LIMIT ?";

const UNSETTLED: &str = "SELECT c.deployment_id, count(*) AS changes FROM changes c \
    WHERE c.outcome = 'unknown' AND c.deployment_id IS NOT NULL \
    AND NOT EXISTS (SELECT 1 FROM settlements s WHERE s.seq = c.seq) \
    GROUP BY c.deployment_id LIMIT ?";

/// A few connections that only read.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Reads {
    pool: SqlitePool,
}

/// A change with an unclear end that nothing has settled yet.
#[derive(Debug)]
pub(in crate::audit) struct Unclear {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) id: ChangeId,
    pub(in crate::audit) provider: String,
    pub(in crate::audit) operation: Operation,
    pub(in crate::audit) patch: Option<Value>,
    pub(in crate::audit) before: Option<Value>,
    /// Whether a later change may have moved what this one asked for.
    pub(in crate::audit) overtaken: bool,
}

impl Reads {
    /// Reads `database`, from the first question on.
    pub(in crate::audit) fn of(database: &Path) -> Self {
        Self { pool: pool(database, false) }
    }

    /// Reads `database`, and finds out first that it can. A reader of a log in WAL mode needs the
    /// companion files, or makes them; where its user may not, but no write-ahead log is there,
    /// nobody is writing and the file can be read as it stands.
    pub(in crate::audit) async fn open(database: &Path) -> Result<Self, Boxed> {
        let beside = Self::of(database);
        let Err(error) = beside.probe().await else { return Ok(beside) };
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let at_rest = Self { pool: pool(database, true) };
        if PathBuf::from(log).exists() || at_rest.probe().await.is_err() {
            return Err(error);
        }
        Ok(at_rest)
    }

    async fn probe(&self) -> Result<(), Boxed> {
        sqlx::query("SELECT seq FROM changes LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    /// Changes before the place `before`, the newest first.
    pub(in crate::audit) async fn changes(
        &self,
        filter: &Filter,
        before: i64,
        limit: i64,
        bodies: bool,
    ) -> Result<Vec<Change>, Boxed> {
        let mut query = changes_query(bodies);
        query.push(" WHERE c.seq < ").push_bind(before);
        push_filter(&mut query, filter);
        query.push(" ORDER BY c.seq DESC LIMIT ").push_bind(limit);
        let found = query.build().fetch_all(&self.pool).await?;
        found.iter().map(|row| rows::change(row, bodies)).collect()
    }

    /// One change with its bodies.
    pub(in crate::audit) async fn change(&self, id: ChangeId) -> Result<Option<Change>, Boxed> {
        let mut query = changes_query(true);
        query.push(" WHERE c.id = ").push_bind(id.as_bytes().to_vec()).push(" LIMIT 1");
        let found = query.build().fetch_optional(&self.pool).await?;
        found.map(|row| rows::change(&row, true)).transpose()
    }

    /// Deployments whose newest change is before the place `before`, with that place.
    pub(in crate::audit) async fn deployments(
        &self,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(i64, DeploymentSummary)>, Boxed> {
        let query = sqlx::query(DEPLOYMENTS).bind(before).bind(limit);
        let found = query.fetch_all(&self.pool).await?;
        let summary = |row: &SqliteRow| -> Result<_, Boxed> {
            let newest = rows::document(row, "body", "bytes")?;
            let name = newest.as_ref().and_then(|document| document.get("name"));
            let summary = DeploymentSummary {
                id: row.try_get("deployment_id")?,
                name: name.and_then(Value::as_str).map(str::to_owned),
                changes: row.try_get("changes")?,
                last_changed_at: Timestamp::from_millis(row.try_get("received_at")?),
                last_change: rows::change_id(row)?,
            };
            Ok((row.try_get("seq")?, summary))
        };
        found.iter().map(summary).collect()
    }

    /// The newest snapshot of a deployment that was seen at or before `time`.
    pub(in crate::audit) async fn deployment_at(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, Boxed> {
        let query = sqlx::query(DEPLOYMENT_AT).bind(deployment_id).bind(time.millis());
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        let document = rows::document(&row, "body", "bytes")?;
        let seen_at = Timestamp::from_millis(row.try_get("seen_at")?);
        let change = rows::change_id(&row)?;
        let deployment_id = deployment_id.to_owned();
        Ok(document.map(|deployment| DeploymentAt {
            deployment_id,
            time,
            seen_at,
            change,
            deployment,
        }))
    }

    /// Events before the place `before`, the newest first, with their places.
    pub(in crate::audit) async fn events(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Event)>, Boxed> {
        let mut query = QueryBuilder::new("SELECT * FROM events WHERE seq < ");
        query.push_bind(before);
        push_match(&mut query, " AND at >= ", since.map(Timestamp::millis));
        push_match(&mut query, " AND at < ", until.map(Timestamp::millis));
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit);
        query.build().fetch_all(&self.pool).await?.iter().map(rows::event).collect()
    }

    /// The unclear changes of a deployment, the oldest first.
    pub(in crate::audit) async fn unclear(
        &self,
        deployment_id: &str,
    ) -> Result<Vec<Unclear>, Boxed> {
        let query = sqlx::query(UNCLEAR).bind(deployment_id).bind(UNCLEAR_MAX);
        let unclear = |row: &SqliteRow| -> Result<_, Boxed> {
            Ok(Unclear {
                seq: row.try_get("seq")?,
                id: rows::change_id(row)?,
                provider: row.try_get("provider")?,
                operation: rows::operation(row)?,
                patch: rows::document(row, "patch_body", "patch_bytes")?,
                before: rows::document(row, "before_body", "before_bytes")?,
                overtaken: row.try_get("overtaken")?,
            })
        };
        query.fetch_all(&self.pool).await?.iter().map(unclear).collect()
    }

    /// Deployments with unclear changes, at most `limit` of them, and how many each has.
    pub(in crate::audit) async fn unsettled(
        &self,
        limit: i64,
    ) -> Result<Vec<(String, i64)>, Boxed> {
        let found = sqlx::query(UNSETTLED).bind(limit).fetch_all(&self.pool).await?;
        let count = |row: &SqliteRow| -> Result<_, Boxed> {
            Ok((row.try_get("deployment_id")?, row.try_get("changes")?))
        };
        found.iter().map(count).collect()
    }
}

fn pool(database: &Path, immutable: bool) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(BUSY_TIMEOUT)
        .read_only(true)
        .immutable(immutable)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(TURN_TIMEOUT)
        .connect_lazy_with(options)
}

fn changes_query(bodies: bool) -> QueryBuilder<Sqlite> {
    let (columns, joined) = if bodies { (BODIES, JOINED_BODIES) } else { ("", "") };
    QueryBuilder::new(format!("{CHANGE}{columns}{FROM}{joined}"))
}

fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    push_match(query, " AND c.deployment_id = ", filter.deployment_id.clone());
    match &filter.actor {
        Some(ActorFilter::Fingerprint(fingerprint)) => {
            let bytes = fingerprint.as_u64().to_be_bytes().to_vec();
            query.push(" AND c.actor_fingerprint = ").push_bind(bytes);
        }
        Some(ActorFilter::Name(name)) => {
            query.push(" AND c.actor_name = ").push_bind(name.clone());
        }
        None => {}
    }
    push_match(query, " AND c.actor_team = ", filter.team.clone());
    push_match(query, " AND c.operation = ", filter.operation.map(Operation::name));
    push_match(query, " AND c.decision = ", filter.decision.as_ref().map(rows::word_of));
    push_match(query, " AND c.outcome = ", filter.outcome.as_ref().map(rows::word_of));
    push_match(query, " AND c.request_id = ", filter.request_id.clone());
    push_match(query, " AND c.received_at >= ", filter.since.map(Timestamp::millis));
    push_match(query, " AND c.received_at < ", filter.until.map(Timestamp::millis));
    if let Some(rule) = &filter.rule {
        query.push(
            " AND EXISTS (SELECT 1 FROM json_each(c.violations) v \
             WHERE json_extract(v.value, '$.rule') = ",
        );
        query.push_bind(rule.clone()).push(")");
    }
    if let Some(path) = &filter.path {
        query.push(" AND EXISTS (SELECT 1 FROM json_each(c.paths) p WHERE p.value = ");
        let below = format!("{path}/");
        let below_chars = i64::try_from(below.chars().count()).unwrap_or(i64::MAX);
        query.push_bind(path.clone()).push(" OR substr(p.value, 1, ").push_bind(below_chars);
        query.push(") = ").push_bind(below).push(")");
    }
    if let Some(text) = &filter.q {
        push_search(query, &format!("%{}%", escaped(text)));
    }
}

fn push_match<T>(query: &mut QueryBuilder<Sqlite>, condition: &str, wanted: Option<T>)
where
    T: for<'t> sqlx::Encode<'t, Sqlite> + sqlx::Type<Sqlite>,
{
    if let Some(wanted) = wanted {
        query.push(condition).push_bind(wanted);
    }
}

/// Looks for `like` in everything that a person may remember of a change.
fn push_search(query: &mut QueryBuilder<Sqlite>, like: &str) {
    let texts = [
        "'chg_' || lower(hex(c.id))",
        "c.deployment_id",
        "c.request_id",
        "c.upstream_request_id",
        "'pat_' || lower(hex(c.actor_fingerprint))",
        "c.actor_name",
        "c.actor_team",
        "c.user_agent",
    ];
    query.push(" AND (");
    for text in texts {
        query.push(text).push(" LIKE ").push_bind(like.to_owned()).push(" ESCAPE '\\' OR ");
    }
    for list in [
        "json_each(c.violations) v WHERE json_extract(v.value, '$.message')",
        "json_each(c.paths) v WHERE v.value",
    ] {
        query.push("EXISTS (SELECT 1 FROM ").push(list).push(" LIKE ");
        query.push_bind(like.to_owned()).push(" ESCAPE '\\') OR ");
    }
    query.push("0)");
}

/// `text` as it is meant inside a LIKE pattern.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
