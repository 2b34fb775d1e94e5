//! The statements that read. Each has a LIMIT.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions as _, QueryBuilder, Row as _, SqlitePool};

use super::BUSY_TIMEOUT;
use super::asking::{Asking, Documents};
use super::columns::CHANGE;
use super::filter::deployments;
use crate::audit::idempotency::EarlierCall;
use crate::audit::question::{DeploymentAt, DeploymentSummary, Unclear};
use crate::audit::record::Change;
use crate::audit::store::named::KnownNames;
use crate::audit::store::page::UNCLEAR_MAX;
use crate::audit::store::texts::{name_in, show};
use crate::audit::store::{Boxed, rows};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;

/// How many questions of operators are answered at once, each on a thread of its own.
const CONNECTIONS_MAX: u32 = 4;

/// How many questions are answered at once, beside those, that may look through the whole log.
const SCANS_MAX: u32 = 2;

/// How many rows that a thread of SQLite has read wait for who asked.
const ROWS_MAX: usize = 50;

/// The same of leaves, which are read by hundreds: the two seldom wait for each other.
const LEAVES_MAX: usize = 512;

/// How long a question waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// The newest that is known of each deployment, as far as to the place `?3`.
const DEPLOYMENTS: &str = "SELECT d.id AS deployment_id, l.seq, c.id, c.received_at, \
    (SELECT count(*) FROM changes n WHERE n.deployment = l.number AND n.seq <= ?3) AS changes, \
    (SELECT coalesce(e.after, k.before) FROM changes k LEFT JOIN ends e ON e.seq = k.seq \
          WHERE k.deployment = l.number AND k.seq <= ?3 \
          AND (e.after IS NOT NULL OR k.before IS NOT NULL) \
          ORDER BY k.seq DESC LIMIT 1) AS snapshot \
    FROM (SELECT number, \
          (SELECT max(seq) FROM changes WHERE deployment = number AND seq <= ?3) AS seq \
          FROM deployments) l \
    JOIN deployments d ON d.number = l.number JOIN changes c ON c.seq = l.seq \
    WHERE l.seq < ?1 ORDER BY l.seq DESC LIMIT ?2";

/// The last sight of a deployment. Its changes take turns, so their places tell their order.
/// A change that waited for its turn was received while its predecessor was under way: its
/// before was seen after the predecessor's end, not at its own arrival.
///
/// Each half walks back through the changes of the one deployment, to the first that fits.
pub(super) const DEPLOYMENT_AT: &str = "SELECT * FROM (\
    SELECT c.seq, c.id, e.completed_at AS seen_at, e.after AS snapshot, 1 AS later \
    FROM changes c CROSS JOIN ends e ON e.seq = c.seq \
    WHERE c.deployment = ?1 \
    AND e.after IS NOT NULL AND e.completed_at <= ?2 ORDER BY c.seq DESC LIMIT 1) \
    UNION ALL SELECT * FROM (\
    SELECT seq, id, max(received_at, coalesce(former_end, received_at)), before, 0 \
    FROM (SELECT n.seq, n.id, n.received_at, n.before, \
          (SELECT e.completed_at FROM changes f LEFT JOIN ends e ON e.seq = f.seq \
           WHERE f.deployment = n.deployment AND f.seq < n.seq \
           ORDER BY f.seq DESC LIMIT 1) AS former_end \
          FROM changes n WHERE n.deployment = ?1) \
    WHERE before IS NOT NULL AND received_at <= ?2 AND coalesce(former_end, 0) <= ?2 \
    ORDER BY seq DESC LIMIT 1) \
    ORDER BY 1 DESC, 5 DESC LIMIT 1";

const UNCLEAR: &str = "SELECT c.seq, c.id, a.provider, c.operation, c.method, c.before, \
    EXISTS (SELECT 1 FROM changes l LEFT JOIN ends k ON k.seq = l.seq \
            WHERE l.deployment = c.deployment AND l.seq > c.seq \
            AND (k.outcome IS NULL OR k.outcome IN ('applied', 'unknown'))) AS overtaken \
    FROM unsettled u JOIN changes c ON c.seq = u.seq \
    JOIN upstreams a ON a.number = c.upstream \
    WHERE u.deployment = (SELECT number FROM deployments WHERE id = ? AND upstream = ?) \
    ORDER BY c.seq LIMIT ?";

const UNSETTLED: &str = "SELECT d.id AS deployment_id, d.upstream, count(*) AS changes \
    FROM unsettled u \
    JOIN deployments d ON d.number = u.deployment GROUP BY u.deployment LIMIT ?";

