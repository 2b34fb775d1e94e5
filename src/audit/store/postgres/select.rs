//! The statements that read. Each has a LIMIT.

use std::sync::Arc;

use sqlx::postgres::PgRow;

use super::asking::Documents;
use super::asking::Line;
use super::columns::CHANGE;
use super::filter::deployments;
use super::horizon::Horizon;
use super::literal::{bytes, text};
use crate::audit::idempotency::EarlierCall;
use crate::audit::question::{DeploymentAt, DeploymentSummary, Unclear};
use crate::audit::record::Change;
use crate::audit::store::named::KnownNames;
use crate::audit::store::page::UNCLEAR_MAX;
use crate::audit::store::rows::{Bytes, cell, maybe};
use crate::audit::store::texts::{name_in, show};
use crate::audit::store::{Boxed, rows};
use crate::base::clock::Timestamp;
use crate::base::database::PostgresUrl;
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;

/// How far the log is written: what ends, and what is pruned or erased, waits for its place. A
/// lower number may come later than a higher one, and makes them one more.
const STATE: &str = "SELECT (SELECT coalesce(max(seq), 0) FROM changes) AS newest, \
    (SELECT coalesce(max(position), -1) FROM leaves) AS ended, \
    (SELECT coalesce(max(number), 0) FROM unsequenced) AS waiting, \
    (SELECT count(*) FROM (SELECT FROM unsequenced LIMIT 1000) w) AS count";

/// The sides that ask, each over a connection of its own.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Reads {
    /// For operators.
    pub(super) operators: Line,
    /// For governed calls, which ask while others wait for their turn.
    pub(super) calls: Line,
    /// For the tree over the log.
    pub(super) evidence: Line,
    /// For sinks.
    pub(super) sinks: Line,
    pub(super) horizon: Horizon,
    pub(super) names: KnownNames,
}

impl Reads {
    /// Reads the log at `url`, from the first question on.
    pub(in crate::audit::store) fn of(url: &PostgresUrl) -> Self {
        let url = Arc::new(url.clone());
        let [operators, calls, evidence, sinks] = [(); 4].map(|()| Line::to(&url));
        let (horizon, names) = (Horizon::default(), KnownNames::by(STATE));
        Self { operators, calls, evidence, sinks, horizon, names }
    }

    /// Reads the log at `url`, and finds out first that it can.
    pub(in crate::audit::store) async fn open(url: &PostgresUrl) -> Result<Self, Boxed> {
        let reads = Self::of(url);
        reads.horizon.newest(&mut reads.operators.ask().await?).await?;
        Ok(reads)
    }

    /// One change with its bodies.
    pub(in crate::audit::store) async fn change(
        &self,
        id: ChangeId,
    ) -> Result<Option<Change>, Boxed> {
        let Some(mut change) = self.bare_change(id).await? else { return Ok(None) };
        let Some(texts) = self.documents().await?.bodies(change.seq).await? else {
            return Ok(None);
        };
        show(&mut change, &texts)?;
        Ok(Some(change))
    }

    /// One change without its bodies.
    pub(in crate::audit::store) async fn bare_change(
        &self,
        id: ChangeId,
    ) -> Result<Option<Change>, Boxed> {
        let query = format!("{CHANGE} WHERE c.id = {} LIMIT 1", bytes(id.as_bytes()));
        let found = self.operators.ask().await?.row(&query).await?;
        found.as_ref().map(rows::change).transpose()
    }

    /// The documents of the log, for one question.
    pub(in crate::audit::store) async fn documents(&self) -> Result<Documents, Boxed> {
        Ok(Documents::by(self.operators.ask().await?))
    }

