//! `Idempotency-Key`: of all calls with one key, one is carried out, and those that come later get
//! its answer, or are told what became of it.
//!
//! A key counts within its scope: the actor, the method, the route and the deployment. It is
//! claimed in memory before the call takes its turn, and written with the call's intent; what is
//! no longer in memory, the log knows.

mod answers;
mod sent;

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

pub(super) use self::answers::FirstAnswers;
use self::answers::{Claimed, FirstAnswer, Found};
pub(super) use self::sent::sent;
use super::call::{Call, Judged};
use super::mark::append;
use super::refusal::Refusal;
use super::response::{Reply, ReplyBody};
use crate::audit::Unavailable;
use crate::audit::idempotency::{EarlierCall, IdempotencyKey, stays_in_force};
use crate::audit::record::{Change, EventKind, Outcome};
use crate::base::canonical::canonical;
use crate::base::ids::ChangeId;
use crate::base::key::DigestScope;
use crate::offload;
use crate::telemetry::RepeatAnswer;

/// The right of a call to be carried out: under its key, where it has one, no other call has it
/// until this is dropped, and later only where nothing was done.
#[must_use = "another call may be carried out once this is dropped"]
#[derive(Debug)]
pub(super) struct Claim(Option<Claimed>);

/// Why a call is not carried out.
#[derive(Debug)]
pub(super) enum NotClaimed {
    /// It came before.
    Repeat(Repeat),
    /// Another one came with its key, whose change this is, where that is durable.
    Other(Option<ChangeId>),
    /// Nobody can tell whether it came before.
    Untold(Unavailable),
}

/// A call that came before.
#[derive(Debug)]
pub(super) enum Repeat {
    /// The first one has its answer, which is this one's as well.
    Answered(FirstAnswer),
    /// The first one is on its way; its change, where that is durable.
    Running(Option<ChangeId>),
    /// The first one has ended, and its answer is not held.
    Ended(Box<Change>),
}

/// Claims the key of a call, if it has one.
pub(super) async fn claim(call: &Call, judged: &Judged) -> Result<Claim, NotClaimed> {
    let Some(sent) = &call.idempotency_key else { return Ok(Claim(None)) };
    let key = digests(call, sent, judged).await;
    let (actor, at) = (call.caller.actor.fingerprint, call.context.received_at);
    let gateway = &call.connection.gateway;
    let not_claimed = match gateway.first_answers.claim(key, actor, at) {
        Found::Nothing(claimed) => match earlier(call, key).await {
            None => return Ok(Claim(Some(claimed))),
            Some(not_claimed) => not_claimed,
        },
        Found::Running => NotClaimed::Repeat(Repeat::Running(None)),
        Found::Answered(answer) => NotClaimed::Repeat(Repeat::Answered(answer)),
        Found::Other(change) => NotClaimed::Other(change),
    };
    if matches!(not_claimed, NotClaimed::Other(_)) {
        gateway.metrics.repeats.count(RepeatAnswer::Other);
    }
    Err(not_claimed)
}

/// The call that has taken the key since it was claimed: the log takes none a second time.
pub(super) async fn overtaken(call: &Call, claim: &Claim) -> Option<NotClaimed> {
    earlier(call, claim.key()?).await.filter(|found| !matches!(found, NotClaimed::Untold(_)))
}

/// The call that the log has under this key, beside this one.
async fn earlier(call: &Call, key: IdempotencyKey) -> Option<NotClaimed> {
    let gateway = &call.connection.gateway;
    let earlier = gateway.audit.earlier_call(key.digest, call.context.received_at).await;
    match earlier.map_err(NotClaimed::Untold) {
        Err(untold) => Some(untold),
        Ok(earlier) => {
            let EarlierCall { request, change } = earlier.filter(|e| e.change.id != call.change)?;
            Some(if request != key.request {
                NotClaimed::Other(Some(change.id))
            } else if change.outcome == Outcome::Pending {
                NotClaimed::Repeat(Repeat::Running(Some(change.id)))
            } else {
                NotClaimed::Repeat(Repeat::Ended(Box::new(change)))
            })
        }
    }
}

/// The digests of a call's key and of what it asks. Bodies that say the same are the same, however
/// they are spelt.
async fn digests(call: &Call, sent: &str, judged: &Judged) -> IdempotencyKey {
    let deployment = call.deployment_id().unwrap_or_default();
    let upstream = &call.connection.live.config.upstream.name;
    // None of these holds a line break.
    let name = format!("{upstream}\n{}\n{}\n{deployment}\n{sent}", call.method, call.operation);
    let key = call.connection.gateway.key.clone();
    let scope = DigestScope::Actor(call.caller.actor.fingerprint);
    let query = call.query.clone().unwrap_or_default();
    let patch = judged.patch.clone();
    offload::run(judged.bytes.len(), move || {
        let mut asked = query.into_bytes();
        asked.push(b'\n');
        asked.extend(canonical(&Value::Object(patch.object.clone())));
        let digest = first_half(key.scoped("idempotency key", &scope, name.as_bytes()));
        let request = first_half(key.scoped("idempotent request", &scope, &asked));
        IdempotencyKey { digest, request }
    })
    .await
}

