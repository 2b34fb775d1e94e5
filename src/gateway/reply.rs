//! What a client gets: upstream's answer as it comes, or the gateway's own in the provider's
//! envelope. One table turns refusals into answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use serde_json::json;

use super::Gateway;
use super::relay::Relay;
use crate::ids::RequestId;
use crate::telemetry::CallClass;
use crate::upstream::request_body::next_piece;

/// The gateway's own "no": what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) param: Option<String>,
    pub(super) retry_after: Option<u64>,
    /// The change may have been applied: a client must not send it again by itself.
    pub(super) may_be_applied: bool,
    /// The connection ends with it.
    closes: bool,
}

/// The body of an answer.
pub(crate) enum ReplyBody {
    /// Held whole; none once it was sent.
    Whole(Option<Bytes>),
    /// Passed on as it comes.
    Relay(Relay),
}

pub(crate) type Reply = Response<ReplyBody>;

const INVALID: &str = "invalid_request_error";

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (param, retry_after) = (None, None);
        Self { status, kind, message, param, retry_after, may_be_applied: false, closes: false }
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

    pub(super) fn rate_limited(message: &str, retry_after: u64) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { retry_after: Some(retry_after.max(1)), ..refusal }
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

    /// Who takes a message of HTTP/1.1 for another one may take what follows it for others, too.
    pub(super) fn closing(self, version: Version) -> Self {
        let closes = version < Version::HTTP_2 && self.status == StatusCode::BAD_REQUEST;
        Self { closes, ..self }
    }

    /// The answer in the provider's envelope.
    pub(super) fn into_reply(self, request_id: &RequestId) -> Reply {
        let mut error = json!({"type": self.kind, "message": self.message});
        if let (Some(param), Some(object)) = (self.param, error.as_object_mut()) {
            object.insert("param".to_owned(), param.into());
        }
        let envelope = json!({"type": "error", "error": error, "request_id": request_id.as_str()});
        let mut reply = whole(self.status, Bytes::from(envelope.to_string()));
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // What a browser shows of it is text that a caller may have chosen.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.may_be_applied {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    }
}

/// The answer to bytes that are no request, as it goes out: bare, and the connection's end.
pub(crate) fn malformed(gateway: &Gateway, status: StatusCode) -> Vec<u8> {
    gateway.metrics.request(CallClass::Refused, false, status);
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// An answer that is held whole.
pub(super) fn whole(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole(Some(body)));
    *reply.status_mut() = status;
    reply
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(left) => {
                let piece = next_piece(left).filter(|piece| !piece.is_empty());
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            Self::Relay(relay) => Pin::new(relay).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Self::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
