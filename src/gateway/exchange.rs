//! The story of a governed call, every step and every `if` of it, in order.
//!
//! ```text
//! take turn → snapshot before → predict → decide → OPEN RECORD (durable) → forward
//!           → snapshot after → compare → FINISH RECORD (durable) → reply
//! ```
//!
//! It runs on a task of its own: a client that goes away stops nothing. A call that stops before
//! `forward` is recorded whole, as a [`Stop`]; nothing of it ever reached upstream.

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;
use serde_json::Value;

use super::body::Judged;
use super::call::{Call, CallBody};
use super::forward::{self, Answer, Unanswered};
use super::precondition;
use super::reply::{Refusal, Reply};
use super::snapshot::{self, Unseen};
use super::stop::Stop;
use super::turn::{NoTurn, Turn};
use crate::audit::record::{Completion, Outcome, Ruling, UpstreamAnswer};
use crate::audit::{Finished, Look, Ticket};
use crate::deployment::digest::etag;
use crate::deployment::predict::{Omitted, Prediction, predict};
use crate::deployment::{diff, id_of};
use crate::policy::decide::{Decision, Subject, Verdict, decide};
use crate::policy::{Enforcement, Violation};
use crate::provider::Operation;

/// Leads a call to its answer. Whatever happens, exactly one record tells of it, but for a 401
/// of upstream, which is only counted.
pub(super) async fn run(call: Call) -> Reply {
    let judged = match &call.body {
        CallBody::Judged(judged) => judged,
        CallBody::Unfit(unfit) => return Stop::unfit(unfit.refusal.clone()).record(&call).await,
        CallBody::Denied(violation) => return Stop::stranger(violation).record(&call).await,
    };
    // Held until the record is finished: the next call's before is this one's after.
    let _turn = match take_turn(&call).await {
        Ok(turn) => turn,
        Err(stop) => return stop.record(&call).await,
    };
    match lead(&call, judged).await {
        Ok(reply) => reply,
        Err(stop) => stop.record(&call).await,
    }
}

async fn lead(call: &Call, judged: &Judged) -> Result<Reply, Stop> {
    let before = see_before(call).await?.map(Arc::new);
    if !precondition::holds(call, before.as_deref()) {
        return Err(Stop::precondition(before));
    }
    let provider = call.scene.live.config.upstream.provider;
    let omitted = if call.method == http::Method::PUT { Omitted::Open } else { Omitted::Preserved };
    let prediction = predict(provider, call.operation, omitted, before.as_deref(), &judged.patch);
    let decision = decide(
        &call.scene.live.config.policy,
        &Subject {
            provider,
            before: before.as_deref(),
            patch: &judged.patch,
            prediction: &prediction,
        },
    );
    let (ruling, warnings) = match decision.verdict() {
        Verdict::Deny => return Err(Stop::denied(decision, before)),
        Verdict::Warn => (Ruling::Warn, warnings(&decision)),
        Verdict::Allow => (Ruling::Allow, Vec::new()),
    };
    let ticket = open(call, ruling, decision, before.clone()).await?;

    let sent = forward::write(call, judged.bytes.clone()).await;
    let after = see_after(call, &sent).await.map(Arc::new);
    let tag = after.as_deref().and_then(|after| tag(call, &sent, after));
    let outcome = outcome_of(&sent);
    let seen = after.clone().filter(|_| outcome == Outcome::Unknown);
    // The record has it to itself then, and need not copy it to conceal its secrets.
    let completion = compare(call, &sent, before.as_deref(), &prediction, after);
    drop(prediction);
    drop(before);
    let finished = ticket.finish(completion, call.scene.live.config.audit.finish_timeout).await;

    if let (Outcome::Unknown, Some(id), Some(seen)) = (outcome, &call.deployment_id, &seen) {
        let look = Look { by: call.change, is_over: !may_be_at_work(&sent) };
        call.scene.gateway.audit.settle(id, seen, look).await;
    }
    tell(call, ruling, outcome, finished);
    Ok(reply(call, sent, ruling, &warnings, finished, tag.as_deref()))
}

async fn take_turn(call: &Call) -> Result<Option<Turn>, Stop> {
    let Some(id) = &call.deployment_id else { return Ok(None) };
    let timeout = call.scene.live.config.limits.turn_timeout;
    match call.scene.gateway.turns.take(id, timeout).await {
        Ok(turn) => Ok(Some(turn)),
        Err(NoTurn::Crowded) => Err(Stop::no_turn("too many calls wait for this deployment")),
        Err(NoTurn::Late) => Err(Stop::no_turn("the calls before this one took too long")),
    }
}

/// The deployment before; none on create. What it tells of earlier calls is settled by it.
async fn see_before(call: &Call) -> Result<Option<Value>, Stop> {
    let Some(id) = &call.deployment_id else { return Ok(None) };
    match snapshot::read(call, id).await {
        Ok(before) => {
            let look = Look { by: call.change, is_over: false };
            call.scene.gateway.audit.settle(id, &before, look).await;
            Ok(Some(before))
        }
        Err(Unseen::Answered(answer)) => Err(Stop::unseen(answer)),
        Err(Unseen::Failed(refusal, status)) => Err(Stop::failed(refusal, status)),
    }
}

