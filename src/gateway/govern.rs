//! A governed call up to its exchange: its body is read.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};

use super::body::{Received, ReceivedHead, discard, receive};
use super::break_glass::GlassHeader;
use super::call::Call;
use super::headers::{self, Marks};
use super::identify::{self, Caller};
use super::look::introduce;
use super::refusal::Refusal;
use super::response::Reply;
use super::{ConnectionContext, RequestContext, exchange, idempotency, reverts};
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;
use crate::provider::Operation;

/// Leads a governed call to its exchange, which then goes on whatever the client does.
pub(super) async fn govern(
    connection: &Arc<ConnectionContext>,
    context: &RequestContext,
    caller: Arc<Caller>,
    (head, marks): (Parts, Marks),
    mut incoming: Incoming,
    operation: Operation,
    deployment_id: Option<String>,
) -> Result<Reply, Refusal> {
    // Who waits for 100 (Continue) has not sent the body, and need not.
    let awaits_go_ahead = head.headers.contains_key(header::EXPECT);
    let version = head.version;
    let idempotency_key = idempotency::sent(&head.headers);
    let link = reverts::sent(&head.headers);
    let gateway = &connection.gateway;
    let holder = context.holder(&caller);
    // The fingerprint of a listed token is nothing that anybody could make up.
    let is_taken =
        caller.listed || gateway.known.is_taken(caller.token_fingerprint, context.instant);
    let mut held = gateway.room.enter(holder, is_taken);
    let config = &connection.live.config;
    let is_denied = config.actors.deny_unknown && !caller.may_be_listed(config);
    let mut call = call(connection, context, (head, marks), caller, operation, deployment_id);
    // Where bodies of unknown callers crowd, a newcomer is made sure of before the body is read.
    if !is_denied && !is_taken && gateway.room.is_crowded(holder.address) {
        if let Err(not_known) = introduce(&call).await {
            if !awaits_go_ahead {
                discard(&mut incoming).await;
            }
            return Ok(not_known.reply(&call, Received::Whole(Bytes::new())));
        }
        held.vouch();
    }
    let received = match idempotency_key.and_then(|key| Ok((key, link?))) {
        _ if is_denied => Received::Unread,
        Err(refusal) => Received::unread(refusal, incoming.size_hint().lower()),
        Ok((key, link)) => {
            (call.idempotency_key, call.reverts) = (key, link);
            let head = ReceivedHead { headers: &call.headers, version, awaits_go_ahead };
            receive(head, &mut incoming, &mut held, &config.limits).await?
        }
    };
    let hear_out = !matches!(received, Received::Whole(_)) && !awaits_go_ahead;
    let exchange = gateway.exchanges.spawn(exchange::run(call, received, held));
    if hear_out {
        discard(&mut incoming).await;
    }
    exchange.await.map_err(|panicked| {
        tracing::error!(request_id = %context.request_id, error = %panicked, "an exchange broke");
        exchange::broken()
    })
}

/// The call, its body to come.
fn call(
    connection: &Arc<ConnectionContext>,
    context: &RequestContext,
    (mut head, marks): (Parts, Marks),
    caller: Arc<Caller>,
    operation: Operation,
    deployment_id: Option<String>,
) -> Call {
    let client = identify::client(context.address, &head.headers);
    let if_match = head.headers.get_all(header::IF_MATCH).iter().cloned().collect();
    let break_glass = GlassHeader::of(&head.headers);
    headers::toward_upstream(&mut head.headers, marks, head.version, &context.request_id);
    let upstream = &connection.live.config.upstream.name;
    Call {
        connection: Arc::clone(connection),
        context: context.clone(),
        change: ChangeId::new(context.received_at),
        caller,
        client,
        operation,
        deployment: deployment_id.map(|id| DeploymentKey::new(upstream, id)),
        method: head.method,
        query: head.uri.query().map(str::to_owned),
        headers: head.headers,
        if_match,
        idempotency_key: None,
        break_glass,
        reverts: None,
    }
}
