//! The end of a call that was forwarded: the deployment after, its completion, the answer.

use super::call::{Call, Decided};
use super::decide::Compared;
use super::forward::{ForwardError, Forwarded, WholeResponse};
use super::mark::{append, mark, mark_approval, warn, warnings};
use super::memory::MemoryShare;
use super::response::{Reply, SHOULD_RETRY};
use super::shown_deployment::ShownDeployment;
use super::snapshot;
use crate::audit::Finished;
use crate::audit::approval::ApprovalPart;
use crate::audit::intent::Completion;
use crate::audit::record::Outcome;
use crate::deployment::id_of;
use crate::provider::Operation;

/// The deployment after: upstream's answer where it is one, a GET where it is not (run) or
/// where the end is unclear. Its memory is held, whatever there is of it.
pub(super) async fn see_after(
    call: &Call,
    forwarded: &Forwarded,
    held: &mut MemoryShare,
) -> Option<ShownDeployment> {
    let after = look_after(call, forwarded).await;
    held.grow_beyond(after.as_ref().map_or(0, |after| after.bytes + after.parsed_bytes));
    after
}

async fn look_after(call: &Call, forwarded: &Forwarded) -> Option<ShownDeployment> {
    if !matches!(forwarded.outcome, Outcome::Applied | Outcome::Unknown) {
        return None;
    }
    if let (Outcome::Applied, Ok(answer)) = (forwarded.outcome, &forwarded.result) {
        let shown = snapshot::seen_in(call, answer).await;
        let shown = shown.filter(|shown| {
            call.deployment.is_none() || id_of(shown.document()) == call.deployment_id()
        });
        if shown.is_some() {
            return shown;
        }
    }
    let id = call.deployment_id().map(str::to_owned).or_else(|| created_id(call, forwarded))?;
    snapshot::read(call, &id).await.ok()
}

/// The id of the deployment that a create has made, where upstream names it by its URL alone
/// (RFC 9110, 15.3.2).
fn created_id(call: &Call, forwarded: &Forwarded) -> Option<String> {
    let answer = forwarded.result.as_ref().ok()?;
    let location = answer.headers.get(http::header::LOCATION)?.to_str().ok()?;
    let path = location.split(['?', '#']).next()?;
    let (above, id) = path.rsplit_once('/')?;
    let below = format!("{}/deployments", call.provider().base_path);
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let is_id =
        !matches!(id, "." | "..") && (1..=256).contains(&id.len()) && id.bytes().all(is_plain);
    let is_made = call.operation == Operation::Create && forwarded.outcome == Outcome::Applied;
    (is_made && is_id && above.ends_with(&below)).then(|| id.to_owned())
}

/// The completion of the call's record.
pub(super) fn complete(
    call: &Call,
    forwarded: &Forwarded,
    compared: &Compared,
    after: Option<&ShownDeployment>,
) -> Completion {
    let created = after.and_then(|after| id_of(after.document()));
    let created = created.filter(|_| call.operation == Operation::Create);
    let deployment_id = created.map(str::to_owned).or_else(|| created_id(call, forwarded));
    Completion {
        completed_at: call.completed_at(),
        outcome: forwarded.outcome,
        upstream: forwarded.told(),
        reason: forwarded.reason(),
        deployment_id,
        after: after.map(|after| after.shown.clone()),
        effect: compared.effect,
        after_violations: compared.after_violations.clone(),
    }
}

/// The answer to the client.
pub(super) fn reply(
    call: &Call,
    result: Result<WholeResponse, ForwardError>,
    decided: &Decided,
    finished: Finished,
    tag: Option<&str>,
) -> Reply {
    let unread = if tag.is_none() { unread(call, &result) } else { None };
    let mut reply = match result {
        Ok(answer) => passed_on(answer, call),
        Err(error) => error.refusal().into_reply(&call.context.request_id, Some(call.change)),
    };
    mark(&mut reply, call, decided.decision);
    mark_approval(&mut reply, decided.approval.as_ref().map(ApprovalPart::id));
    let late = "the change's record is not complete yet: the audit store is failing".to_owned();
    // What can't be read in the record comes first: it is shown whatever the number of the rest.
    let late = (finished == Finished::Deferred).then_some(late);
    let first = late.into_iter().chain(unread);
    let texts: Vec<String> = first.chain(warnings(&decided.findings)).collect();
    warn(&mut reply, &texts);
    if let Some(tag) = tag {
        reply.headers_mut().remove("etag");
        append(&mut reply, "etag", tag);
    }
    reply
}

/// Says why the record has no deployment after the change, where upstream has encoded what it was
/// asked to show as it is.
fn unread(call: &Call, result: &Result<WholeResponse, ForwardError>) -> Option<String> {
    let answer = result.as_ref().ok().filter(|answer| answer.status.is_success())?;
    let coding = answer.coding()?;
    tracing::warn!(
        request_id = %call.context.request_id,
        change = %call.change,
        coding,
        "upstream's answer to a governed call is encoded: the record has no deployment after it"
    );
    Some(format!(
        "upstream answered {coding}-encoded though identity was asked for: the record has no \
         deployment after this change"
    ))
}

/// Upstream's answer. Where it leaves open whether something was made or run, SDKs must not send
/// the call again by themselves: it would be made or run twice. Under a key that would be for
/// nothing, and its answer would hide this one.
fn passed_on(answer: WholeResponse, call: &Call) -> Reply {
    let is_unclear = answer.status.is_server_error();
    let mut reply = answer.into_reply(call.ends());
    let is_once = matches!(call.operation, Operation::Create | Operation::Run) || call.is_keyed();
    if is_unclear && is_once {
        reply.headers_mut().insert(SHOULD_RETRY.0, SHOULD_RETRY.1);
    }
    reply
}

/// Lines in the diagnostic log for a call that was forwarded, and an event where upstream has made
/// of the deployment what no rule allows and nobody predicted.
pub(super) fn tell(
    call: &Call,
    decided: &Decided,
    outcome: Outcome,
    finished: Finished,
    compared: &Compared,
) {
    super::report(call, decided.decision, outcome, &decided.findings.violations);
    if !compared.after_violations.is_empty() {
        super::report_after(call, &compared.after_violations);
    }
    if finished == Finished::Deferred {
        tracing::error!(
            request_id = %call.context.request_id,
            change = %call.change,
            "the completion can't be written yet; it stays queued"
        );
    }
}
