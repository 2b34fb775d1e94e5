//! One request of a governed call to upstream, and its answer, read whole.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Request, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use serde_json::Value;
use tokio::time::timeout;

use super::body::{BodyTimeouts, ReadError, collect};
use super::call::Call;
use super::headers::{self, ProxyEnds};
use super::identify::Caller;
use super::memory::MemoryShare;
use super::passthrough::{IDENTITY, NO_WAY_BY_PROXY, target, unknown_phrase};
use super::refusal::Refusal;
use super::response::{Reply, whole};
use super::shown_deployment::ShownDeployment;
use super::{ConnectionContext, RequestContext};
use crate::audit::Ticket;
use crate::audit::record::{Outcome, Reason, UpstreamAnswer, UpstreamCall};
use crate::config::Limits;
use crate::deployment::{self, patch};
use crate::offload;
use crate::upstream::endpoint::DialError;
use crate::upstream::pool::{MayBeSent, SendError};
use crate::upstream::request_body::RequestBody;

/// The longest a governed call waits for the head of upstream's answer, and again for all of its
/// body, whatever `upstream.response_timeout` allows to others: it holds its deployment's turn.
const PATIENCE_MAX: Duration = Duration::from_mins(1);

/// The length from which on an answer is not looked at for an error's type and message, in bytes.
const ENVELOPE_BYTES_MAX: usize = 64 << 10;

/// The longest name of a coding that is repeated to clients, in bytes.
const CODING_BYTES_MAX: usize = 32;

/// Upstream's answer, whole.
#[derive(Clone, Debug)]
pub(super) struct WholeResponse {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The words for a status that has none of its own.
    pub(super) phrase: Option<ReasonPhrase>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum ForwardError {
    /// Surely nothing was sent, or nothing done with it.
    NotSent(SendError),
    /// Not in time.
    Slow,
    /// The answer's head is not taken, for this.
    Head(&'static str),
    /// The connection broke, before or within the answer.
    Broken,
    /// Longer than `limits.answer_bytes`.
    TooLong,
    /// Longer than there is memory for.
    Crowded,
}

/// A governed call that was forwarded.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) result: Result<WholeResponse, ForwardError>,
    /// How the call ended, by the result.
    pub(super) outcome: Outcome,
}

impl Forwarded {
    fn of(result: Result<WholeResponse, ForwardError>) -> Self {
        let outcome = match &result {
            Ok(answer) => answer.outcome(),
            Err(error) => error.outcome(),
        };
        Self { result, outcome }
    }

    /// Why the change was not applied; `None` where it was, or may have been.
    pub(super) fn reason(&self) -> Option<Reason> {
        match &self.result {
            Ok(answer) if self.outcome == Outcome::Rejected => Some(answer.reason()),
            Err(error) if self.outcome == Outcome::Failed => Some(error.refusal().reason()),
            _ => None,
        }
    }

    /// The status of upstream's answer, where there is a whole one.
    pub(super) fn status(&self) -> Option<u16> {
        self.result.as_ref().ok().map(|answer| answer.status.as_u16())
    }

    /// The part of upstream's answer that is recorded; `None` where nothing was sent.
    pub(super) fn told(&self) -> Option<UpstreamAnswer> {
        match &self.result {
            Ok(answer) => Some(answer.told(UpstreamCall::Change)),
            Err(ForwardError::NotSent(_)) => None,
            Err(_) => {
                Some(UpstreamAnswer { call: UpstreamCall::Change, status: None, request_id: None })
            }
        }
    }
}

/// Sends the judged bytes to the route that was matched, once. Nothing is sent without a ticket:
/// the intent is durable. Nor is anything where the turn may be another gateway's by now.
pub(super) async fn write(call: &Call, durable: &Ticket, body: Bytes) -> Forwarded {
    Forwarded::of(send(call, durable, body).await)
}

async fn send(call: &Call, durable: &Ticket, body: Bytes) -> Result<WholeResponse, ForwardError> {
    let path = call.route_path();
    let mut headers = call.headers.clone();
    headers.insert(IDENTITY.0, IDENTITY.1);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::IF_MATCH);
    headers.remove(header::TRAILER);
    if !body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut request = Request::new(RequestBody::Whole(Some(body)));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() =
        target(&path, call.query.as_deref()).map_err(|_source| ForwardError::Broken)?;
    *request.headers_mut() = headers;
    let arriving = call.connection.gateway.room.enter_beyond(call.context.holder(&call.caller));
    let may_be_sent = &|| durable.may_be_sent();
    exchange(&call.connection, &call.context, &call.caller, request, arriving, may_be_sent).await
}

