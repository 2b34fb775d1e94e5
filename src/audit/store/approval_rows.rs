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

/// Reviews that may be open: each person's newest, since there is no other before it is reviewed.
const NEWEST_REVIEWS: &str = "SELECT number FROM (WITH RECURSIVE p (person) AS ( \
        SELECT min(person) FROM approvals WHERE kind = 'break_glass' \
        UNION ALL SELECT (SELECT min(b.person) FROM approvals b \
            WHERE b.kind = 'break_glass' AND b.person > p.person) FROM p \
        WHERE p.person IS NOT NULL) \
    SELECT (SELECT max(b.number) FROM approvals b \
        WHERE b.kind = 'break_glass' AND b.person = p.person) AS number \
    FROM p WHERE p.person IS NOT NULL) r";

/// The condition that an approval stands so `now`, as text; `among` is what the numbers of those
/// that may stand so are put between. Of what waits or is over, nothing else is looked at: of what
/// is over, the newest so many before a place, where that is enough.
pub(super) fn standing(
    state: ApprovalState,
    now: Timestamp,
    part: Option<(i64, i64)>,
    among: (&str, &str),
) -> String {
    let (now, (open, close)) = (now.millis(), among);
    let is_in_time = format!("(s.until_at IS NULL OR s.until_at > {now})");
    match state {
        ApprovalState::Open => format!(
            " AND a.number {open}SELECT approval FROM live_approvals \
             UNION ALL {NEWEST_REVIEWS}{close} AND s.step = 'open' AND {is_in_time}"
        ),
        // A review has no end, and there are few of them.
        ApprovalState::Approved => format!(
            " AND a.number {open}SELECT approval FROM live_approvals \
             UNION ALL SELECT number FROM approvals WHERE kind = 'break_glass'{close} \
             AND (s.step = 'approved' OR s.step = 'returned') AND {is_in_time}"
        ),
        ApprovalState::Expired => {
            let part = part.map_or_else(String::new, |(before, limit)| {
                format!(" AND t.approval < {before} ORDER BY t.approval DESC LIMIT {limit}")
            });
            format!(
                " AND a.number {open}SELECT approval FROM live_approvals WHERE until_at <= {now} \
                 UNION ALL SELECT approval FROM (SELECT t.approval FROM approval_steps t \
                 WHERE t.step = 'expired'{part}) x{close}"
            )
        }
        ApprovalState::Rejected | ApprovalState::Used | ApprovalState::Void => {
            format!(" AND s.step = '{}'", state.name())
        }
    }
}

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
        approvers: None,
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
