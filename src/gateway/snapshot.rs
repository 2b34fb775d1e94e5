//! The deployment as upstream shows it, read with the caller's own credential.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};

use super::call::{Call, Requester};
use super::forward::{self, WholeResponse};
use super::limit::RequestKind;
use super::passthrough::{IDENTITY, target};
use super::refusal::Refusal;
use super::shown_deployment::ShownDeployment;
use crate::deployment;
use crate::upstream::endpoint::DialError;
use crate::upstream::pool::{ALWAYS, SendError};
use crate::upstream::request_body::RequestBody;

/// Fields that the gateway's own GETs do not repeat, beside those of a body and conditional ones.
const NOT_REPEATED: [HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::EXPECT,
    header::RANGE,
    header::TE,
    header::TRAILER,
];

/// How the fields begin that tell of a body (RFC 9110, 8) or set a condition (13.1).
const NOT_REPEATED_BEGIN: [&str; 2] = ["content-", "if-"];

/// Fields without a constant of their own: of a body's digest (RFC 9530), and of a write.
const NOT_REPEATED_NAMES: [&str; 4] = ["digest", "idempotency-key", "repr-digest", "want-digest"];

/// Why a deployment could not be seen.
#[derive(Debug)]
pub(super) enum SnapshotError {
    /// Upstream said no: 4xx, or 529 (overloaded).
    Answered(WholeResponse),
    /// Anything else but a whole Deployment; upstream's status, where it gave one.
    Failed(Refusal, Option<StatusCode>),
}

/// Reads the deployment of a call.
pub(super) async fn read(
    call: &Call,
    deployment_id: &str,
) -> Result<ShownDeployment, SnapshotError> {
    let path = format!("{}/deployments/{deployment_id}", call.provider().base_path);
    let asked = ask(call.asker(), &path, None).await;
    let answer = asked.map_err(|refusal| SnapshotError::Failed(refusal, None))?;
    call.connection.learn_shown(&call.caller, deployment_id, answer.status);
    if answer.status.is_client_error() || answer.status.as_u16() == 529 {
        return Err(SnapshotError::Answered(answer));
    }
    let status = answer.status;
    let seen = seen_in(call, &answer).await;
    let is_it = |seen: &ShownDeployment| {
        status.is_success()
            && deployment::id_of(seen.document()) == Some(deployment_id)
            && deployment::is_whole(call.provider(), seen.document())
    };
    seen.filter(is_it).ok_or_else(|| {
        let refusal = Refusal::bad_gateway(match answer.coding() {
            Some(coding) => format!(
                "upstream answered {coding}-encoded though identity was asked for; nothing was \
                 changed"
            ),
            None => format!(
                "upstream answered {status} where the deployment was asked for; nothing was changed"
            ),
        });
        SnapshotError::Failed(refusal, Some(status))
    })
}

/// The Deployment that an answer to a call shows, if it is one.
pub(super) async fn seen_in(call: &Call, answer: &WholeResponse) -> Option<ShownDeployment> {
    let limits = &call.connection.live.config.limits;
    let Some(deployment) = &call.deployment else { return answer.deployment(limits).await };
    let last_shown = &call.connection.gateway.last_shown;
    if let Some(seen) = last_shown.find(deployment, &answer.body) {
        return Some(seen);
    }
    let seen = answer.deployment(limits).await?;
    last_shown.learn(deployment, &answer.body, &seen);
    Some(seen)
}

/// Asks for a list of one deployment, which upstream answers to any caller whom it serves.
pub(super) async fn list(asker: Requester<'_>) -> Result<WholeResponse, Refusal> {
    let path = format!("{}/deployments", asker.provider().base_path);
    ask(asker, &path, Some("limit=1")).await
}

/// Sends one of the gateway's own GETs.
async fn ask(
    asker: Requester<'_>,
    path: &str,
    own: Option<&str>,
) -> Result<WholeResponse, Refusal> {
    // It counts as one of the caller's reads, but a governed call is never held up by it.
    if let Some(limiter) = &asker.connection.live.limiter {
        let now = asker.connection.gateway.clock.moment();
        limiter.charge(asker.caller.actor.fingerprint, RequestKind::Read, now);
    }
    let request = request(asker, path, own)?;
    // Counted as a stranger's until upstream has answered.
    let arriving = asker.connection.gateway.room.enter(asker.context.holder(asker.caller), false);
    let asked = forward::exchange(
        asker.connection,
        asker.context,
        asker.caller,
        request,
        arriving,
        &ALWAYS,
    );
    asked.await.map_err(|error| match error {
        forward::ForwardError::Slow => Refusal::gateway_timeout(
            "upstream did not show the deployment in time; nothing was changed",
        ),
        forward::ForwardError::Head(fault) => {
            Refusal::bad_gateway(format!("{fault}; nothing was changed"))
        }
        forward::ForwardError::Crowded => Refusal::crowded(),
        error @ forward::ForwardError::NotSent(SendError::NotSent(DialError::Proxy(_))) => {
            error.refusal()
        }
        _ => Refusal::bad_gateway("upstream did not show the deployment; nothing was changed"),
    })
}

/// The gateway's own GET: with the caller's header fields, but for those that belong to the
/// caller's own message, and of the query what the provider's table names.
fn request(
    asker: Requester<'_>,
    path: &str,
    own: Option<&str>,
) -> Result<Request<RequestBody>, Refusal> {
    let mut headers: HeaderMap = asker.headers.clone();
    let left_out: Vec<HeaderName> =
        headers.keys().filter(|name| !is_repeated(name)).cloned().collect();
    for name in left_out {
        headers.remove(name);
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(IDENTITY.0, IDENTITY.1);
    let query = query(asker, own);
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target(path, query.as_deref())
        .map_err(|_source| Refusal::bad_gateway("the deployment's path can't be built"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn is_repeated(name: &HeaderName) -> bool {
    !NOT_REPEATED.contains(name)
        && !NOT_REPEATED_BEGIN.iter().any(|start| name.as_str().starts_with(start))
        && !NOT_REPEATED_NAMES.contains(&name.as_str())
}

/// The part of the caller's query that is repeated, and the gateway's own. Anything else
/// could choose what is shown.
fn query(asker: Requester<'_>, own: Option<&str>) -> Option<String> {
    let listed = asker.provider().repeated_query_keys;
    let pairs = asker.query.unwrap_or_default().split('&');
    let repeated = pairs.filter(|pair| listed.contains(&pair.split('=').next().unwrap_or(pair)));
    let kept: Vec<&str> = own.into_iter().chain(repeated).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}
