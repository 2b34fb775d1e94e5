//! An answer's body on its way to the client, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::other_write::OtherWrite;
use crate::base::visible::chain;
use crate::upstream::response_body::AnswerBody;

/// Upstream's body, and the record of a write, which waits for its end.
pub(crate) struct Relay {
    body: AnswerBody,
    write: Option<Box<OtherWrite>>,
}

impl Relay {
    pub(super) fn new(body: AnswerBody, write: Option<Box<OtherWrite>>) -> Self {
        let mut relay = Self { body, write };
        relay.note_at_end();
        relay
    }

    fn note_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.write = None;
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let relay = self.get_mut();
        let frame = ready!(Pin::new(&mut relay.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(write), Some(data)) = (&mut relay.write, frame.data_ref()) {
                    write.answered(data.len());
                }
                relay.note_at_end();
            }
            Some(Err(error)) => {
                relay.write = None;
                tracing::warn!(error = %chain(error), "upstream's answer broke off");
            }
            None => relay.write = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
