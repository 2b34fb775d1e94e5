//! The story of a governed call, every step and every `if` of it, in order.
//!
//! ```text
//! make sure of the caller → read the body → claim its key → take turn → snapshot before
//!   → predict → decide → OPEN RECORD (durable) → forward → snapshot after → compare
//!   → FINISH RECORD (durable) → reply
//! ```
//!
//! It runs on a task of its own: a client that goes away stops nothing. A call that stops before
//! `forward` is recorded whole, as a [`NotForwarded`]; nothing of it ever reached upstream.

use super::body::Received;
use super::call::{Call, CallBody, Decided, Judged};
use super::decide::{compare, evaluate};
use super::drift::{self, Suspicion};
use super::finish::{complete, reply, see_after, tell};
use super::forward::{self, WholeResponse};
use super::idempotency::{self, Claim};
use super::look::{FirstLook, introduce};
use super::memory::MemoryShare;
use super::not_forwarded::NotForwarded;
use super::refusal::Refusal;
use super::response::{Reply, holding};
use super::shown_deployment::ShownDeployment;
use super::snapshot;
use super::turn::{Turn, TurnError};
use super::{body, clearance, precondition, reverts};
use crate::audit::record::Outcome;
use crate::audit::{LogTurn, Look, TakeError, Ticket, Unavailable};

/// Leads a call to its answer. Whatever happens, exactly one record tells of it, but for a 401
/// of upstream, which is only counted.
pub(super) async fn run(mut call: Call, mut received: Received, mut held: MemoryShare) -> Reply {
    let first_look = match introduce(&call).await {
        Ok(first_look) => first_look,
        Err(not_known) => return holding(not_known.reply(&call, received), held),
    };
    held.vouch();
    if let Err(refusal) = call.learn_whose_it_is().await {
        return holding(refusal.into_reply(&call.context.request_id, None), held);
    }
    if let Err(refusal) = reverts::find(&call).await {
        call.reverts = None;
        received = Received::unread(refusal, received.bytes());
    }
    let reply = answer(&call, received, first_look, &mut held).await;
    holding(reply, held)
}

async fn answer(
    call: &Call,
    received: Received,
    first_look: Option<FirstLook>,
    held: &mut MemoryShare,
) -> Reply {
    let body = match read(call, received, held).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_reply(&call.context.request_id, None),
    };
    let judged = match &body {
        CallBody::Judged(judged) => judged,
        CallBody::Unfit(unfit) => {
            return NotForwarded::unfit(unfit.refusal.clone()).record(call, &body).await;
        }
        CallBody::Unread => {
            return NotForwarded::not_listed(&call.caller).record(call, &body).await;
        }
    };
    // Whoever may not see the deployment takes no place in its line.
    let first_look = match first_look.map(FirstLook::seen).transpose() {
        Ok(first_look) => first_look.map(|look| look.within(held)),
        Err(unseen) => return NotForwarded::unseen(*unseen).record(call, &body).await,
    };
    let claim = match idempotency::claim(call, judged).await {
        Ok(claim) => claim,
        Err(not_claimed) => {
            return NotForwarded::not_claimed(not_claimed).record(call, &body).await;
        }
    };
    // Held until the record is finished: the next call's before is this one's after.
    let turn = match take_turn(call).await {
        Ok(turn) => turn,
        Err(stop) => return stop.record(call, &body).await,
    };
    let now = call.connection.gateway.clock.instant();
    let seen_first = first_look.and_then(|look| look.still_holds(&turn, now));
    let mut suspicion = None;
    let led = lead(call, &body, judged, claim, (&turn, seen_first), (held, &mut suspicion)).await;
    let reply = match led {
        Ok(reply) => reply,
        Err(stop) => stop.record(call, &body).await,
    };
    if let Some(suspicion) = suspicion {
        drift::look_into(call, suspicion).await;
    }
    reply
}

/// The body of a caller who is known.
async fn read(
    call: &Call,
    received: Received,
    held: &mut MemoryShare,
) -> Result<CallBody, Refusal> {
    match received {
        Received::Whole(_) if call.is_of_unlisted() => Ok(CallBody::Unread),
        Received::Whole(bytes) => body::read(call, bytes, held).await,
        Received::Unfit(unfit) => Ok(CallBody::Unfit(unfit)),
        Received::Unread => Ok(CallBody::Unread),
    }
}

