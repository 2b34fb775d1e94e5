//! The story of a governed call, every step and every `if` of it, in order.
//!
//! ```text
//! make sure of the caller → read the body → take turn → snapshot before → predict → decide
//!   → OPEN RECORD (durable) → forward → snapshot after → compare → FINISH RECORD (durable) → reply
//! ```
//!
//! It runs on a task of its own: a client that goes away stops nothing. A call that stops before
//! `forward` is recorded whole, as a [`NotForwarded`]; nothing of it ever reached upstream.

use std::sync::Arc;

use super::body::Received;
use super::call::{Call, CallBody, Evaluation, Judged};
use super::decide::{Compared, compare, evaluate};
use super::forward::{self, Answer, ForwardError};
use super::look::{FirstLook, introduce};
use super::mark::{append, mark, warn, warnings};
use super::memory::MemoryShare;
use super::not_forwarded::NotForwarded;
use super::not_listed::not_listed;
use super::refusal::Refusal;
use super::response::Reply;
use super::seen::Seen;
use super::snapshot;
use super::turn::{Turn, TurnError};
use super::{body, precondition};
use crate::audit::record::{Completion, Outcome, Ruling, UpstreamAnswer};
use crate::audit::{Finished, Look, Ticket};
use crate::deployment::id_of;
use crate::policy::decide::Verdict;
use crate::provider::Operation;

/// Leads a call to its answer. Whatever happens, exactly one record tells of it, but for a 401
/// of upstream, which is only counted.
pub(super) async fn run(call: Call, received: Received, mut held: MemoryShare) -> Reply {
    let first_look = match introduce(&call).await {
        Ok(first_look) => first_look,
        Err(not_known) => return not_known.reply(&call, received),
    };
    held.vouch();
    let body = match read(&call, received, &mut held).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_reply(&call.context.request_id),
    };
    let judged = match &body {
        CallBody::Judged(judged) => judged,
        CallBody::Unfit(unfit) => {
            return NotForwarded::unfit(unfit.refusal.clone()).record(&call, &body).await;
        }
        CallBody::Denied(violation) => {
            return NotForwarded::stranger(violation).record(&call, &body).await;
        }
    };
    // Whoever may not see the deployment takes no place in its line.
    let first_look = match first_look.map(FirstLook::seen).transpose() {
        Ok(first_look) => first_look.map(|look| look.within(&mut held)),
        Err(unseen) => return NotForwarded::unseen(*unseen).record(&call, &body).await,
    };
    // Held until the record is finished: the next call's before is this one's after.
    let turn = match take_turn(&call).await {
        Ok(turn) => turn,
        Err(stop) => return stop.record(&call, &body).await,
    };
    let seen_first = first_look
        .zip(turn.as_ref())
        .and_then(|(look, turn)| look.still_holds(turn, call.connection.gateway.clock.instant()));
    match lead(&call, &body, judged, seen_first, &mut held).await {
        Ok(reply) => reply,
        Err(stop) => stop.record(&call, &body).await,
    }
}

/// The body of a caller who is known.
async fn read(
    call: &Call,
    received: Received,
    held: &mut MemoryShare,
) -> Result<CallBody, Refusal> {
    match received {
        Received::Whole(bytes) => body::read(call, bytes, held).await,
        Received::Unfit(unfit) => Ok(CallBody::Unfit(unfit)),
        Received::Unread => Ok(CallBody::Denied(not_listed(&call.caller))),
    }
}