/// How far the log is written: what ends, and what is pruned or erased, has its place at once.
const STATE: &str = "SELECT (SELECT coalesce(max(seq), 0) FROM changes) AS newest, \
    (SELECT coalesce(max(position), -1) FROM leaves) AS ended, 0 AS waiting, 0 AS count";

/// A few connections that only read.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Reads {
    /// For operators.
    pub(super) pool: SqlitePool,
    /// For those of their questions that may look through the whole log, so that others are
    /// answered meanwhile.
    pub(super) scans: SqlitePool,
    /// For governed calls, which ask while others wait for their turn.
    calls: SqlitePool,
    /// For the tree over the log.
    pub(super) evidence: SqlitePool,
    /// For sinks.
    pub(super) sinks: SqlitePool,
    pub(super) names: KnownNames,
    /// The descriptor that the writer's lock lies on, where this process writes the log.
    _descriptor: Option<Arc<File>>,
}

impl Reads {
    /// Reads `database`, from the first question on.
    pub(in crate::audit) fn of(database: &Path) -> Self {
        Self::with(database, false)
    }

    /// The same, keeping open for as long as itself the descriptor that a lock lies on.
    pub(super) fn beside(self, descriptor: Arc<File>) -> Self {
        Self { _descriptor: Some(descriptor), ..self }
    }

    /// Reads `database`, and finds out first that it can. A reader of a log in WAL mode needs the
    /// companion files, or makes them; where its user may not, but no write-ahead log is there,
    /// nobody is writing and the file can be read as it stands.
    pub(in crate::audit) async fn open(database: &Path) -> Result<Self, Boxed> {
        let beside = Self::of(database);
        let Err(error) = beside.probe().await else { return Ok(beside) };
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let at_rest = Self::with(database, true);
        if PathBuf::from(log).exists() || at_rest.probe().await.is_err() {
            return Err(error);
        }
        Ok(at_rest)
    }

    fn with(database: &Path, immutable: bool) -> Self {
        let pool = |connections_max| pool(database, immutable, (connections_max, ROWS_MAX));
        Self {
            pool: pool(CONNECTIONS_MAX),
            scans: pool(SCANS_MAX),
            calls: pool(1),
            evidence: self::pool(database, immutable, (1, LEAVES_MAX)),
            sinks: pool(1),
            names: KnownNames::by(STATE),
            _descriptor: None,
        }
    }

    /// The connection for governed calls.
    pub(super) fn calls(&self) -> &SqlitePool {
        &self.calls
    }