/// Sends a request and reads the answer whole, which counts as `arriving` until it is there.
pub(super) async fn exchange(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    mut request: Request<RequestBody>,
    mut arriving: MemoryShare,
    may_be_sent: &MayBeSent<'_>,
) -> Result<WholeResponse, ForwardError> {
    let live = &connection.live;
    let patience = live.config.upstream.response_timeout.min(PATIENCE_MAX);
    let sent = connection.pool.send(&live.dialer, &mut request, None, patience, may_be_sent).await;
    let answered = sent.map_err(|error| {
        tracing::warn!(
            request_id = %context.request_id,
            error = %live.dialer.cause(&error),
            "no answer from upstream to a governed call"
        );
        if let Some(fault) = error.fault_of_head() {
            return ForwardError::Head(fault);
        }
        match error {
            SendError::Timeout => ForwardError::Slow,
            error if error.was_sent() => ForwardError::Broken,
            error => ForwardError::NotSent(error),
        }
    })?;
    let (mut parts, mut incoming) = answered.into_parts();
    connection.learn(context, caller, parts.status);
    connection.learn_taken(caller, parts.status);
    if connection.gateway.known.is_taken(caller.token_fingerprint, context.instant) {
        arriving.vouch();
    }
    let patience = BodyTimeouts::of_upstream(patience);
    let (bytes_max, counted) = (live.config.limits.answer_bytes, Some(&mut arriving));
    let reading = collect(&mut incoming, parts.version, bytes_max, patience, counted);
    // All of it within a bound too: an upstream that drips would hold the turn for hours.
    let body = timeout(PATIENCE_MAX, reading).await.unwrap_or(Err(ReadError::Slow));
    let body = body.map_err(|error| {
        connection.answer_broke_off(context, &error);
        match error {
            ReadError::Slow => ForwardError::Slow,
            ReadError::NoRoom => ForwardError::Crowded,
            ReadError::Broken(_) | ReadError::Cut => ForwardError::Broken,
            ReadError::TooLong { .. } => ForwardError::TooLong,
        }
    })?;
    Ok(WholeResponse::new(&mut parts, body))
}

impl WholeResponse {
    /// An answer that was read; its header is taken from `parts`.
    pub(super) fn new(parts: &mut Parts, body: Bytes) -> Self {
        let phrase = unknown_phrase(parts.status, &mut parts.extensions);
        let headers = std::mem::take(&mut parts.headers);
        Self { status: parts.status, version: parts.version, headers, body, phrase }
    }

    /// The coding of the body, where it has one although [`IDENTITY`] was asked for.
    pub(super) fn coding(&self) -> Option<&str> {
        let coding = self.headers.get(header::CONTENT_ENCODING)?;
        let text = coding.to_str().ok().filter(|text| text.len() <= CODING_BYTES_MAX);
        Some(text.unwrap_or("otherwise")).filter(|text| !text.eq_ignore_ascii_case("identity"))
    }

    /// The Deployment that the body is, if it is one.
    pub(super) async fn deployment(&self, limits: &Limits) -> Option<ShownDeployment> {
        let (body, depth_max) = (self.body.clone(), limits.json_depth.max(128));
        let read = move || {
            let document = patch::parse_value(&body, depth_max).ok()?;
            deployment::id_of(&document)?;
            Some(ShownDeployment::new(document, body.len()))
        };
        offload::run(self.body.len(), read).await
    }

