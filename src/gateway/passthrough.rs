//! Calls that are not governed: passed on as they come, both ways, and recorded as an event
//! where they write.

use http::request::Parts;
use http::{Extensions, HeaderValue, Request, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::context::{ConnectionContext, RequestContext};
use super::headers::{self, Marks, ProxyEnds};
use super::identify::Caller;
use super::other_write::OtherWrite;
use super::refusal::Refusal;
use super::relay::Relay;
use super::response::{Reply, ReplyBody};
use crate::upstream::endpoint::DialError;
use crate::upstream::pool::{ALWAYS, SendError, UpstreamResponse};
use crate::upstream::request_body::RequestBody;

/// Passes a call on.
pub(super) fn pass(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    mut head: Parts,
    marks: Marks,
    body: Incoming,
) -> impl Future<Output = Result<Reply, Refusal>> {
    let limits = &connection.live.config.limits;
    let (body, progress) = RequestBody::upload(body, limits, headers::without_orders);
    let mut write = OtherWrite::of(connection, context, caller, &head, progress.clone());
    headers::toward_upstream(&mut head.headers, marks, head.version, &context.request_id);
    head.extensions.clear();
    let repeats = head.method.is_idempotent();
    let mut request = Request::from_parts(head, body);
    let timeout = connection.live.config.upstream.response_timeout;
    async move {
        let upload = progress.clone();
        let sent = connection
            .pool
            .send(&connection.live.dialer, &mut request, progress, timeout, &ALWAYS)
            .await;
        let answered = match sent {
            Ok(answered) => answered,
            Err(error) => {
                return Err(match upload {
                    Some(upload) if upload.is_stalled() => Refusal::too_slow(),
                    Some(upload) if upload.is_broken() => Refusal::form("the body broke off"),
                    _ if error.was_sent() && !repeats => {
                        no_answer(connection, context, &error).possibly_carried_out()
                    }
                    _ => no_answer(connection, context, &error),
                });
            }
        };
        connection.learn(context, caller, answered.status());
        if let Some(write) = &mut write {
            write.status = Some(answered.status());
        }
        Ok(relay(answered, write, connection.ends(context)))
    }
}

/// Upstream's answer, passed on as it comes.
pub(super) fn relay(
    mut answered: UpstreamResponse,
    write: Option<Box<OtherWrite>>,
    ends: ProxyEnds<'_>,
) -> Reply {
    let received = std::mem::replace(answered.version_mut(), Version::HTTP_11);
    if !answered.extensions().is_empty() {
        let phrase = unknown_phrase(answered.status(), answered.extensions_mut());
        answered.extensions_mut().clear();
        if let Some(phrase) = phrase {
            answered.extensions_mut().insert(phrase);
        }
    }
    headers::toward_client(answered.headers_mut(), received, ends);
    answered.map(|body| ReplyBody::Relay(Relay::new(body, write)))
}

/// Upstream's words for a status that has none of its own, such as 529.
pub(super) fn unknown_phrase(
    status: StatusCode,
    extensions: &mut Extensions,
) -> Option<ReasonPhrase> {
    if status.canonical_reason().is_some() {
        return None;
    }
    extensions.remove()
}

/// The refusal of a call that is not governed, to which upstream gave no answer.
pub(super) fn no_answer(
    connection: &ConnectionContext,
    context: &RequestContext,
    error: &SendError,
) -> Refusal {
    tracing::warn!(
        request_id = %context.request_id,
        error = %connection.live.dialer.cause(error),
        "no answer from upstream"
    );
    match error {
        SendError::Timeout => {
            Refusal::gateway_timeout("upstream did not answer in time (upstream.response_timeout)")
        }
        SendError::NotSent(DialError::Timeout) => Refusal::gateway_timeout(
            "upstream did not take the connection in time; nothing was sent",
        ),
        SendError::NotSent(DialError::Proxy(_)) => Refusal::bad_gateway(NO_WAY_BY_PROXY),
        SendError::Withheld | SendError::NotSent(_) | SendError::Refused(_) => {
            Refusal::bad_gateway("upstream can't be reached; nothing was sent")
        }
        SendError::Unprocessed(_) => {
            Refusal::bad_gateway("upstream did not process the request; nothing was done")
        }
        SendError::Switched => {
            Refusal::bad_gateway("upstream switched protocols, which nobody asked for")
        }
        SendError::Broken(_) | SendError::LongHead(_) | SendError::BadHead(_) => {
            Refusal::bad_gateway(error.fault_of_head().unwrap_or("upstream broke the connection"))
        }
    }
}

/// The words for a call that a proxy before upstream has stopped.
pub(super) const NO_WAY_BY_PROXY: &str =
    "the proxy on the way to upstream brought no connection to it; nothing was forwarded";

/// The origin-form target below upstream's origin.
pub(super) fn target(path: &str, query: Option<&str>) -> Result<Uri, http::uri::InvalidUri> {
    match query {
        Some(query) => Uri::try_from(format!("{path}?{query}")),
        None => Uri::try_from(path),
    }
}

/// Asks for an answer that can be read as it is.
pub(super) const IDENTITY: (header::HeaderName, HeaderValue) =
    (header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