    async fn probe(&self) -> Result<(), Boxed> {
        sqlx::query("SELECT seq FROM changes LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    #[cfg(test)]
    pub(super) async fn every_connection_of_operators(&self) -> Vec<impl Sized + use<>> {
        let mut taken = Vec::new();
        while taken.len() < CONNECTIONS_MAX as usize {
            taken.push(self.pool.acquire().await.unwrap());
        }
        taken
    }

    /// One change with its bodies.
    pub(in crate::audit) async fn change(&self, id: ChangeId) -> Result<Option<Change>, Boxed> {
        let Some(mut change) = self.bare_change(id).await? else { return Ok(None) };
        let Some(texts) = self.documents().await?.bodies(change.seq).await? else {
            return Ok(None);
        };
        show(&mut change, &texts)?;
        Ok(Some(change))
    }

    /// One change without its bodies.
    pub(in crate::audit) async fn bare_change(
        &self,
        id: ChangeId,
    ) -> Result<Option<Change>, Boxed> {
        let mut query = QueryBuilder::new(CHANGE);
        query.push(" WHERE c.id = ").push_bind(id.as_bytes().to_vec()).push(" LIMIT 1");
        let mut asking = Asking::on(&self.pool).await?;
        let row = query.build().fetch_optional(&mut *asking).await?;
        row.as_ref().map(rows::change).transpose()
    }

    /// The documents of the log, for one question.
    pub(in crate::audit) async fn documents(&self) -> Result<Documents, Boxed> {
        Ok(Documents::by(Asking::on(&self.pool).await?))
    }

    /// Deployments whose newest change is before the place `before`, with that place. What lies
    /// beyond `until` is left out; names are, but for `names`.
    pub(in crate::audit) async fn deployments(
        &self,
        before: i64,
        until: Option<i64>,
        limit: i64,
        names: bool,
    ) -> Result<Vec<(i64, DeploymentSummary)>, Boxed> {
        let until = until.unwrap_or(i64::MAX);
        let query = sqlx::query(DEPLOYMENTS).bind(before).bind(limit).bind(until);
        let mut asking = Asking::on(&self.pool).await?;
        let found = query.fetch_all(&mut *asking).await?;
        let mut documents = Documents::by(asking);
        let mut summaries = Vec::with_capacity(found.len());
        for row in &found {
            let id: String = row.try_get("deployment_id")?;
            let newest = if names { row.try_get("snapshot")? } else { None };
            let name = name_in(documents.text(newest).await, &id)?;
            let summary = DeploymentSummary {
                name,
                id,
                changes: row.try_get("changes")?,
                last_changed_at: Timestamp::from_millis(row.try_get("received_at")?),
                last_change: rows::change_id(row)?,
            };
            summaries.push((row.try_get("seq")?, summary));
        }
        Ok(summaries)
    }

    /// The newest snapshot of a deployment that was seen at or before `time`.
    pub(in crate::audit) async fn deployment_at(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, Boxed> {
        let mut asking = Asking::on(&self.pool).await?;
        let mut last: Option<(i64, SqliteRow)> = None;
        for number in deployments(&mut asking, &[deployment_id]).await? {
            let query = sqlx::query(DEPLOYMENT_AT).bind(number).bind(time.millis());
            let Some(row) = query.fetch_optional(&mut *asking).await? else { continue };
            let seq = row.try_get("seq")?;
            if last.as_ref().is_none_or(|(last, _)| *last < seq) {
                last = Some((seq, row));
            }
        }
        let Some((_seq, row)) = last else { return Ok(None) };
        let document = Documents::by(asking).read(row.try_get("snapshot")?).await?;
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

    /// The call that was forwarded under the idempotency key of this digest, in force `now`.
    pub(in crate::audit) async fn earlier_call(
        &self,
        digest: [u8; 16],
        now: Timestamp,
    ) -> Result<Option<EarlierCall>, Boxed> {
        let mut query = QueryBuilder::new(
            "SELECT (SELECT request FROM idempotency_keys WHERE seq = c.seq) AS request, ",
        );
        query.push(CHANGE.strip_prefix("SELECT ").unwrap_or(CHANGE));
        query.push(" WHERE c.seq = (SELECT seq FROM idempotency_keys WHERE digest = ");
        query.push_bind(digest.to_vec()).push(" AND until_at > ").push_bind(now.millis());
        query.push(") LIMIT 1");
        let mut asking = Asking::on(&self.calls).await?;
        let Some(row) = query.build().fetch_optional(&mut *asking).await? else { return Ok(None) };
        let request: &[u8] = row.try_get("request")?;
        Ok(Some(EarlierCall { request: request.try_into()?, change: rows::change(&row)? }))
    }

    /// The unclear changes of a deployment, the oldest first.
    pub(in crate::audit) async fn unclear(
        &self,
        deployment: &DeploymentKey,
    ) -> Result<Vec<Unclear>, Boxed> {
        let query = sqlx::query(UNCLEAR).bind(&deployment.id).bind(&*deployment.upstream);
        let query = query.bind(UNCLEAR_MAX);
        let mut asking = Asking::on(&self.calls).await?;
        let found = query.fetch_all(&mut *asking).await?;
        let mut documents = Documents::by(asking);
        let mut unclear = Vec::new();
        for row in &found {
            unclear.push(Unclear {
                seq: row.try_get("seq")?,
                id: rows::change_id(row)?,
                provider: row.try_get("provider")?,
                operation: rows::operation(row)?,
                omitted: rows::omitted(row)?,
                patch: documents.patch(row.try_get("seq")?).await?,
                before: documents.read(row.try_get("before")?).await?,
                overtaken: row.try_get("overtaken")?,
            });
        }
        Ok(unclear)
    }

    /// Deployments with unclear changes, at most `limit` of them, and how many each has.
    pub(in crate::audit) async fn unsettled(
        &self,
        limit: i64,
    ) -> Result<Vec<(DeploymentKey, i64)>, Boxed> {
        let found = sqlx::query(UNSETTLED).bind(limit).fetch_all(&self.pool).await?;
        let count = |row: &SqliteRow| -> Result<_, Boxed> {
            let upstream: String = row.try_get("upstream")?;
            let id: String = row.try_get("deployment_id")?;
            Ok((DeploymentKey { upstream: upstream.into(), id }, row.try_get("changes")?))
        };
        found.iter().map(count).collect()
    }
}

fn pool(database: &Path, immutable: bool, (connections_max, rows_max): (u32, usize)) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(BUSY_TIMEOUT)
        .read_only(true)
        .immutable(immutable)
        .row_buffer_size(rows_max)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(TURN_TIMEOUT)
        .connect_lazy_with(options)
}
