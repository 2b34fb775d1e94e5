//! Rows of approvals as what they tell.

use serde::Deserialize;

use super::rows::{Bytes, Row, actor, cell, maybe, operation, variant};
use crate::audit::approval::{Approval, ApprovalState, ApprovalStep, LiveApproval};
use crate::audit::store::Boxed;
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, ChangeId};

/// A step as the query tells it.
#[derive(Deserialize)]
struct StepRow {
    step: String,
    at: i64,
    by: Option<String>,
    token: Option<String>,
    reason: Option<String>,
    until: Option<i64>,
    change: Option<String>,
}

/// An approval that is not as the schema promises.
#[derive(Debug, thiserror::Error)]
#[error("an approval holds something that this version does not know")]
struct BadApproval;

fn state(row: &impl Row, now: Timestamp) -> Result<ApprovalState, Boxed> {
    let until = maybe(row, "until_at")?;
    Ok(ApprovalState::after(cell(row, "step")?, until, now).ok_or(BadApproval)?)
}

/// A live request, as it stands `now`.
pub(super) fn live(row: &impl Row, now: Timestamp) -> Result<LiveApproval, Boxed> {
    let base: Option<Bytes<'_>> = maybe(row, "base")?;
    let asks: Bytes<'_> = cell(row, "asks")?;
    let (asks, rest) = asks.as_chunks();
    if !rest.is_empty() {
        return Err(BadApproval.into());
    }
    Ok(LiveApproval {
        id: ApprovalId::from_bytes(&cell::<Bytes<'_>>(row, "id")?)?,
        state: state(row, now)?,
        until: cell(row, "until_at")?,
        base: base.as_deref().map(TryInto::try_into).transpose()?,
        asks: asks.to_vec(),
    })
}

/// An approval and its place, as it stands `now`. Its steps are a JSON list.
pub(super) fn approval(row: &impl Row, now: Timestamp) -> Result<(i64, Approval), Boxed> {
    let steps: Vec<StepRow> = serde_json::from_str(cell(row, "steps")?)?;
    let steps = steps.into_iter().map(step).collect::<Result<Vec<_>, Boxed>>()?;
    let approved = steps.iter().rev().find_map(|step| step.until);
    let approval = Approval {
        id: ApprovalId::from_bytes(&cell::<Bytes<'_>>(row, "id")?)?,
        kind: variant(cell(row, "kind")?)?,
        state: state(row, now)?,
        change: ChangeId::from_bytes(&cell::<Bytes<'_>>(row, "change_id")?)?,
        upstream_name: cell(row, "upstream")?,
        operation: operation(row)?,
        deployment_id: maybe(row, "deployment_id")?,
        actor: actor(row)?.ok_or(BadApproval)?,
        rules: serde_json::from_str(cell(row, "rules")?)?,
        opened_at: cell(row, "opened_at")?,
        expires_at: maybe(row, "expires_at")?,
        run_until: approved,
        reason: maybe(row, "reason")?,
        steps,
        asked: None,
    };
    Ok((cell(row, "number")?, approval))
}

fn step(row: StepRow) -> Result<ApprovalStep, Boxed> {
    let StepRow { step, at, by, token, reason, until, change } = row;
    let change = change.filter(|hex| !hex.is_empty());
    let change = change.map(|hex| format!("chg_{}", hex.to_lowercase()).parse()).transpose()?;
    let (at, until) = (Timestamp::from_millis(at), until.map(Timestamp::from_millis));
    Ok(ApprovalStep { step, at, by, token, reason, until, change })
}
