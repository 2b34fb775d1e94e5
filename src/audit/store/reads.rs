//! The asking side of a log, by its kind.

mod beside;
mod erasable;
mod leaves;
mod prunable;

use std::path::Path;

use super::{Boxed, postgres, sqlite};
use crate::audit::approval::{Approval, ApprovalFilter, BrokenGlass, LiveApprovals};
use crate::audit::count::{CountRow, Counting};
use crate::audit::idempotency::EarlierCall;
use crate::audit::question::{
    BodyTexts, DeploymentAt, DeploymentSummary, EventFilter, Filter, FoundChanges, FoundEvents,
    KnownPolicy, RecordedChange, Text, Unclear,
};
use crate::audit::record::Change;
use crate::base::clock::Timestamp;
use crate::base::database::Database;
use crate::base::ids::{ApprovalId, ChangeId, Fingerprint};
use crate::deployment::key::DeploymentKey;

/// Answers questions to a log. Clones share its connections.
#[derive(Clone, Debug)]
pub(in crate::audit) enum Reads {
    Sqlite(sqlite::Reads),
    Postgres(postgres::Reads),
}

/// The documents of a log, read for one question.
pub(in crate::audit) enum Documents {
    Sqlite(sqlite::Documents),
    Postgres(postgres::Documents),
}

/// A walk through recorded changes.
pub(in crate::audit) enum Walk {
    Sqlite(sqlite::Walk),
    Postgres(postgres::Walk),
}

impl Walk {
    /// The place of the newest change that there was when it began.
    pub(in crate::audit) fn until(&self) -> i64 {
        match self {
            Self::Sqlite(walk) => walk.until(),
            Self::Postgres(walk) => walk.until(),
        }
    }

    /// The same changes page by page, the newest first.
    pub(in crate::audit) fn newest_first(self) -> Self {
        match self {
            Self::Sqlite(walk) => Self::Sqlite(walk.newest_first()),
            Self::Postgres(walk) => Self::Postgres(walk.newest_first()),
        }
    }

    /// The next changes; none at the end.
    pub(in crate::audit) async fn next(&mut self) -> Result<Vec<RecordedChange>, Boxed> {
        match self {
            Self::Sqlite(walk) => walk.next().await,
            Self::Postgres(walk) => walk.next().await,
        }
    }
}

impl Reads {
    /// Reads the log at `database`, and finds out first that it can.
    pub(in crate::audit) async fn open(database: &Database) -> Result<Self, Boxed> {
        match database {
            Database::Sqlite(path) => sqlite::Reads::open(path).await.map(Self::Sqlite),
            Database::Postgres(url) => postgres::Reads::open(url).await.map(Self::Postgres),
        }
    }

