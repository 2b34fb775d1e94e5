//! The first steps of every call: message form → identify → limit → path and method.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};

use super::call::Requester;
use super::headers::{Fields, Marks};
use super::identify::{self, Caller, RefusalSource, not_listed_message};
use super::limit::{DrawError, RateLimitStatus, RequestKind};
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

/// The outcome of the first steps.
#[derive(Debug)]
pub(super) enum Admission {
    Known(Result<Admitted, NotAdmitted>),
    /// The budget that gateways share is to be asked first.
    Asking(Box<Asking>),
}

/// A call whose budget is not drawn yet.
#[derive(Debug)]
pub(super) struct Asking {
    caller: Arc<Caller>,
    /// What follows where it is within the budget.
    route: Result<Route, NotAdmitted>,
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
) -> Admission {
    let caller = match identified(connection, context, head, fields) {
        Ok(caller) => caller,
        Err(refusal) => return Admission::Known(Err(refusal.into())),
    };
    let target = Target {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        has_body: !body.is_end_stream(),
    };
    let classify = || classify(connection, context, &caller, (head, target), fields);
    let Some(drawn) = draw(connection, context, &caller, target) else {
        let route = classify();
        return Admission::Asking(Box::new(Asking { caller, route }));
    };
    let limited = drawn.map_err(|error| refuse(connection, context, &caller, target, &error));
    let limited = limited.and_then(|drawn| within(connection, context, &caller, target, drawn));
    Admission::Known(match limited {
        Err(not_admitted) => Err(not_admitted),
        Ok(rate_limit) => with_limit(classify(), caller, rate_limit),
    })
}

impl Admission {
    /// Asks the budget that gateways share, where that is to be.
    pub(super) async fn known(
        self,
        connection: &ConnectionContext,
        context: &RequestContext,
        head: &Parts,
    ) -> Result<Admitted, NotAdmitted> {
        let Asking { caller, route } = match self {
            Self::Known(known) => return known,
            Self::Asking(asking) => *asking,
        };
        let (method, path, query) = (&head.method, head.uri.path(), head.uri.query());
        let target = Target { method, path, query, has_body: false };
        let rate_limit = match &connection.live.limiter {
            None => None,
            Some(limiter) => {
                let (token, kind) = (caller.actor.fingerprint, RequestKind::of(method));
                let drawn = limiter.draw(token, kind, context.moment()).await;
                let drawn =
                    drawn.map_err(|error| refuse(connection, context, &caller, target, &error))?;
                within(connection, context, &caller, target, Some(drawn))?
            }
        };
        with_limit(route, caller, rate_limit)
    }
}

/// A call that is within its budget, and what follows of its route.
fn with_limit(
    route: Result<Route, NotAdmitted>,
    caller: Arc<Caller>,
    rate_limit: Option<RateLimitStatus>,
) -> Result<Admitted, NotAdmitted> {
    match route {
        Ok(route) => Ok(Admitted { route, caller, rate_limit }),
        Err(not_admitted) => Err(NotAdmitted { rate_limit, ..not_admitted }),
    }
}

/// Finds out whose call it is, if its form is right.
fn identified(
    connection: &ConnectionContext,
    context: &RequestContext,
    head: &Parts,
    fields: &Fields<'_>,
) -> Result<Arc<Caller>, Refusal> {
    let config = &connection.live.config;
    // On HTTP/1.1, the parser has counted them.
    if head.headers.len() > config.limits.header_count {
        return Err(Refusal::too_many_fields(config.limits.header_count));
    }
    headers::accept_form(head, fields).map_err(|refusal| refusal.closing(head.version))?;
    let (key, last) = (&connection.gateway.key, &connection.last_caller);
    let is_confirmed = |token| connection.gateway.known.is_confirmed(token, context.instant);
    let caller = identify::identify(fields.credential, config, key, last, is_confirmed);
    caller.inspect_err(|refusal| {
        connection
            .gateway
            .refuse(refusal.status, RefusalSource::Address(context.address.network()));
    })
}

/// Draws on the caller's budget, if there is one; `None` where it has to be asked.
fn draw(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    target: Target<'_>,
) -> Option<Result<Option<RateLimitStatus>, DrawError>> {
    let Some(limiter) = &connection.live.limiter else { return Some(Ok(None)) };
    let (token, kind) = (caller.actor.fingerprint, RequestKind::of(target.method));
    let drawn = limiter.draw_at_once(token, kind, context.moment())?;
    Some(drawn.map(Some))
}

/// Holds, where there are limits, that credentials from the call's address are not slowed down.
fn within(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    target: Target<'_>,
    rate_limit: Option<RateLimitStatus>,
) -> Result<Option<RateLimitStatus>, NotAdmitted> {
    let Some(drawn) = rate_limit else { return Ok(None) };
    // An operator vouches for a listed token: others' mistakes don't hold it up.
    if !caller.listed {
        let refused = &connection.gateway.refused;
        let token = caller.token_fingerprint;
        refused.admit(context.address, token, context.instant).map_err(|seconds| {
            let message = format!(
                "upstream refused too many credentials from this address: try again in {seconds} s"
            );
            limited(connection, context, caller, target, (message, seconds, drawn))
        })?;
    }
    Ok(rate_limit)
}

/// The refusal of a call that was not drawn.
fn refuse(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    target: Target<'_>,
    error: &DrawError,
) -> NotAdmitted {
    let DrawError::Exhausted(exhausted) = error else { return Refusal::limits_away().into() };
    let message = exhausted.message(RequestKind::of(target.method));
    let told = (message, exhausted.retry_after, exhausted.rate_limit);
    limited(connection, context, caller, target, told)
}

/// The refusal of a call that has to wait so many seconds, which is counted.
fn limited(
    connection: &ConnectionContext,
    context: &RequestContext,
    caller: &Caller,
    target: Target<'_>,
    (message, retry_after, rate_limit): (String, u64, RateLimitStatus),
) -> NotAdmitted {
    let subject = connection.subject(context, caller);
    let held_up = match subject {
        RefusalSource::Actor(_) => held_up(connection, target),
        RefusalSource::Address(_) => None,
    };
    connection.gateway.hold_up(StatusCode::TOO_MANY_REQUESTS, subject, held_up);
    let refusal = Refusal::rate_limited(message, retry_after);
    NotAdmitted { refusal, rate_limit: Some(rate_limit), event: None }
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