    /// Whether upstream itself says no in its own envelope, in a way that tells that nothing was
    /// done and nothing will be: what it does not know how to do (501).
    pub(super) fn surely_did_nothing(&self) -> bool {
        let is_envelope = || {
            let read: Value = serde_json::from_slice(&self.body).ok()?;
            let is_error = read.get("type")? == "error" && read.get("error")?.is_object();
            is_error.then_some(())
        };
        self.status == StatusCode::NOT_IMPLEMENTED && is_envelope().is_some()
    }

    /// The outcome that a governed write has by this answer.
    fn outcome(&self) -> Outcome {
        if self.status.is_success() {
            Outcome::Applied
        } else if self.status.is_redirection() || self.status.is_client_error() {
            Outcome::Rejected
        } else {
            Outcome::Unknown
        }
    }

    /// The part of it that is recorded.
    pub(super) fn told(&self, call: UpstreamCall) -> UpstreamAnswer {
        let id = ["request-id", "x-request-id"].iter().find_map(|name| self.headers.get(*name));
        let id = id.and_then(|id| id.to_str().ok());
        UpstreamAnswer {
            call,
            status: Some(self.status.as_u16()),
            // The record cuts it, when no credential is in it any longer.
            request_id: id.map(str::to_owned),
        }
    }

    /// Why nothing was applied, in the words of the provider's envelope where there is one.
    pub(super) fn reason(&self) -> Reason {
        let envelope = if self.body.len() < ENVELOPE_BYTES_MAX { &self.body[..] } else { b"" };
        let read: Value = serde_json::from_slice(envelope).unwrap_or_default();
        let said = |pointer| read.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (kind, message) = (said("/error/type"), said("/error/message"));
        Reason { status: self.status.as_u16(), kind, message, is_own: false }
    }

    /// The answer as the client gets it: status and body byte for byte.
    pub(super) fn into_reply(self, ends: ProxyEnds<'_>) -> Reply {
        let mut reply = whole(self.status, self.body);
        let mut headers = self.headers;
        headers::toward_client(&mut headers, self.version, ends);
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRAILER);
        *reply.headers_mut() = headers;
        if let Some(phrase) = self.phrase {
            reply.extensions_mut().insert(phrase);
        }
        reply
    }
}

impl ForwardError {
    /// Nothing sent is failed; everything else is unknown.
    fn outcome(&self) -> Outcome {
        if matches!(self, Self::NotSent(_)) { Outcome::Failed } else { Outcome::Unknown }
    }

    /// The refusal that the client of a governed write gets.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::NotSent(SendError::NotSent(DialError::Timeout)) => Refusal::gateway_timeout(
                "upstream did not take the connection in time; the change was not applied",
            ),
            Self::NotSent(SendError::NotSent(DialError::Proxy(_))) => {
                Refusal::bad_gateway(NO_WAY_BY_PROXY)
            }
            Self::NotSent(SendError::Withheld) => Refusal::bad_gateway(
                "the gateway lost touch with its log before the change was sent; nothing was sent \
                 and the change was not applied",
            ),
            Self::NotSent(SendError::Unprocessed(_)) => {
                Refusal::bad_gateway("upstream did not process the request; nothing was changed")
            }
            Self::NotSent(_) => Refusal::bad_gateway(
                "upstream can't be reached; nothing was sent and the change was not applied",
            ),
            Self::Slow => Refusal::gateway_timeout(
                "upstream did not answer in time; the change may have been applied: read the \
                 deployment before trying again",
            )
            .possibly_applied(),
            Self::Broken => Refusal::bad_gateway(
                "upstream broke the connection; the change may have been applied: read the \
                 deployment before trying again",
            )
            .possibly_applied(),
            Self::Head(fault) => Refusal::bad_gateway(format!(
                "{fault}; the change may have been applied: read the deployment before trying again"
            ))
            .possibly_applied(),
            Self::TooLong => Refusal::bad_gateway(
                "upstream's answer is longer than limits.answer_bytes; the change may have been \
                 applied: read the deployment before trying again",
            )
            .possibly_applied(),
            // A change's answer counts beyond the budget, but that is not said in the types.
            Self::Crowded => Refusal::crowded().possibly_applied(),
        }
    }
}