    /// Changes that a filter finds before the place `before`, the newest first, with their bodies
    /// where `bodies`.
    pub(in crate::audit) async fn changes(
        &self,
        filter: &Filter,
        before: i64,
        limit: u16,
        bodies: bool,
    ) -> Result<FoundChanges, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.changes(filter, before, limit, bodies).await,
            Self::Postgres(reads) => reads.changes(filter, before, limit, bodies).await,
        }
    }

    /// A walk through the changes that a filter finds, deployment by deployment.
    pub(in crate::audit) async fn walk(&self, filter: &Filter) -> Result<Walk, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.walk(filter).await.map(Walk::Sqlite),
            Self::Postgres(reads) => reads.walk(filter).await.map(Walk::Postgres),
        }
    }

    /// Whether several gateways may share the log.
    pub(in crate::audit) fn are_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The digest of the policy that the log serves to the gateways that share it.
    pub(in crate::audit) async fn served_policy(&self) -> Result<Option<String>, Boxed> {
        match self {
            Self::Sqlite(_one_gateway) => Ok(None),
            Self::Postgres(reads) => reads.served_policy().await,
        }
    }

    /// The policies that changes were judged by, the newest first.
    pub(in crate::audit) async fn known_policies(&self) -> Result<Vec<KnownPolicy>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.known_policies().await,
            Self::Postgres(reads) => reads.known_policies().await,
        }
    }

    /// The text of the policy of this digest.
    pub(in crate::audit) async fn policy(&self, digest: &str) -> Result<Option<String>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.policy(digest).await,
            Self::Postgres(reads) => reads.policy(digest).await,
        }
    }

    /// One change with its bodies.
    pub(in crate::audit) async fn change(&self, id: ChangeId) -> Result<Option<Change>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.change(id).await,
            Self::Postgres(reads) => reads.change(id).await,
        }
    }

    /// One change without its bodies.
    pub(in crate::audit) async fn bare_change(
        &self,
        id: ChangeId,
    ) -> Result<Option<Change>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.bare_change(id).await,
            Self::Postgres(reads) => reads.bare_change(id).await,
        }
    }

    /// The documents of the log, for one question.
    pub(in crate::audit) async fn documents(&self) -> Result<Documents, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.documents().await.map(Documents::Sqlite),
            Self::Postgres(reads) => reads.documents().await.map(Documents::Postgres),
        }
    }

    /// The documents of the log, for a sink.
    pub(in crate::audit) async fn sink_documents(&self) -> Result<Documents, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.sink_documents().await.map(Documents::Sqlite),
            Self::Postgres(reads) => reads.sink_documents().await.map(Documents::Postgres),
        }
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
        match self {
            Self::Sqlite(reads) => reads.deployments(before, until, limit, names).await,
            Self::Postgres(reads) => reads.deployments(before, until, limit, names).await,
        }
    }

    /// The ids of the deployments whose newest name holds `text`, at most `most` of them, those
    /// that were changed last first. One that several upstreams have comes as often.
    pub(in crate::audit) async fn deployments_named(
        &self,
        text: &str,
        most: usize,
    ) -> Result<Vec<String>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.deployments_named(text, most).await,
            Self::Postgres(reads) => reads.deployments_named(text, most).await,
        }
    }

    /// The names of these deployments in their newest snapshots.
    pub(in crate::audit) async fn deployment_names(
        &self,
        ids: &[String],
    ) -> Result<Vec<Option<String>>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.deployment_names(ids).await,
            Self::Postgres(reads) => reads.deployment_names(ids).await,
        }
    }

    /// The newest snapshot of a deployment that was seen at or before `time`.
    pub(in crate::audit) async fn deployment_at(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.deployment_at(deployment_id, time).await,
            Self::Postgres(reads) => reads.deployment_at(deployment_id, time).await,
        }
    }

    /// Copies the log into `target`, as it is at one moment.
    pub(in crate::audit) async fn copy_to(&self, target: &Path) -> Result<(), Boxed> {
        match self {
            Self::Sqlite(reads) => reads.copy_to(target).await,
            Self::Postgres(_) => {
                Err("a log in PostgreSQL is backed up by its own tools: use pg_dump".into())
            }
        }
    }

    /// The tokens that had a name in the newest of its changes.
    pub(in crate::audit) async fn tokens_of(&self, name: &str) -> Result<Vec<Fingerprint>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.tokens_of(name).await,
            Self::Postgres(reads) => reads.tokens_of(name).await,
        }
    }

    /// The texts of policies, the newest first.
    pub(in crate::audit) async fn policies(&self, limit: i64) -> Result<Vec<String>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.policies(limit).await,
            Self::Postgres(reads) => reads.policies(limit).await,
        }
    }

    /// Changes counted over time, the oldest hour or day first.
    pub(in crate::audit) async fn counts(
        &self,
        counting: &Counting,
    ) -> Result<Vec<CountRow>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.counts(counting).await,
            Self::Postgres(reads) => reads.counts(counting).await,
        }
    }

    /// Events that a filter finds before the place `before`, the newest first.
    pub(in crate::audit) async fn events(
        &self,
        filter: &EventFilter,
        before: i64,
        limit: u16,
    ) -> Result<FoundEvents, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.events(filter, before, limit).await,
            Self::Postgres(reads) => reads.events(filter, before, limit).await,
        }
    }

    /// The call that was forwarded under the idempotency key of this digest, in force `now`.
    pub(in crate::audit) async fn earlier_call(
        &self,
        digest: [u8; 16],
        now: Timestamp,
    ) -> Result<Option<EarlierCall>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.earlier_call(digest, now).await,
            Self::Postgres(reads) => reads.earlier_call(digest, now).await,
        }
    }

    /// Approvals before the place `before`, the newest first, as they stand `now`.
    pub(in crate::audit) async fn approvals(
        &self,
        filter: &ApprovalFilter,
        now: Timestamp,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Approval)>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.approvals(filter, now, before, limit).await,
            Self::Postgres(reads) => reads.approvals(filter, now, before, limit).await,
        }
    }

    /// One approval, as it stands `now`, without what is asked for.
    pub(in crate::audit) async fn approval(
        &self,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Option<Approval>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.approval(id, now).await,
            Self::Postgres(reads) => reads.approval(id, now).await,
        }
    }

    /// The requests that are alive `now` beside one that an actor makes.
    pub(in crate::audit) async fn live_approvals(
        &self,
        actor: Fingerprint,
        asked: [u8; 32],
        now: Timestamp,
    ) -> Result<LiveApprovals, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.live_approvals(actor, asked, now).await,
            Self::Postgres(reads) => reads.live_approvals(actor, asked, now).await,
        }
    }

    /// How often a person has broken the glass after `since`, and the time to be reviewed.
    pub(in crate::audit) async fn broken_glass(
        &self,
        person: &str,
        since: Timestamp,
    ) -> Result<BrokenGlass, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.broken_glass(person, since).await,
            Self::Postgres(reads) => reads.broken_glass(person, since).await,
        }
    }

    /// Whether the time of any live request is over, which is not noted yet.
    pub(in crate::audit) async fn any_over(&self, now: Timestamp) -> Result<bool, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.any_over(now).await,
            Self::Postgres(reads) => reads.any_over(now).await,
        }
    }

    /// The unclear changes of a deployment, the oldest first.
    pub(in crate::audit) async fn unclear(
        &self,
        deployment: &DeploymentKey,
    ) -> Result<Vec<Unclear>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.unclear(deployment).await,
            Self::Postgres(reads) => reads.unclear(deployment).await,
        }
    }

    /// Deployments with unclear changes, at most `limit` of them, and how many each has.
    pub(in crate::audit) async fn unsettled(
        &self,
        limit: i64,
    ) -> Result<Vec<(DeploymentKey, i64)>, Boxed> {
        match self {
            Self::Sqlite(reads) => reads.unsettled(limit).await,
            Self::Postgres(reads) => reads.unsettled(limit).await,
        }
    }
}