    /// Deployments whose newest change is before the place `before`, with that place. What lies
    /// beyond `until` is left out; names are, but for `names`.
    pub(in crate::audit::store) async fn deployments(
        &self,
        before: i64,
        until: Option<i64>,
        limit: i64,
        names: bool,
    ) -> Result<Vec<(i64, DeploymentSummary)>, Boxed> {
        let mut asking = self.operators.ask().await?;
        let until = until.map_or(i64::MAX, |until| until.saturating_add(1));
        let end = self.horizon.before(&mut asking, until).await?;
        let found = asking.rows(&newest_of_deployments(before, end, limit)).await?;
        let mut documents = Documents::by(asking);
        let mut summaries = Vec::with_capacity(found.len());
        for row in &found {
            let id: String = cell(row, "deployment_id")?;
            let newest = if names { maybe(row, "snapshot")? } else { None };
            let name = name_in(documents.text(newest).await, &id)?;
            let summary = DeploymentSummary {
                name,
                id,
                changes: cell(row, "changes")?,
                last_changed_at: cell(row, "received_at")?,
                last_change: rows::change_id(row)?,
            };
            summaries.push((cell(row, "seq")?, summary));
        }
        Ok(summaries)
    }

    /// The newest snapshot of a deployment that was seen at or before `time`.
    pub(in crate::audit::store) async fn deployment_at(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, Boxed> {
        let mut asking = self.operators.ask().await?;
        let mut last: Option<(i64, PgRow)> = None;
        for number in deployments(&mut asking, &[deployment_id]).await? {
            let Some(row) = asking.row(&deployment_at(number, time)).await? else { continue };
            let seq = cell(&row, "seq")?;
            if last.as_ref().is_none_or(|(last, _)| *last < seq) {
                last = Some((seq, row));
            }
        }
        let Some((_seq, row)) = last else { return Ok(None) };
        let document = Documents::by(asking).read(maybe(&row, "snapshot")?).await?;
        let (seen_at, change) = (cell(&row, "seen_at")?, rows::change_id(&row)?);
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
    pub(in crate::audit::store) async fn earlier_call(
        &self,
        digest: [u8; 16],
        now: Timestamp,
    ) -> Result<Option<EarlierCall>, Boxed> {
        let query = format!(
            "SELECT (SELECT request FROM idempotency_keys WHERE seq = c.seq) AS request, {} \
             WHERE c.seq = (SELECT seq FROM idempotency_keys \
             WHERE digest = {} AND until_at > {}) LIMIT 1",
            CHANGE.strip_prefix("SELECT ").unwrap_or(CHANGE),
            bytes(&digest),
            now.millis()
        );
        let Some(row) = self.calls.ask().await?.row(&query).await? else { return Ok(None) };
        let request: Bytes<'_> = cell(&row, "request")?;
        Ok(Some(EarlierCall { request: (&*request).try_into()?, change: rows::change(&row)? }))
    }

    /// The unclear changes of a deployment, the oldest first.
    pub(in crate::audit::store) async fn unclear(
        &self,
        deployment: &DeploymentKey,
    ) -> Result<Vec<Unclear>, Boxed> {
        let mut asking = self.calls.ask().await?;
        let found = asking.rows(&unclear(deployment)).await?;
        let mut documents = Documents::by(asking);
        let mut unclear = Vec::new();
        for row in &found {
            unclear.push(Unclear {
                seq: cell(row, "seq")?,
                id: rows::change_id(row)?,
                provider: cell(row, "provider")?,
                operation: rows::operation(row)?,
                omitted: rows::omitted(row)?,
                patch: documents.patch(cell(row, "seq")?).await?,
                before: documents.read(maybe(row, "before")?).await?,
                overtaken: cell(row, "overtaken")?,
            });
        }
        Ok(unclear)
    }

    /// Deployments with unclear changes, at most `limit` of them, and how many each has.
    pub(in crate::audit::store) async fn unsettled(
        &self,
        limit: i64,
    ) -> Result<Vec<(DeploymentKey, i64)>, Boxed> {
        let query = format!(
            "SELECT d.id AS deployment_id, d.upstream, count(*) AS changes FROM unsettled u \
             JOIN deployments d ON d.number = u.deployment GROUP BY d.number LIMIT {limit}"
        );
        let found = self.operators.ask().await?.rows(&query).await?;
        let count = |row: &PgRow| -> Result<_, Boxed> {
            let upstream = cell::<&str>(row, "upstream")?.into();
            Ok((DeploymentKey { upstream, id: cell(row, "deployment_id")? }, cell(row, "changes")?))
        };
        found.iter().map(count).collect()
    }
}

/// The newest that is known of each deployment, of what lies before the place `end`.
fn newest_of_deployments(before: i64, end: i64, limit: i64) -> String {
    format!(
        "SELECT d.id AS deployment_id, l.seq, c.id, c.received_at, \
         (SELECT count(*) FROM changes n WHERE n.deployment = l.number AND n.seq < {end}) \
             AS changes, \
         (SELECT coalesce(e.after, k.before) FROM changes k LEFT JOIN ends e ON e.seq = k.seq \
             WHERE k.deployment = l.number AND k.seq < {end} \
             AND (e.after IS NOT NULL OR k.before IS NOT NULL) \
             ORDER BY k.seq DESC LIMIT 1) AS snapshot \
         FROM (SELECT * FROM (SELECT o.number, \
             (SELECT max(m.seq) FROM changes m WHERE m.deployment = o.number AND m.seq < {end}) \
             AS seq FROM deployments o OFFSET 0) every WHERE seq < {before} \
             ORDER BY seq DESC LIMIT {limit}) l \
         JOIN deployments d ON d.number = l.number JOIN changes c ON c.seq = l.seq \
         ORDER BY l.seq DESC"
    )
}

/// The last sight of a deployment. Its changes take turns, so their places tell their order.
/// A change that waited for its turn was received while its predecessor was under way: its
/// before was seen after the predecessor's end, not at its own arrival.
///
/// Each half walks back through the changes of the one deployment, to the first that fits.
pub(super) fn deployment_at(number: i64, time: Timestamp) -> String {
    let time = time.millis();
    format!(
        "SELECT * FROM (SELECT * FROM (\
         SELECT c.seq, c.id, e.completed_at AS seen_at, e.after AS snapshot, 1 AS later \
         FROM changes c JOIN ends e ON e.seq = c.seq WHERE c.deployment = {number} \
         AND e.after IS NOT NULL AND e.completed_at <= {time} ORDER BY c.seq DESC LIMIT 1) a \
         UNION ALL SELECT * FROM (\
         SELECT seq, id, greatest(received_at, former_end), before, 0 \
         FROM (SELECT n.seq, n.id, n.received_at, n.before, \
             (SELECT e.completed_at FROM changes f LEFT JOIN ends e ON e.seq = f.seq \
              WHERE f.deployment = n.deployment AND f.seq < n.seq \
              ORDER BY f.seq DESC LIMIT 1) AS former_end \
             FROM changes n WHERE n.deployment = {number}) seen \
         WHERE before IS NOT NULL AND received_at <= {time} \
         AND coalesce(former_end, 0) <= {time} ORDER BY seq DESC LIMIT 1) b) sights \
         ORDER BY seq DESC, later DESC LIMIT 1"
    )
}

fn unclear(deployment: &DeploymentKey) -> String {
    format!(
        "SELECT c.seq, c.id, a.provider, c.operation, c.method, c.before, \
         EXISTS (SELECT FROM changes l LEFT JOIN ends k ON k.seq = l.seq \
             WHERE l.deployment = c.deployment AND l.seq > c.seq \
             AND (k.outcome IS NULL OR k.outcome IN ('applied', 'unknown'))) AS overtaken \
         FROM unsettled u JOIN changes c ON c.seq = u.seq \
         JOIN upstreams a ON a.number = c.upstream WHERE u.deployment = \
         (SELECT number FROM deployments WHERE id = {} AND upstream = {}) \
         ORDER BY c.seq LIMIT {UNCLEAR_MAX}",
        text(Some(&deployment.id)),
        text(Some(&deployment.upstream))
    )
}
