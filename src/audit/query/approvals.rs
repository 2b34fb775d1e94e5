//! Questions about approvals.

use serde_json::Value;

use super::{LIMIT_MAX, Page, PageRequest, QueryError, Reader};
use crate::audit::approval::{
    Approval, ApprovalFilter, ApprovalKind, ApprovalState, AskedChange, BrokenGlass, LiveApprovals,
};
use crate::audit::record::{Bodies, Change};
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, Fingerprint};
use crate::deployment::diff::{Difference, diff};
use crate::deployment::members::Members;
use crate::deployment::patch::Patch;
use crate::deployment::predict::{Omitted, predict};
use crate::provider::Provider;

impl Reader {
    /// Approvals, newest first, as they stand `now`.
    pub async fn approvals(
        &self,
        filter: &ApprovalFilter,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Approval>, QueryError> {
        let limit = page.limit(LIMIT_MAX);
        let most = i64::from(limit) + 1;
        let found = self.reads.approvals(filter, now, page.before(), most).await;
        Ok(Page::cut(found.map_err(QueryError::Store)?, limit, None))
    }

    /// How many of a kind wait `now` for a decision; never more than [`LIMIT_MAX`] are told.
    pub async fn open_approvals(
        &self,
        kind: ApprovalKind,
        now: Timestamp,
    ) -> Result<usize, QueryError> {
        let (state, kind) = (Some(ApprovalState::Open), Some(kind));
        let filter = ApprovalFilter { state, kind, ..ApprovalFilter::default() };
        let page = PageRequest { limit: LIMIT_MAX, cursor: None };
        Ok(self.approvals(&filter, now, page).await?.data.len())
    }

    /// One approval, as it stands `now`, without what is asked for.
    pub async fn approval(
        &self,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<Option<Approval>, QueryError> {
        self.reads.approval(id, now).await.map_err(QueryError::Store)
    }

    /// The change that an approval is asked for, as far as the log still has it.
    pub async fn asked_change(&self, approval: &Approval) -> Result<AskedChange, QueryError> {
        let change = self.change(approval.change).await?;
        Ok(change.map(asked_change).unwrap_or_default())
    }

    /// The requests that are alive `now` beside one that an actor makes.
    pub async fn live_approvals(
        &self,
        actor: Fingerprint,
        asked: [u8; 32],
        now: Timestamp,
    ) -> Result<LiveApprovals, QueryError> {
        self.reads.live_approvals(actor, asked, now).await.map_err(QueryError::Store)
    }

    /// How often a person has broken the glass after `since`, and the time to be reviewed.
    pub async fn broken_glass(
        &self,
        person: &str,
        since: Timestamp,
    ) -> Result<BrokenGlass, QueryError> {
        self.reads.broken_glass(person, since).await.map_err(QueryError::Store)
    }

    /// Whether the time of any live request is over, which is not noted yet.
    pub(in crate::audit) async fn any_over(&self, now: Timestamp) -> Result<bool, QueryError> {
        self.reads.any_over(now).await.map_err(QueryError::Store)
    }
}

fn asked_change(change: Change) -> AskedChange {
    let diff = change.bodies.as_ref().map(|bodies| asked_diff(&change, bodies));
    let (patch, before) =
        change.bodies.map_or((None, None), |bodies| (bodies.patch, bodies.before));
    let (violations, diff) = (change.violations, diff.unwrap_or_default());
    AskedChange { violations, patch, before, diff }
}

/// Where the deployment would differ, by the documented reading of what is asked. Secrets are
/// concealed on both sides, so that those that stay are equal.
pub(crate) fn asked_diff(change: &Change, bodies: &Bodies) -> Vec<Difference> {
    let object = bodies.patch.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(provider) = Provider::named(&change.provider) else { return Vec::new() };
    let is_put = change.method.as_deref() == Some("PUT");
    let omitted = if is_put { Omitted::Open } else { Omitted::Preserved };
    let (patch, before) = (Patch { object }, bodies.before.as_ref());
    let prediction = predict(provider, change.operation, omitted, before, &patch);
    let predicted = prediction.readings.first().map(Members::to_value);
    diff(provider, change.operation, &patch.object, before, predicted.as_ref())
}
