//! The first steps of every call: message form → identify → limit → path and method.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};

use super::call::Requester;
use super::headers::{Fields, Marks};
use super::identify::{self, Caller, RefusalSource, not_listed_message};
use super::limit::{RateLimitStatus, RequestKind};
use super::other_write::text_shown;
use super::refusal::Refusal;
use super::route::{self, Route, Target};
use super::tally::HeldUp;
use super::{ConnectionContext, RequestContext, headers, look};
use crate::audit::record::{Event, EventKind};

/// A call that goes on: its route, its caller, and the rest of the caller's budget.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) route: Route,
    pub(super) caller: Arc<Caller>,
    /// `None` where nothing is limited.
    pub(super) rate_limit: Option<RateLimitStatus>,
}

/// A call that ends here.
#[derive(Debug)]
pub(super) struct NotAdmitted {
    refusal: Refusal,
    /// `None` where nothing was drawn.
    pub(super) rate_limit: Option<RateLimitStatus>,
    /// The event that it leaves where upstream takes its token.
    event: Option<Box<RefusedWrite>>,
}

/// A write that aims at deployments and is refused for its target.
#[derive(Debug)]
struct RefusedWrite {
    caller: Arc<Caller>,
    event: Event,
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, rate_limit: None, event: None }
    }
}

impl NotAdmitted {
    /// Keeps the event of a known caller; what anybody sends who is not known is counted.
    pub(super) async fn note(
        self,
        connection: &ConnectionContext,
        context: &RequestContext,
        mut head: Parts,
        marks: Marks,
    ) -> Refusal {
        let Some(write) = self.event else { return self.refusal };
        let RefusedWrite { caller, event } = *write;
        if !connection.gateway.known.is_taken(caller.token_fingerprint, context.instant) {
            let query = head.uri.query().map(str::to_owned);
            headers::toward_upstream(&mut head.headers, marks, head.version, &context.request_id);
            let (caller, headers, query) = (&*caller, &head.headers, query.as_deref());
            let asker = Requester { connection, context, caller, headers, query };
            if look::ask(asker).await.is_err() {
                let subject = RefusalSource::Address(context.address.network());
                connection.gateway.refuse(self.refusal.status, subject);
                return self.refusal;
            }
        }
        let account = connection.gateway.confirmed(&caller, &connection.live.config);
        let actor = account.map_or_else(|| caller.actor.clone(), |account| account.actor);
        let event = Event { actor: Some(actor), ..event };
        connection.gateway.audit.note_of(event, &caller.token);
        self.refusal
    }
}

/// Finds out whose call it is, draws on its budget, and tells what it is.
pub(super) fn admit(
    connection: &ConnectionContext,
    context: &RequestContext,
    head: &Parts,
    fields: &Fields<'_>,
    body: &Incoming,
) -> Result<Admitted, NotAdmitted> {
    let config = &connection.live.config;
    // On HTTP/1.1, the parser has counted them.
    if head.headers.len() > config.limits.header_count {
        return Err(Refusal::too_many_fields(config.limits.header_count).into());
    }
    headers::accept_form(head, fields).map_err(|refusal| refusal.closing(head.version))?;
    let (key, last) = (&connection.gateway.key, &connection.last_caller);
    let is_confirmed = |token| connection.gateway.known.is_confirmed(token, context.instant);
    let caller = identify::identify(fields.credential, config, key, last, is_confirmed);
    let caller = caller.inspect_err(|refusal| {
        connection
            .gateway
            .refuse(refusal.status, RefusalSource::Address(context.address.network()));
    })?;
    let target = Target {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        has_body: !body.is_end_stream(),
    };
    let rate_limit = limit(connection, context, &caller, target)?;
    match classify(connection, context, &caller, (head, target), fields) {
        Ok(route) => Ok(Admitted { route, caller, rate_limit }),
        Err(not_admitted) => Err(NotAdmitted { rate_limit, ..not_admitted }),
    }
}

/// Draws on the caller's budget.
fn limit(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Option<RateLimitStatus>, NotAdmitted> {
    let Some(limiter) = &connection.live.limiter else { return Ok(None) };
    let (token, kind) = (caller.actor.fingerprint, RequestKind::of(target.method));
    let refuse = |message, retry_after, rate_limit| {
        let subject = connection.subject(context, caller);
        let held_up = match subject {
            RefusalSource::Actor(_) => held_up(connection, target),
            RefusalSource::Address(_) => None,
        };
        connection.gateway.hold_up(StatusCode::TOO_MANY_REQUESTS, subject, held_up);
        let refusal = Refusal::rate_limited(message, retry_after);
        NotAdmitted { refusal, rate_limit: Some(rate_limit), event: None }
    };
    let rate_limit = limiter.draw(token, kind, context.moment()).map_err(|exhausted| {
        let message = exhausted.message(kind);
        refuse(message, exhausted.retry_after, exhausted.rate_limit)
    })?;
    // An operator vouches for a listed token: others' mistakes don't hold it up.
    if !caller.listed {
        let refused = &connection.gateway.refused;
        let token = caller.token_fingerprint;
        refused.admit(context.address, token, context.instant).map_err(|seconds| {
            let message = format!(
                "upstream refused too many credentials from this address: try again in {seconds} s"
            );
            refuse(message, seconds, rate_limit)
        })?;
    }
    Ok(Some(rate_limit))
}

/// The change that a call would have been.
fn held_up(connection: &ConnectionContext, target: Target<'_>) -> Option<HeldUp> {
    let upstream = &connection.live.config.upstream;
    HeldUp::of(route::classify(upstream.provider, &upstream.allow_writes, target).ok()?)
}

/// Tells by path and method what the call is, and whether it may be that here.
fn classify(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Arc<Caller>,
    (head, target): (&Parts, Target<'_>),
    fields: &Fields<'_>,
) -> Result<Route, NotAdmitted> {
    let config = &connection.live.config;
    let route = route::classify(config.upstream.provider, &config.upstream.allow_writes, target)
        .map_err(|refusal| {
            let event = refused_write(connection, context, caller, target, &refusal).map(Box::new);
            // Who sends a body with a read may have meant it for the next request.
            let refusal =
                if is_read_with_body(target) { refusal.closing(head.version) } else { refusal };
            NotAdmitted { refusal, rate_limit: None, event }
        })?;
    let governed = matches!(route, Route::Governed { .. });
    // A governed call's type is judged with its body.
    if let Some(name) = fields.repeated.filter(|name| !governed || *name != "content-type") {
        let message = format!("more than one {name} header: send exactly one");
        return Err(Refusal::form(message).into());
    }
    // Upstream itself tells whether a token is what it says: one that is not gets its 401.
    if !governed && config.actors.deny_unknown && !caller.may_be_listed(config) {
        return Err(Refusal::permission(not_listed_message(caller)).into());
    }
    Ok(route)
}

fn is_read_with_body(target: Target<'_>) -> bool {
    target.has_body && RequestKind::of(target.method) == RequestKind::Read
}

/// The event of a write that aims at deployments and is refused for its target.
fn refused_write(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Arc<Caller>,
    target: Target<'_>,
    refusal: &Refusal,
) -> Option<RefusedWrite> {
    if RequestKind::of(target.method) == RequestKind::Read {
        return None;
    }
    let mut event = context.event(caller, EventKind::RefusedWrite, context.received_at);
    event.detail = serde_json::json!({
        "method": target.method.as_str(),
        "path": text_shown(connection, caller, target.path),
        "status": refusal.status.as_u16(),
        "message": text_shown(connection, caller, &refusal.message),
    });
    Some(RefusedWrite { caller: Arc::clone(caller), event })
}