async fn lead(
    call: &Call,
    body: &CallBody,
    judged: &Judged,
    seen_first: Option<Seen>,
    held: &mut MemoryShare,
) -> Result<Reply, NotForwarded> {
    let before = see_before(call, seen_first, held).await?;
    if !precondition::holds(call, before.as_ref()).await {
        return Err(NotForwarded::precondition(before));
    }
    let evaluation = evaluate(call, judged, before.clone()).await;
    let (ruling, warnings) = match evaluation.decision.verdict() {
        Verdict::Deny => return Err(NotForwarded::denied(evaluation, before)),
        Verdict::Warn => (Ruling::Warn, warnings(&evaluation.decision)),
        Verdict::Allow => (Ruling::Allow, Vec::new()),
    };
    let ticket = open(call, body, ruling, &evaluation, before.clone()).await?;

    let sent = forward::write(call, judged.bytes.clone()).await;
    let outcome = outcome_of(&sent);
    let after = see_after(call, &sent).await;
    held.grow_beyond(after.as_ref().map_or(0, |after| after.bytes + after.parsed_bytes));
    let compared = compare(call, judged, before, &evaluation, outcome, after.clone()).await;
    let completion = complete(call, &sent, &compared, after.as_ref());
    let finish_timeout = call.connection.live.config.audit.finish_timeout;
    let finished = ticket.finish(completion, finish_timeout).await;

    if let (Outcome::Unknown, Some(id), Some(seen)) = (outcome, &call.deployment_id, &after) {
        let is_over = sent.as_ref().is_ok_and(Answer::surely_did_nothing);
        let look = Look { by: call.change, is_over };
        call.connection.gateway.audit.settle(id, &seen.document, look).await;
    }
    tell(call, ruling, outcome, finished, &compared);
    Ok(reply(call, sent, ruling, &warnings, finished, compared.tag.as_deref()))
}

async fn take_turn(call: &Call) -> Result<Option<Turn>, NotForwarded> {
    let Some(id) = &call.deployment_id else { return Ok(None) };
    let timeout = call.connection.live.config.limits.turn_timeout;
    let caller = call.caller.actor.fingerprint;
    match call.connection.gateway.turns.take(id, caller, timeout).await {
        Ok(turn) => Ok(Some(turn)),
        Err(TurnError::Crowded) => {
            Err(NotForwarded::no_turn("too many calls wait for this deployment"))
        }
        Err(TurnError::CrowdedByCaller) => {
            Err(NotForwarded::no_turn("too many calls with this token wait for this deployment"))
        }
        Err(TurnError::Late) => {
            Err(NotForwarded::no_turn("the calls before this one took too long"))
        }
    }
}

/// The deployment before; `None` on create. What it tells of earlier calls is settled by it.
async fn see_before(
    call: &Call,
    seen_first: Option<Seen>,
    held: &mut MemoryShare,
) -> Result<Option<Seen>, NotForwarded> {
    let Some(id) = &call.deployment_id else { return Ok(None) };
    let seen = if let Some(seen) = seen_first {
        // Its memory is held already.
        seen
    } else {
        let seen = snapshot::read(call, id).await.map_err(NotForwarded::unseen)?;
        if !held.grow(seen.bytes + seen.parsed_bytes) {
            return Err(NotForwarded::no_room());
        }
        seen
    };
    let look = Look { by: call.change, is_over: false };
    call.connection.gateway.audit.settle(id, &seen.document, look).await;
    Ok(Some(seen))
}

/// Writes the intent down. Only from here on may anything be forwarded.
async fn open(
    call: &Call,
    body: &CallBody,
    ruling: Ruling,
    evaluation: &Evaluation,
    before: Option<Seen>,
) -> Result<Ticket, NotForwarded> {
    let intent = call.intent(body, ruling, evaluation.clone(), before);
    call.connection
        .gateway
        .audit
        .open(intent)
        .await
        .map_err(|unavailable| NotForwarded::unrecorded(&unavailable))
}

