//! Probes of machines: whether the gateway lives, whether it can work, how it fares.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::exposition::Exposition;
use super::{Api, OPENAPI};
use crate::audit::{FoundAfter, Health};

/// The answer to a probe.
#[derive(Serialize, ToSchema)]
struct Condition {
    status: Status,
    /// Why it fails; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Changes since the start after which upstream showed a deployment that breaks a rule,
    /// though that was not predicted; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    after_violations: Option<FoundAfter>,
}

/// Whether all is well.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ProbeStatus)]
enum Status {
    Ok,
    Failing,
}

/// Whether the gateway lives.
#[utoipa::path(
    get,
    path = "/healthz",
    responses(
        (status = 200, description = "It does.", body = Condition),
        (status = 503, description = "A vital task ended; reason says which.", body = Condition),
    ),
)]
pub(super) async fn alive(State(api): State<Api>) -> Response {
    (api.state.ended)().map_or_else(|| well(None), failing)
}

/// Whether changes can be recorded.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "They can.", body = Condition),
        (
            status = 503,
            description = "The store can't be written; reason says why.",
            body = Condition,
        ),
    ),
)]
pub(super) async fn ready(State(api): State<Api>) -> Response {
    match api.state.audit.health() {
        Health::Writable => well(api.state.audit.after_violations()),
        Health::Failing(reason) => failing(reason),
    }
}

fn well(after_violations: Option<FoundAfter>) -> Response {
    Json(Condition { status: Status::Ok, reason: None, after_violations }).into_response()
}

fn failing(reason: String) -> Response {
    let (status, reason) = (Status::Failing, Some(reason));
    let condition = Condition { status, reason, after_violations: None };
    (StatusCode::SERVICE_UNAVAILABLE, Json(condition)).into_response()
}

/// Metrics.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((
        status = 200,
        description = "Prometheus' text format, or OpenMetrics where `Accept` names it.",
        content(
            (String = "text/plain"),
            (String = "application/openmetrics-text"),
        ),
    )),
)]
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> impl IntoResponse {
    let form = Exposition::asked(&headers);
    let marks =
        [(header::CONTENT_TYPE, form.content_type()), (header::VARY, header::ACCEPT.as_str())];
    (marks, form.of((api.state.metrics_text)()))
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub(super) async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI.as_str())
}
