//! `GET /deployments/{id}`: passed on, and given the etag that `If-Match` takes.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, header};

use super::body::{BodyTimeouts, ReadError, collect};
use super::forward::WholeResponse;
use super::headers::Marks;
use super::identify::Caller;
use super::passthrough::{IDENTITY, no_answer};
use super::refusal::Refusal;
use super::response::{Reply, holding};
use super::{ConnectionContext, RequestContext, headers, passthrough};
use crate::deployment::digest::etag;
use crate::deployment::{id_of, is_whole, patch};
use crate::offload;
use crate::upstream::pool::ALWAYS;
use crate::upstream::request_body::RequestBody;

/// Answers as upstream does. The answer is held whole, since its etag comes before its body;
/// where it says that it is longer than `limits.answer_bytes`, it passes as it comes, without.
pub(super) async fn read(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    mut head: Parts,
    marks: Marks,
    deployment_id: &str,
) -> Result<Reply, Refusal> {
    debug_assert_eq!(head.method, Method::GET);
    // An encoded answer could not be read here; the client understands this one as well.
    head.headers.insert(IDENTITY.0, IDENTITY.1);
    let config = &connection.live.config;
    let answers_max = config.limits.answer_bytes as u64;
    headers::toward_upstream(&mut head.headers, marks, head.version, &context.request_id);
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    let timeout = config.upstream.response_timeout;
    let sent =
        connection.pool.send(&connection.live.dialer, &mut request, None, timeout, &ALWAYS).await;
    let answered = sent.map_err(|error| no_answer(connection, context, &error))?;
    connection.learn(context, caller, answered.status());
    connection.learn_taken(caller, answered.status());
    connection.learn_shown(caller, deployment_id, answered.status());
    let holder = context.holder(caller);
    let mut held = connection.gateway.room.enter(holder, true);
    let length = hyper::body::Body::size_hint(answered.body()).exact();
    let is_too_long = |len: u64| {
        len > answers_max || !held.grow_by_spare(usize::try_from(len).unwrap_or(usize::MAX))
    };
    if !answered.status().is_success() || length.is_some_and(is_too_long) {
        return Ok(passthrough::relay(answered, None, connection.ends(context)));
    }
    let (mut parts, mut incoming) = answered.into_parts();
    let patience = BodyTimeouts::of_upstream(timeout);
    // What was not announced is counted as it comes.
    let counted = length.is_none().then_some(&mut held);
    let body =
        collect(&mut incoming, parts.version, config.limits.answer_bytes, patience, counted).await;
    let body: Bytes = body.map_err(|error| {
        connection.answer_broke_off(context, &error);
        match error {
            ReadError::Slow => Refusal::gateway_timeout("upstream's answer did not come in time"),
            ReadError::NoRoom => Refusal::crowded(),
            ReadError::Broken(_) | ReadError::Cut => {
                Refusal::bad_gateway("upstream broke off within its answer")
            }
            ReadError::TooLong { .. } => {
                Refusal::bad_gateway("upstream's answer is longer than limits.answer_bytes")
            }
        }
    })?;
    let answer = WholeResponse::new(&mut parts, body);
    let tag = tag(connection, &answer, deployment_id).await;
    let mut reply = answer.into_reply(connection.ends(context));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        reply.headers_mut().insert(header::ETAG, tag);
    }
    Ok(holding(reply, held))
}

/// The entity tag of the deployment, if the answer shows it whole. Its values are there for no
/// longer than the tag takes.
async fn tag(
    connection: &ConnectionContext,
    answer: &WholeResponse,
    deployment_id: &str,
) -> Option<String> {
    let config = &connection.live.config;
    let (provider, depth_max) = (config.upstream.provider, config.limits.json_depth.max(128));
    let (key, id) = (connection.gateway.key.clone(), deployment_id.to_owned());
    let body = answer.body.clone();
    offload::run(body.len(), move || {
        let shown = patch::parse_value(&body, depth_max).ok()?;
        let is_it = id_of(&shown) == Some(&*id) && is_whole(provider, &shown);
        is_it.then(|| etag(&key, provider, &shown))
    })
    .await
}
