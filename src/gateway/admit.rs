//! The first steps of every call: message form → identify → limit → path and method.

use http::StatusCode;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};

use super::call::Asker;
use super::headers::{Fields, Marks};
use super::identify::{self, Subject};
use super::limit::Kind;
use super::not_listed::stranger_message;
use super::other_write::text_shown;
use super::refusal::Refusal;
use super::route::{self, Route, Target};
use super::{ConnectionContext, RequestContext, headers, look};
use crate::audit::record::{Event, EventKind};
use crate::ids::Fingerprint;

/// A call that ends here, and the event that it leaves where upstream takes its token.
#[derive(Debug)]
pub(super) struct NotAdmitted {
    refusal: Refusal,
    event: Option<Box<Event>>,
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, event: None }
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
        let (Some(event), Some(caller)) = (self.event, &context.caller) else {
            return self.refusal;
        };
        let token = caller.actor.fingerprint;
        if !connection.gateway.known.is_taken(token, context.instant) {
            let query = head.uri.query().map(str::to_owned);
            headers::toward_upstream(&mut head.headers, marks, head.version, &context.request_id);
            let headers = &head.headers;
            let asker = Asker { connection, context, token, headers, query: query.as_deref() };
            if look::ask(asker).await.is_err() {
                let subject = Subject::Address(context.address.network());
                connection.gateway.refuse(self.refusal.status, subject);
                return self.refusal;
            }
        }
        connection.gateway.audit.note_of(*event, &caller.token);
        self.refusal
    }
}

/// Finds out whose call it is, draws on its budget, and tells what it is.
pub(super) fn admit(
    connection: &ConnectionContext,
    context: &mut RequestContext,
    head: &Parts,
    fields: &Fields<'_>,
    body: &Incoming,
) -> Result<Route, NotAdmitted> {
    let config = &connection.live.config;
    // On HTTP/1.1, the parser has counted them.
    if head.headers.len() > config.limits.header_count {
        return Err(Refusal::too_many_fields(config.limits.header_count).into());
    }
    headers::accept_form(head, fields).map_err(|refusal| refusal.closing(head.version))?;
    let (key, last) = (&connection.gateway.key, &connection.last_caller);
    let caller = identify::identify(fields.credential, config, key, last);
    let caller = caller.inspect_err(|refusal| {
        connection.gateway.refuse(refusal.status, Subject::Address(context.address.network()));
    })?;
    let listed = caller.listed;
    let fingerprint = caller.actor.fingerprint;
    context.caller = Some(caller);
    limit(connection, context, head, fingerprint, listed)?;
    let target = Target {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        has_body: !body.is_end_stream(),
    };
    let route = route::classify(config.upstream.provider, &config.upstream.allow_writes, target)
        .map_err(|refusal| {
            let event = refused_write(connection, context, target, &refusal).map(Box::new);
            // Who sends a body with a read may have meant it for the next request.
            let refusal =
                if is_read_with_body(target) { refusal.closing(head.version) } else { refusal };
            NotAdmitted { refusal, event }
        })?;
    let governed = matches!(route, Route::Governed { .. });
    // A governed call's type is judged with its body.
    if let Some(name) = fields.repeated.filter(|name| !governed || *name != "content-type") {
        let message = format!("more than one {name} header: send exactly one");
        return Err(Refusal::form(message).into());
    }
    if !governed && !listed && config.actors.deny_unknown {
        return Err(Refusal::permission(stranger_message(context)).into());
    }
    Ok(route)
}

fn limit(
    connection: &ConnectionContext,
    context: &mut RequestContext,
    head: &Parts,
    fingerprint: Fingerprint,
    listed: bool,
) -> Result<(), Refusal> {
    if let Some(limiter) = &connection.live.limiter {
        match limiter.draw(fingerprint, Kind::of(&head.method), context.moment()) {
            Ok(standing) => context.standing = Some(standing),
            Err(exhausted) => {
                context.standing = Some(exhausted.standing);
                connection
                    .gateway
                    .refuse(StatusCode::TOO_MANY_REQUESTS, connection.subject(context));
                return Err(Refusal::rate_limited(
                    "this token's budget is spent: wait as retry-after says",
                    exhausted.retry_after,
                ));
            }
        }
        if listed {
            // An operator vouches for it: others' mistakes don't hold it up.
            return Ok(());
        }
        let admitted =
            connection.gateway.refused.admit(context.address, fingerprint, context.instant);
        if let Err(seconds) = admitted {
            connection.gateway.refuse(StatusCode::TOO_MANY_REQUESTS, connection.subject(context));
            return Err(Refusal::rate_limited(
                "upstream refused too many credentials from this address: wait as retry-after says",
                seconds,
            ));
        }
    }
    Ok(())
}

fn is_read_with_body(target: Target<'_>) -> bool {
    target.has_body && Kind::of(target.method) == Kind::Read
}

/// The event of a write that aims at deployments and is refused for its target.
fn refused_write(
    connection: &ConnectionContext,
    context: &RequestContext,
    target: Target<'_>,
    refusal: &Refusal,
) -> Option<Event> {
    if Kind::of(target.method) == Kind::Read {
        return None;
    }
    let mut event = context.event(EventKind::RefusedWrite, context.received_at);
    event.detail = serde_json::json!({
        "method": target.method.as_str(),
        "path": text_shown(connection, context, target.path),
        "status": refusal.status.as_u16(),
        "message": text_shown(connection, context, &refusal.message),
    });
    Some(event)
}