impl Documents {
    /// The bodies of the change at the place `seq`; `None` where there is no such change.
    pub(in crate::audit) async fn bodies(&mut self, seq: i64) -> Result<Option<BodyTexts>, Boxed> {
        match self {
            Self::Sqlite(documents) => documents.bodies(seq).await,
            Self::Postgres(documents) => documents.bodies(seq).await,
        }
    }

    /// The bodies of the first of these changes, likewise; those of the others are read ahead.
    pub(in crate::audit) async fn bodies_of_first(
        &mut self,
        changes: &[i64],
    ) -> Result<Option<BodyTexts>, Boxed> {
        match self {
            Self::Sqlite(documents) => documents.bodies_of_first(changes).await,
            Self::Postgres(documents) => documents.bodies_of_first(changes).await,
        }
    }

    /// The text of a document; `None` where there is none of that number.
    pub(in crate::audit) async fn text(&mut self, number: i64) -> Result<Option<Text>, Boxed> {
        match self {
            Self::Sqlite(documents) => documents.text(Some(number)).await,
            Self::Postgres(documents) => documents.text(Some(number)).await,
        }
    }

    /// The bytes of all that was read so far.
    pub(in crate::audit) fn read_bytes(&self) -> usize {
        match self {
            Self::Sqlite(documents) => documents.read_bytes(),
            Self::Postgres(documents) => documents.read_bytes(),
        }
    }
}
