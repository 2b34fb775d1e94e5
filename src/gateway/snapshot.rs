//! The deployment as upstream shows it, read with the caller's own credential.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::call::Call;
use super::forward::{self, Answer};
use super::headers;
use super::limit::Kind;
use super::passthrough::{IDENTITY, target};
use super::reply::Refusal;
use super::upload::RequestBody;
use crate::deployment;

/// Why a deployment could not be seen.
#[derive(Debug)]
pub(super) enum Unseen {
    /// Upstream said no: 4xx, or 529 (overloaded).
    Answered(Answer),
    /// Anything else but a whole Deployment; upstream's status, where it gave one.
    Failed(Refusal, Option<StatusCode>),
}

/// Reads the deployment of a call.
pub(super) async fn read(call: &Call, deployment_id: &str) -> Result<Value, Unseen> {
    // It counts as one of the caller's reads, but a governed call is never held up by it.
    if let Some(limiter) = &call.scene.live.limiter {
        let now = call.scene.gateway.clock.moment();
        let _ = limiter.draw(call.caller.actor.fingerprint, Kind::Read, now);
    }
    let request = request(call, deployment_id).ok_or_else(|| {
        Unseen::Failed(Refusal::bad_gateway("the deployment's path can't be built"), None)
    })?;
    let answer = forward::exchange(call, request).await.map_err(|error| {
        let refusal = match error {
            forward::Unanswered::Slow => Refusal::gateway_timeout(
                "upstream did not show the deployment in time; nothing was changed",
            ),
            _ => Refusal::bad_gateway("upstream did not show the deployment; nothing was changed"),
        };
        Unseen::Failed(refusal, None)
    })?;
    if answer.status.is_client_error() || answer.status.as_u16() == 529 {
        return Err(Unseen::Answered(answer));
    }
    let status = answer.status;
    let document = answer.deployment(&call.scene.live.config.limits);
    document
        .filter(|found| status.is_success() && deployment::id_of(found) == Some(deployment_id))
        .ok_or_else(|| {
            let refusal = Refusal::bad_gateway(format!(
                "upstream answered {status} where the deployment was asked for; nothing was changed"
            ));
            Unseen::Failed(refusal, Some(status))
        })
}

/// The gateway's own GET: the caller's credential, version headers and query, and nothing else.
fn request(call: &Call, deployment_id: &str) -> Option<Request<RequestBody>> {
    let provider = call.scene.live.config.upstream.provider;
    let mut headers = HeaderMap::new();
    let own = [header::AUTHORIZATION, header::USER_AGENT];
    let named = provider.version_headers.iter().chain(&["x-api-key", "x-request-id"]);
    for name in own.iter().map(header::HeaderName::as_str).chain(named.copied()) {
        for value in call.headers.get_all(name) {
            headers.append(header::HeaderName::try_from(name).ok()?, value.clone());
        }
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(IDENTITY.0, IDENTITY.1);
    headers::add_via(&mut headers, call.version);
    let path = format!("{}/deployments/{deployment_id}", provider.base_path);
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target(&path, call.query.as_deref()).ok()?;
    *request.headers_mut() = headers;
    Some(request)
}
