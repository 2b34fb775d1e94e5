//! Bytes that are not a request.

use http::StatusCode;

use crate::gateway::Gateway;
use crate::telemetry::CallClass;

/// The answer to bytes that are not a request, as it goes out: bare, and the connection's end.
pub(super) fn malformed(gateway: &Gateway, status: StatusCode) -> Vec<u8> {
    gateway.metrics.request(CallClass::Refused, false, status);
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes()
}