/// The deployment after: upstream's answer where it is one, a GET where it is not (run) or
/// where the end is unclear.
async fn see_after(call: &Call, sent: &Result<Answer, ForwardError>) -> Option<Seen> {
    let outcome = outcome_of(sent);
    if !matches!(outcome, Outcome::Applied | Outcome::Unknown) {
        return None;
    }
    if let (Outcome::Applied, Ok(answer)) = (outcome, sent) {
        let shown = answer.deployment(&call.connection.live.config.limits).await;
        let shown = shown.filter(|shown| {
            call.deployment_id.is_none() || id_of(&shown.document) == call.deployment_id.as_deref()
        });
        if shown.is_some() {
            return shown;
        }
    }
    let made = || created_id(call, sent.as_ref().ok()?);
    let id = call.deployment_id.clone().or_else(made)?;
    snapshot::read(call, &id).await.ok()
}

/// The id of the deployment that a create has made, where upstream names it by its URL alone
/// (RFC 9110, 15.3.2).
fn created_id(call: &Call, answer: &Answer) -> Option<String> {
    let location = answer.headers.get(http::header::LOCATION)?.to_str().ok()?;
    let path = location.split(['?', '#']).next()?;
    let (above, id) = path.rsplit_once('/')?;
    let below = format!("{}/deployments", call.provider().base_path);
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let is_id =
        !matches!(id, "." | "..") && (1..=256).contains(&id.len()) && id.bytes().all(is_plain);
    let is_made = call.operation == Operation::Create && answer.outcome() == Outcome::Applied;
    (is_made && is_id && above.ends_with(&below)).then(|| id.to_owned())
}

fn complete(
    call: &Call,
    sent: &Result<Answer, ForwardError>,
    compared: &Compared,
    after: Option<&Seen>,
) -> Completion {
    let after = after.map(|after| Arc::clone(&after.document));
    let created = after.as_deref().and_then(id_of).filter(|_| call.operation == Operation::Create);
    let located = || created_id(call, sent.as_ref().ok()?);
    let deployment_id = created.map(str::to_owned).or_else(located);
    let upstream = match sent {
        Ok(answer) => Some(answer.told()),
        Err(ForwardError::NotSent(_)) => None,
        Err(_) => Some(UpstreamAnswer { status: None, request_id: None }),
    };
    Completion {
        completed_at: call.connection.gateway.clock.now(),
        outcome: outcome_of(sent),
        upstream,
        deployment_id,
        after,
        effect: compared.effect,
        after_violations: compared.after_violations.clone(),
    }
}

fn outcome_of(sent: &Result<Answer, ForwardError>) -> Outcome {
    match sent {
        Ok(answer) => answer.outcome(),
        Err(unanswered) => unanswered.outcome(),
    }
}

fn reply(
    call: &Call,
    sent: Result<Answer, ForwardError>,
    ruling: Ruling,
    warnings: &[String],
    finished: Finished,
    tag: Option<&str>,
) -> Reply {
    let mut reply = match sent {
        Ok(answer) => answer.into_reply(call.ends()),
        Err(unanswered) => unanswered.refusal().into_reply(&call.context.request_id),
    };
    mark(&mut reply, call, ruling);
    let late = "the change's record is not complete yet: the audit store is failing".to_owned();
    // What can't be read in the record comes first: it is shown whatever the number of the rest.
    let late = (finished == Finished::Deferred).then_some(late);
    let texts: Vec<String> = late.into_iter().chain(warnings.iter().cloned()).collect();
    warn(&mut reply, &texts);
    if let Some(tag) = tag {
        reply.headers_mut().remove("etag");
        append(&mut reply, "etag", tag);
    }
    reply
}

/// Lines in the diagnostic log for a call that was forwarded, and an event where upstream has made
/// of the deployment what no rule allows and nobody predicted.
fn tell(call: &Call, ruling: Ruling, outcome: Outcome, finished: Finished, compared: &Compared) {
    super::report(call, ruling, outcome);
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

/// The refusal of a call whose exchange itself broke.
pub(super) fn broken() -> Refusal {
    Refusal::bad_gateway(
        "the gateway failed within the call; the change may have been applied: read the \
         deployment before trying again",
    )
    .possibly_applied()
}
