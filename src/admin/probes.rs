//! What machines ask: whether the gateway lives, whether it can work, how it fares.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{AdminState, OPENAPI};
use crate::audit::Health;

/// As `prometheus-client` writes them.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn alive(State(state): State<AdminState>) -> Response {
    match (state.ended)() {
        None => Json(json!({"status": "ok"})).into_response(),
        Some(reason) => {
            let body = json!({"status": "failing", "reason": reason});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

pub(super) async fn ready(State(state): State<AdminState>) -> Response {
    match state.audit.health() {
        Health::Writable => Json(json!({"status": "ok"})).into_response(),
        Health::Failing(reason) => {
            let body = json!({"status": "failing", "reason": reason});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

pub(super) async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], (state.metrics_text)())
}

pub(super) async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
