//! Answers to clients: upstream's as it comes, or the gateway's own in the provider's envelope. One
//! table turns refusals into answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::json;

use super::memory::MemoryShare;
use super::refusal::Refusal;
use super::relay::Relay;
use crate::audit::record::signed;
use crate::base::ids::{ChangeId, RequestId};
use crate::upstream::request_body::next_piece;

/// Keeps SDKs from sending a call again by themselves.
pub(super) const SHOULD_RETRY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));

/// The body of an answer.
pub(crate) enum ReplyBody {
    /// Held whole; `None` once it was sent.
    Whole(Option<Bytes>),
    /// The same of a long one.
    Held(HeldBody),
    /// Passed on as it comes.
    Relay(Relay),
}

/// A long body, which counts as held until its client has taken it.
pub(crate) struct HeldBody {
    left: Option<Bytes>,
    _held: MemoryShare,
}

pub(crate) type Reply = Response<ReplyBody>;

impl Refusal {
    /// The answer in the provider's envelope, in which the message says who answers, and names the
    /// record of the call; the request where there is none.
    pub(super) fn into_reply(self, request_id: &RequestId, record: Option<ChangeId>) -> Reply {
        let message = match record {
            Some(change) => signed(&self.message, &change),
            None => signed(&self.message, &request_id.as_str()),
        };
        let mut error = json!({"type": self.kind, "message": message});
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
            headers.insert(SHOULD_RETRY.0, SHOULD_RETRY.1);
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

/// An answer that is held whole.
pub(super) fn whole(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole(Some(body)));
    *reply.status_mut() = status;
    reply
}

/// The answer, which counts as held by `held` until its client has taken it.
pub(super) fn holding(reply: Reply, held: MemoryShare) -> Reply {
    reply.map(|body| match body {
        ReplyBody::Whole(Some(bytes)) => match held.of_answer(bytes.len()) {
            Some(held) => ReplyBody::Held(HeldBody { left: Some(bytes), _held: held }),
            None => ReplyBody::Whole(Some(bytes)),
        },
        other => other,
    })
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(left) | Self::Held(HeldBody { left, .. }) => {
                let piece = next_piece(left).filter(|piece| !piece.is_empty());
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            Self::Relay(relay) => Pin::new(relay).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) | Self::Held(HeldBody { left: body, .. }) => {
                body.as_ref().is_none_or(Bytes::is_empty)
            }
            Self::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) | Self::Held(HeldBody { left: body, .. }) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
