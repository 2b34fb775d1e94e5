//! Probes of machines: whether the gateway lives, whether it can work, how it fares.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Api, OPENAPI};
use crate::audit::Health;

/// As `prometheus-client` writes them.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn alive(State(api): State<Api>) -> Response {
    match (api.state.ended)() {
        None => Json(json!({"status": "ok"})).into_response(),
        Some(reason) => {
            let body = json!({"status": "failing", "reason": reason});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

pub(super) async fn ready(State(api): State<Api>) -> Response {
    match api.state.audit.health() {
        Health::Writable => match api.state.audit.after_violations() {
            None => Json(json!({"status": "ok"})).into_response(),
            Some(found) => Json(json!({"status": "ok", "after_violations": found})).into_response(),
        },
        Health::Failing(reason) => {
            let body = json!({"status": "failing", "reason": reason});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], (api.state.metrics_text)())
}

pub(super) async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
