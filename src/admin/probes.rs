//! Probes of machines: whether the gateway lives, whether it can work, how it fares.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::exposition::Exposition;
use super::{Api, OPENAPI};
use crate::audit::{FoundAfter, Gateways, Health};
use crate::config::RefusedConfig;

/// The answer to a probe.
#[derive(Default, Serialize, ToSchema)]
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
    /// The configuration on disk where it was refused, its policy included: the former one is in
    /// force. Absent where the one on disk is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    config_refused: Option<RefusedConfig>,
}

/// The answer to the probe whether changes can be recorded.
#[derive(Serialize, ToSchema)]
struct Readiness {
    #[serde(flatten)]
    condition: Condition,
    /// Names the policy in force.
    policy_digest: String,
    /// The name of this gateway.
    node: String,
    #[serde(flatten)]
    gateways: Gateways,
}

/// Whether all is well.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ProbeStatus)]
enum Status {
    #[default]
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
    (api.state.ended)().map_or_else(|| well(Condition::default()), failing)
}

/// Whether changes can be recorded.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "They can.", body = Readiness),
        (
            status = 503,
            description = "The store can't be written; reason says why.",
            body = Readiness,
        ),
    ),
)]
pub(super) async fn ready(State(api): State<Api>) -> Response {
    let audit = &api.state.audit;
    let (code, condition) = match audit.health() {
        Health::Writable => (StatusCode::OK, Condition::default()),
        Health::Failing(reason) => (StatusCode::SERVICE_UNAVAILABLE, Condition::failing(reason)),
    };
    let condition = Condition {
        after_violations: audit.after_violations(),
        config_refused: (api.state.refused_config)(),
        ..condition
    };
    let policy_digest = (api.state.policy)().digest.clone();
    let (node, gateways) = ((api.state.node)(), audit.gateways());
    (code, Json(Readiness { condition, policy_digest, node, gateways })).into_response()
}

impl Condition {
    fn failing(reason: String) -> Self {
        Self { status: Status::Failing, reason: Some(reason), ..Self::default() }
    }
}

fn well(condition: Condition) -> Response {
    Json(condition).into_response()
}

fn failing(reason: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(Condition::failing(reason))).into_response()
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
