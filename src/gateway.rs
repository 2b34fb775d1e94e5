//! The way of a call: what is governed is led through its exchange, the rest passes as it comes.
//!
//! message form → identify → limit → path and method → body, then [`exchange`] or
//! [`passthrough`].

mod admit;
mod asking;
pub mod bench_api;
mod body;
mod break_glass;
mod call;
mod clearance;
mod context;
mod cors;
mod decide;
mod denial;
mod drift;
mod exchange;
mod finish;
mod forward;
mod govern;
mod headers;
mod idempotency;
mod identify;
mod known;
mod last_shown;
mod left;
mod limit;
mod look;
mod mark;
mod memory;
mod not_forwarded;
mod observe;
mod other_write;
mod passthrough;
mod precondition;
mod refusal;
mod relay;
mod response;
mod reverts;
mod route;
mod shown_deployment;
mod snapshot;
mod tally;
mod turn;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderName, Request};
use hyper::body::Incoming;
use serde_json::json;

use self::admit::{Admission, Admitted, admit};
use self::call::Call;
use self::context::RequestContext;
pub(crate) use self::context::{ConnectionContext, Gateway, Live};
use self::cors::ListedOrigin;
use self::govern::govern;
use self::headers::{Called, Fields, X_REQUEST_ID};
use self::identify::Address;
pub(crate) use self::identify::network;
use self::limit::{RateLimitStatus, RequestKind};
use self::passthrough::pass;
use self::response::Reply;
pub(crate) use self::response::ReplyBody;
use self::route::Route;
#[cfg(any(test, fuzzing))]
pub(crate) use self::route::fuzzing;
use crate::audit::record::{EventKind, Outcome};
use crate::base::peer::PeerAddress;
use crate::policy::{Decision, Violation};
use crate::telemetry::CallClass;
pub(crate) use crate::upstream::pool::{Pool, SWEEP_EVERY};
pub(crate) use crate::upstream::trust::TrustError;

/// The start of the names in [`RATE_LIMITS`].
const RATE_LIMIT: &str = "x-ratelimit-";

/// The header fields that tell of a limit, in the order of [`limit::RateLimitFields::values`].
const RATE_LIMITS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// Answers one request. What needs no waiting is done at once, so that nothing of it is kept.
pub(crate) fn answer(
    connection: Arc<ConnectionContext>,
    peer: PeerAddress,
    request: Request<Incoming>,
) -> impl Future<Output = Reply> {
    let (mut head, body) = request.into_parts();
    let fields = Fields::of(&head.headers);
    let now = connection.gateway.clock.moment();
    let context = RequestContext {
        request_id: headers::request_id(&head.headers, &fields, now.at),
        received_at: now.at,
        instant: now.instant,
        address: Address::of(peer, &head.headers, &connection.live.config),
        called: Called::of(&head, &fields, peer, &connection.live.config),
    };
    let writes = RequestKind::of(&head.method) == RequestKind::Write;
    let origin = ListedOrigin::of(&connection.live.config.listen, &head.headers);
    // A browser asks without a credential whether a page may bring one.
    let preflight = origin.filter(|_| ListedOrigin::is_preflight(&head, &fields, &body));
    let admitted = match preflight {
        Some(_) => None,
        None => Some(admit(&connection, &context, &head, &fields, &body)),
    };
    let marks = fields.marks;
    headers::origin_form(&mut head.uri);
    async move {
        let admitted = match admitted {
            None => None,
            Some(Admission::Known(known)) => Some(known),
            Some(asking) => Some(Box::pin(asking.known(&connection, &context, &head)).await),
        };
        // Only what passes is kept in the connection's own memory; the rest takes more of it.
        let (class, rate_limit, outcome) = match admitted {
            Some(Ok(Admitted { route: Route::Passthrough, caller, rate_limit })) => {
                let passing = pass(&connection, &context, &caller, head, marks, body);
                (CallClass::Passthrough, rate_limit, passing.await)
            }
            Some(Ok(Admitted {
                route: Route::ReadDeployment { deployment_id },
                caller,
                rate_limit,
            })) => {
                let reading =
                    observe::read(&connection, &context, &caller, head, marks, &deployment_id);
                (CallClass::Passthrough, rate_limit, Box::pin(reading).await)
            }
            Some(Ok(Admitted {
                route: Route::Governed { operation, deployment_id },
                caller,
                rate_limit,
            })) => {
                let head = (head, marks);
                let governed =
                    govern(&connection, &context, caller, head, body, operation, deployment_id);
                (CallClass::Governed, rate_limit, Box::pin(governed).await)
            }
            Some(Err(not_admitted)) => {
                let rate_limit = not_admitted.rate_limit;
                let noting = not_admitted.note(&connection, &context, head, marks);
                (CallClass::Refused, rate_limit, Err(Box::pin(noting).await))
            }
            None => (CallClass::Preflight, None, Ok(cors::preflight(&head.headers))),
        };
        let mut reply =
            outcome.unwrap_or_else(|refusal| refusal.into_reply(&context.request_id, None));
        connection.gateway.metrics.request(class, writes, reply.status());
        decorate(&mut reply, &connection, &context, rate_limit);
        if let Some(origin) = origin {
            origin.allow(&mut reply, &connection.live.config.listen, class);
        }
        reply
    }
}

