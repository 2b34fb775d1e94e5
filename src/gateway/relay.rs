//! An answer's body on its way to the client, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::passthrough::OtherWrite;
use super::pool::Returning;

/// Upstream's body, and what waits for its end: the connection it comes on, and the record of a
/// write.
pub(crate) struct Relay {
    incoming: Incoming,
    returning: Option<Returning>,
    write: Option<Box<OtherWrite>>,
}

impl Relay {
    pub(super) fn new(
        incoming: Incoming,
        returning: Returning,
        write: Option<Box<OtherWrite>>,
    ) -> Self {
        let mut relay = Self { incoming, returning: Some(returning), write };
        relay.finish_at_end();
        relay
    }

    fn finish_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(returning) = self.returning.take() {
            returning.give_back();
        }
        self.write = None;
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
        let frame = ready!(Pin::new(&mut relay.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(write), Some(data)) = (&mut relay.write, frame.data_ref()) {
                    write.answered(data.len());
                }
                relay.finish_at_end();
            }
            Some(Err(_)) => {
                relay.returning = None;
                relay.write = None;
            }
            None => relay.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