fn first_half(digest: [u8; 32]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

impl Claim {
    /// The key, as the intent has it.
    pub(super) fn key(&self) -> Option<IdempotencyKey> {
        self.0.as_ref().map(|claimed| claimed.key)
    }

    /// Keeps the answer to the call, which has ended so, for those that come with its key.
    pub(super) fn keep(
        self,
        change: ChangeId,
        (outcome, status): (Outcome, Option<u16>),
        reply: &Reply,
    ) {
        let is_clear = outcome != Outcome::Unknown;
        if let Some(claimed) = self.0.filter(|_| is_clear && stays_in_force(outcome, status)) {
            claimed.keep(FirstAnswer { change, answer: kept(reply) });
        }
    }
}

impl Repeat {
    /// Tells of the call, whose record is the first one's.
    pub(super) fn note(&self, call: &Call) {
        let gateway = &call.connection.gateway;
        let (answer, change, status) = match self {
            Self::Answered(first) => {
                (RepeatAnswer::Replayed, Some(first.change), first.answer.status())
            }
            Self::Running(change) => (RepeatAnswer::Running, *change, StatusCode::CONFLICT),
            Self::Ended(first) => (RepeatAnswer::Ended, Some(first.id), StatusCode::CONFLICT),
        };
        gateway.metrics.repeats.count(answer);
        let mut event = call.context.event(&call.caller, EventKind::Repeat, gateway.clock.now());
        event.detail = json!({"change": change, "status": status.as_u16()});
        gateway.audit.note_of(event, &call.caller.token);
        tracing::info!(
            request_id = %call.context.request_id,
            change = change.map(tracing::field::display),
            operation = %call.operation,
            actor = %call.caller.actor.fingerprint,
            answer = answer.name(),
            "a call with an Idempotency-Key that was used"
        );
    }

    /// The answer to the call.
    pub(super) fn into_reply(self, call: &Call) -> Reply {
        let request_id = &call.context.request_id;
        match self {
            Self::Answered(first) => {
                let (head, body) = first.answer.into_parts();
                let mut reply = Reply::from_parts(head, ReplyBody::Whole(Some(body)));
                append(&mut reply, "idempotent-replayed", "true");
                reply
            }
            Self::Running(_) => Refusal::still_running().into_reply(request_id, None),
            Self::Ended(first) => {
                let mut reply = has_ended(&first).into_reply(request_id, None);
                append(&mut reply, "changegate-change", &first.id.to_string());
                append(&mut reply, "changegate-decision", first.decision.name());
                reply
            }
        }
    }
}

/// A copy of an answer that is held whole, but for what it tells of that moment's limits.
fn kept(reply: &Reply) -> Response<Bytes> {
    let body = match reply.body() {
        // In memory of its own: what was read may be a small part of much.
        ReplyBody::Whole(Some(body)) => Bytes::copy_from_slice(body),
        _ => Bytes::new(),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = reply.status();
    let headers = reply.headers().iter();
    let headers = headers.filter(|(name, _)| !name.as_str().contains("ratelimit"));
    answer.headers_mut().extend(headers.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(phrase) = reply.extensions().get::<ReasonPhrase>() {
        answer.extensions_mut().insert(phrase.clone());
    }
    answer
}

/// The refusal of a call whose first one has ended, and what that came to.
fn has_ended(first: &Change) -> Refusal {
    let to = first.deployment_id.as_deref().map(|id| format!(" to {id}")).unwrap_or_default();
    let told = match (first.outcome, first.settled.as_ref().and_then(|settled| settled.applied)) {
        (Outcome::Applied, _) => format!("was applied{to}"),
        (Outcome::Rejected, _) => {
            let status = first.upstream.as_ref().and_then(|answer| answer.status);
            let status = status.map(|status| format!(" with {status}")).unwrap_or_default();
            format!("was rejected by upstream{status}")
        }
        (_, Some(true)) => format!("seems to have been applied{to}"),
        (_, Some(false)) => "seems not to have been applied".to_owned(),
        (_, None) => "was sent, and whether it was applied is not known".to_owned(),
    };
    let (id, outcome) = (first.id, first.outcome.name());
    Refusal::conflict(format!(
        "the first call with this Idempotency-Key {told} ({id}, outcome {outcome}), and its answer \
         is not held: look what came of it; to make the call once more, send another key"
    ))
    .possibly_applied()
}
