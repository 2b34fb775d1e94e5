//! Refusals of the gateway's own, each with its status and its fix.

use http::{StatusCode, Version};

use crate::audit::record::Reason;
use crate::base::ids::ChangeId;

/// A refusal of the gateway's own: what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) param: Option<String>,
    pub(super) retry_after: Option<u64>,
    /// The call may have been applied: a client must not send it again by itself.
    pub(super) may_be_applied: bool,
    /// The connection ends with it.
    pub(super) closes: bool,
}

const INVALID: &str = "invalid_request_error";

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (param, retry_after) = (None, None);
        Self { status, kind, message, param, retry_after, may_be_applied: false, closes: false }
    }

    /// Why a call was not applied, for its record.
    pub(super) fn reason(&self) -> Reason {
        let (kind, message) = (Some(self.kind.to_owned()), Some(self.message.clone()));
        Reason { status: self.status.as_u16(), kind, message, is_own: true }
    }

    pub(super) fn form(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message)
    }

    pub(super) fn unknown_method() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            INVALID,
            "this method is not known here: use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
        )
    }

    pub(super) fn expectation() -> Self {
        Self::new(
            StatusCode::EXPECTATION_FAILED,
            INVALID,
            "only Expect: 100-continue can be met: remove the header",
        )
    }

    pub(super) fn uri_too_long(max: usize) -> Self {
        Self::new(
            StatusCode::URI_TOO_LONG,
            INVALID,
            format!("the target is longer than {max} bytes"),
        )
    }

    pub(super) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            INVALID,
            "the body did not come in time: send the request again",
        )
    }

    pub(super) fn too_large(max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            INVALID,
            format!("the body is longer than {max} bytes (limits.body_bytes)"),
        )
    }

    pub(super) fn too_many_fields(max: usize) -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            INVALID,
            format!("more than {max} header fields are sent (limits.header_count)"),
        )
    }

    pub(super) fn media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, message)
    }

    pub(super) fn credential(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message)
    }

    pub(super) fn permission(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", message)
    }

    pub(super) fn precondition() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "conflict_error",
            "the deployment is no longer the one that If-Match names: read it again, then update",
        )
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict_error", message)
    }

    /// The first call with the same `Idempotency-Key` has no end yet.
    pub(super) fn still_running() -> Self {
        let message = "the first call with this Idempotency-Key is on its way: ask again later";
        Self { retry_after: Some(1), ..Self::conflict(message) }
    }

    /// A call with the `Idempotency-Key` of another one, whose change is named where it is durable.
    pub(super) fn key_of_another(change: Option<ChangeId>) -> Self {
        let named = change.map(|change| format!(" ({change})")).unwrap_or_default();
        let message = format!(
            "this Idempotency-Key came with another body or query{named}: send a key of its own \
             with each change"
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, INVALID, message)
    }

    pub(super) fn rate_limited(message: String, retry_after: u64) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { retry_after: Some(retry_after.max(1)), ..refusal }
    }

    /// The limits are shared, can't be asked, and nothing passes without them.
    pub(super) fn limits_away() -> Self {
        let message = "the limits that gateways share can't be asked: try again in 1 s; an \
            operator can bring rate_limit.backend back, or set rate_limit.away = \"share\"";
        Self::unavailable(message, Some(1))
    }

    pub(super) fn unavailable(message: impl Into<String>, retry_after: Option<u64>) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", message);
        Self { retry_after, ..refusal }
    }

    pub(super) fn crowded() -> Self {
        Self::unavailable("too many changes are on their way: try again later", Some(1))
    }

    pub(super) fn bad_gateway(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "api_error", message)
    }

    pub(super) fn gateway_timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "api_error", message)
    }

    pub(super) fn param(self, param: Option<String>) -> Self {
        Self { param, ..self }
    }

    pub(super) fn possibly_applied(self) -> Self {
        Self { may_be_applied: true, ..self }
    }

    /// The same of a call that changes no deployment, in words of its own.
    pub(super) fn possibly_carried_out(mut self) -> Self {
        self.message.push_str("; the call may have been applied: look before trying it again");
        self.possibly_applied()
    }

    /// Ends the connection after a 400 of HTTP/1.1: what follows may be taken for other messages.
    pub(super) fn closing(self, version: Version) -> Self {
        let closes = version < Version::HTTP_2 && self.status == StatusCode::BAD_REQUEST;
        Self { closes, ..self }
    }
}
