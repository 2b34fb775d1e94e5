//! Upstream's answer: its body drives the connection that it comes on, and gives it back at its
//! end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::http1::Http1Connection;
use super::http2::StreamSlot;
use super::idle::Idle;

/// The body of upstream's answer.
pub(crate) struct AnswerBody {
    incoming: Incoming,
    way: Carrier,
}

/// The connection that an answer comes on.
pub(crate) enum Carrier {
    /// An HTTP/1.1 connection, which goes back to its pool once the answer was read whole.
    Http1Connection(Box<Http1Connection>, Arc<Idle>),
    /// A stream slot on a shared connection.
    StreamSlot { _held: Box<StreamSlot> },
    /// Nothing any more, or what goes on by itself.
    Free,
}

impl AnswerBody {
    pub(crate) fn new(incoming: Incoming, way: Carrier) -> Self {
        let mut body = Self { incoming, way };
        body.leave_at_end();
        body
    }

    fn leave_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if let Carrier::Http1Connection(line, idle) =
            std::mem::replace(&mut self.way, Carrier::Free)
        {
            idle.give_back(line);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        let incoming = &mut body.incoming;
        let polled = match &mut body.way {
            // Asked for first, so that driving the connection brings it.
            Carrier::Http1Connection(line, _) => match Pin::new(&mut *incoming)
                .poll_frame(&mut Context::from_waker(Waker::noop()))
            {
                Poll::Pending => line.drive_until(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
                ready @ Poll::Ready(_) => ready,
            },
            Carrier::StreamSlot { .. } | Carrier::Free => Pin::new(incoming).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(_))) => body.leave_at_end(),
            Poll::Ready(None) => body.leave(),
            Poll::Ready(Some(Err(_))) => body.way = Carrier::Free,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