/// The headers that every answer has.
fn decorate(
    reply: &mut Reply,
    connection: &ConnectionContext,
    context: &RequestContext,
    rate_limit: Option<RateLimitStatus>,
) {
    let provider = connection.live.config.upstream.provider;
    let headers = reply.headers_mut();
    let id = context.request_id.as_value();
    if let Some(name) = provider.request_id_header {
        // Upstream's own is what its support asks for.
        headers.entry(name).or_insert_with(|| id.clone());
    }
    headers.insert(X_REQUEST_ID, id.clone());
    let Some(rate_limit) = rate_limit else { return };
    // Where upstream tells of a limit of its own, the two are not mixed.
    let told = headers.keys().any(|name| name.as_str().starts_with(RATE_LIMIT));
    if told && RATE_LIMITS.iter().any(|name| headers.contains_key(name)) {
        return;
    }
    for (name, value) in
        RATE_LIMITS.into_iter().zip(connection.rate_limit_fields.values(rate_limit))
    {
        headers.insert(name, value);
    }
}

/// One line in the gateway's own log, and one count, for every governed call that is recorded.
fn report(call: &Call, decision: Decision, outcome: Outcome, violations: &[Violation]) {
    let gateway = &call.connection.gateway;
    let took = call.context.age(&gateway.clock);
    gateway.metrics.change(call.operation, outcome, decision);
    gateway.metrics.exchange_took(took);
    let deployment = call.deployment_id().unwrap_or("-");
    tracing::info!(
        request_id = %call.context.request_id,
        change = %call.change,
        operation = %call.operation,
        deployment = gateway.audit.scrub(deployment, &call.caller.token),
        actor = %call.caller.actor.fingerprint,
        actor_name = call.caller.actor.name.as_deref(),
        decision = decision.name(),
        rules = (!violations.is_empty()).then(|| rule_names(violations)),
        outcome = outcome.name(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "governed call"
    );
}

/// The rules of violations, each once.
fn rules(violations: &[Violation]) -> BTreeSet<&str> {
    violations.iter().map(|violation| violation.rule.as_str()).collect()
}

/// Their names, with commas between them.
fn rule_names(violations: &[Violation]) -> String {
    rules(violations).into_iter().collect::<Vec<_>>().join(", ")
}

/// An event, a count and a line for rules that are broken by what upstream has made of a change.
fn report_after(call: &Call, violations: &[Violation]) {
    let gateway = &call.connection.gateway;
    let rules = rules(violations);
    for rule in &rules {
        gateway.metrics.after_violation(rule);
    }
    tracing::warn!(
        request_id = %call.context.request_id,
        change = %call.change,
        rules = rule_names(violations),
        "upstream shows a deployment that breaks the policy, which was not predicted"
    );
    gateway.audit.found_after(call.change);
    let now = gateway.clock.now();
    let mut event = call.context.event(&call.caller, EventKind::AfterViolation, now);
    event.detail = json!({"change": call.change, "rules": rules});
    gateway.audit.note_of(event, &call.caller.token);
}