/// Writes the intent down. Only from here on may anything be forwarded.
async fn open(
    call: &Call,
    ruling: Ruling,
    decision: Decision,
    before: Option<Arc<Value>>,
) -> Result<Ticket, Stop> {
    let intent = call.intent(ruling, decision, before);
    call.scene
        .gateway
        .audit
        .open(intent)
        .await
        .map_err(|unavailable| Stop::unrecorded(&unavailable))
}

/// The deployment after: upstream's answer where it is one, a GET where it is none (run) or
/// where the end is unclear.
async fn see_after(call: &Call, sent: &Result<Answer, Unanswered>) -> Option<Value> {
    let outcome = outcome_of(sent);
    if !matches!(outcome, Outcome::Applied | Outcome::Unknown) {
        return None;
    }
    if let (Outcome::Applied, Ok(answer)) = (outcome, sent) {
        let shown = answer.deployment(&call.scene.live.config.limits).filter(|document| {
            call.deployment_id.is_none() || id_of(document) == call.deployment_id.as_deref()
        });
        if shown.is_some() {
            return shown;
        }
    }
    snapshot::read(call, call.deployment_id.as_deref()?).await.ok()
}

fn compare(
    call: &Call,
    sent: &Result<Answer, Unanswered>,
    before: Option<&Value>,
    prediction: &Prediction<'_>,
    after: Option<Arc<Value>>,
) -> Completion {
    let provider = call.scene.live.config.upstream.provider;
    let outcome = outcome_of(sent);
    let shown = after.as_deref();
    let effect = shown
        .filter(|_| outcome == Outcome::Applied)
        .map(|after| diff::effect(provider, call.operation, before, prediction, after));
    let created = shown.and_then(id_of).filter(|_| call.operation == Operation::Create);
    let deployment_id = created.map(str::to_owned);
    let upstream = match sent {
        Ok(answer) => Some(answer.told()),
        Err(Unanswered::NotSent(_)) => None,
        Err(_) => Some(UpstreamAnswer { status: None, request_id: None }),
    };
    Completion {
        completed_at: call.scene.gateway.clock.now(),
        outcome,
        upstream,
        deployment_id,
        after,
        effect,
    }
}

fn outcome_of(sent: &Result<Answer, Unanswered>) -> Outcome {
    match sent {
        Ok(answer) => answer.outcome(),
        Err(unanswered) => unanswered.outcome(),
    }
}

/// Whether upstream, or what stands behind it, may still be about to do what it was too slow to
/// answer.
fn may_be_at_work(sent: &Result<Answer, Unanswered>) -> bool {
    match sent {
        Ok(answer) => {
            matches!(answer.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
        }
        Err(unanswered) => matches!(unanswered, Unanswered::Slow),
    }
}

fn reply(
    call: &Call,
    sent: Result<Answer, Unanswered>,
    ruling: Ruling,
    warnings: &[String],
    finished: Finished,
    tag: Option<&str>,
) -> Reply {
    let mut reply = match sent {
        Ok(answer) => answer.into_reply(),
        Err(unanswered) => unanswered.refusal().into_reply(&call.visit.request_id),
    };
    mark(&mut reply, call, ruling);
    let late = "the change's record is not complete yet: the audit store is failing".to_owned();
    let late = (finished == Finished::Deferred).then_some(late);
    for text in warnings.iter().chain(&late) {
        append(&mut reply, "warning", &format!("299 changegate \"{}\"", quotable(text)));
    }
    if let Some(tag) = tag {
        reply.headers_mut().remove("etag");
        append(&mut reply, "etag", tag);
    }
    reply
}

/// The entity tag of what an applied call has made of the deployment.
fn tag(call: &Call, sent: &Result<Answer, Unanswered>, after: &Value) -> Option<String> {
    let shown = outcome_of(sent) == Outcome::Applied && call.operation != Operation::Run;
    let provider = call.scene.live.config.upstream.provider;
    shown.then(|| etag(&call.scene.gateway.key, provider, after))
}

/// Names the change whose record is durable, and what was decided.
pub(super) fn mark(reply: &mut Reply, call: &Call, ruling: Ruling) {
    append(reply, "changegate-change", &call.change.to_string());
    append(reply, "changegate-decision", ruling.name());
}

fn append(reply: &mut Reply, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().append(name, value);
    }
}

fn warnings(decision: &Decision) -> Vec<String> {
    let warns = |violation: &&Violation| violation.enforcement == Enforcement::Warn;
    decision.violations.iter().filter(warns).map(|violation| violation.message.clone()).collect()
}

/// Text that can stand in a quoted-string of a header (RFC 9110, 5.6.4); anything else than
/// printable ASCII becomes `?`.
fn quotable(text: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(512).map(plain).collect::<String>().replace(['"', '\\'], "'")
}

/// One line in the gateway's own log for a call that was forwarded.
fn tell(call: &Call, ruling: Ruling, outcome: Outcome, finished: Finished) {
    super::report(call, ruling, outcome);
    if finished == Finished::Deferred {
        tracing::error!(
            request_id = %call.visit.request_id,
            change = %call.change,
            "the completion can't be written yet; it stays queued"
        );
    }
}

/// What a client is told where the exchange itself broke.
pub(super) fn broken() -> Refusal {
    Refusal::bad_gateway(
        "the gateway failed within the call; the change may have been applied: read the \
         deployment before trying again",
    )
    .possibly_applied()
}