async fn lead(
    call: &Call,
    body: &CallBody,
    judged: &Judged,
    claim: Claim,
    (turn, seen_first): (&Turn, Option<ShownDeployment>),
    (held, suspicion): (&mut MemoryShare, &mut Option<Suspicion>),
) -> Result<Reply, NotForwarded> {
    let before = see_before(call, seen_first, held).await?;
    *suspicion = drift::suspect(call, before.as_ref());
    if !precondition::holds(call, before.as_ref()).await {
        return Err(NotForwarded::precondition(before));
    }
    let decided = evaluate(call, judged, before.clone()).await;
    let opening = (turn, &claim, (body, judged));
    let (decided, ticket) = clear(call, opening, decided, before.as_ref()).await?;

    let forwarded = forward::write(call, &ticket, judged.bytes.clone()).await;
    let after = see_after(call, &forwarded, held).await;
    let compared = compare(call, judged, before, &decided, &forwarded, after.clone()).await;
    if matches!(forwarded.outcome, Outcome::Applied | Outcome::Unknown) {
        drift::learn(call, after.as_ref(), compared.tag.as_deref());
    }
    let completion = complete(call, &forwarded, &compared, after.as_ref());
    let finish_timeout = call.connection.live.config.audit.finish_timeout;
    let finished = ticket.finish(completion, finish_timeout).await;

    if let (Outcome::Unknown, Some(deployment), Some(seen)) =
        (forwarded.outcome, &call.deployment, &after)
    {
        let is_over = forwarded.result.as_ref().is_ok_and(WholeResponse::surely_did_nothing);
        let look = Look { by: call.change, is_over };
        call.connection.gateway.audit.settle(deployment, seen.document(), look).await;
    }
    tell(call, &decided, forwarded.outcome, finished, &compared);
    let end = (forwarded.outcome, forwarded.status());
    let reply = reply(call, forwarded.result, &decided, finished, compared.tag.as_deref());
    claim.keep(call.change, end, &reply);
    Ok(reply)
}

/// Waits for the deployment's turn.
async fn take_turn(call: &Call) -> Result<Turn, NotForwarded> {
    let Some(deployment) = &call.deployment else { return Ok(Turn::Create) };
    let timeout = call.connection.live.config.limits.turn_timeout;
    let (gateway, caller) = (&call.connection.gateway, call.caller.actor.fingerprint);
    let began = gateway.clock.instant();
    let turn = gateway.turns.take(deployment, caller, timeout).await.map_err(|error| {
        NotForwarded::no_turn(match error {
            TurnError::Crowded => "too many calls wait for this deployment",
            TurnError::CrowdedByCaller => "too many calls with this token wait for this deployment",
            TurnError::Late => "the calls before this one took too long",
        })
    })?;
    let waited = gateway.clock.instant().saturating_duration_since(began);
    match gateway.audit.take_turn(deployment, timeout.saturating_sub(waited)).await {
        Ok(log) => Ok(Turn::Held(log, turn)),
        Err(TakeError::Late) => Err(NotForwarded::no_turn(
            "the calls before this one, by other gateways, took too long",
        )),
        Err(TakeError::Unavailable(unavailable)) => Err(NotForwarded::unrecorded(&unavailable)),
    }
}

/// The deployment before; `None` on create. What it tells of earlier calls is settled by it.
async fn see_before(
    call: &Call,
    seen_first: Option<ShownDeployment>,
    held: &mut MemoryShare,
) -> Result<Option<ShownDeployment>, NotForwarded> {
    let Some(deployment) = &call.deployment else { return Ok(None) };
    let seen = if let Some(seen) = seen_first {
        // Its memory is held already.
        seen
    } else {
        let seen = snapshot::read(call, &deployment.id).await.map_err(NotForwarded::unseen)?;
        if !held.grow(seen.bytes + seen.parsed_bytes) {
            return Err(NotForwarded::no_room());
        }
        seen
    };
    let look = Look { by: call.change, is_over: false };
    call.connection.gateway.audit.settle(deployment, seen.document(), look).await;
    Ok(Some(seen))
}

/// Opens the record of a change that may pass: by itself, by an approval, or by break-glass. Of
/// calls that want to pass by the same approval one does; the others look once more.
async fn clear(
    call: &Call,
    (turn, claim, (body, judged)): (&Turn, &Claim, (&CallBody, &Judged)),
    decided: Decided,
    before: Option<&ShownDeployment>,
) -> Result<(Decided, Ticket), NotForwarded> {
    let mut is_first = true;
    loop {
        let cleared = clearance::seek(call, judged, before, decided.clone()).await?;
        let contends = is_first && cleared.approval.is_some();
        let unavailable =
            match open(call, turn, claim, body, cleared.clone(), before.cloned()).await {
                Ok(ticket) => {
                    clearance::tell(call, &cleared);
                    return Ok((cleared, ticket));
                }
                Err(unavailable) => unavailable,
            };
        if unavailable.is_refused
            && let Some(not_claimed) = idempotency::overtaken(call, claim).await
        {
            return Err(NotForwarded::not_claimed(not_claimed));
        }
        if !(contends && unavailable.is_refused) {
            return Err(NotForwarded::unrecorded(&unavailable));
        }
        is_first = false;
    }
}

/// Writes the intent down. Only from here on may anything be forwarded.
async fn open(
    call: &Call,
    turn: &Turn,
    claim: &Claim,
    body: &CallBody,
    decided: Decided,
    before: Option<ShownDeployment>,
) -> Result<Ticket, Unavailable> {
    let mut intent = call.intent(body, decided, before);
    intent.idempotency_key = claim.key();
    let log = turn.in_log();
    intent.fence = log.and_then(LogTurn::fence);
    let opened = call.connection.gateway.audit.open(intent).await;
    // Of what was refused nothing is there that will end.
    let is_refused = opened.as_ref().is_err_and(|unavailable| unavailable.is_refused);
    if let Some(log) = log.filter(|_| !is_refused) {
        log.ends_with_change();
    }
    opened
}

/// The refusal of a call whose exchange itself broke.
pub(super) fn broken() -> Refusal {
    Refusal::bad_gateway(
        "the gateway failed within the call; the change may have been applied: read the \
         deployment before trying again",
    )
    .possibly_applied()
}
