//! A client connection of HTTP/1.1 on which only well-formed messages come through: other bytes
//! are answered here, after every request before them, and end the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::guard::{Guarded, Requests};
use super::malformed::malformed;
use super::peer::Peer;
use crate::gateway::Gateway;
use crate::http::framing::{Framing, Malformed};
use crate::net::throughput::SHARE_BYTES;
use crate::net::timer::LazyTimer;

/// How soon, and at last how often, it is looked whether the requests before are answered: the
/// parser does not always ask again by itself.
const LOOK_AFTER: Duration = Duration::from_millis(20);
const LOOK_EVERY_AT_MOST: Duration = Duration::from_secs(1);

/// How long, and how many bytes, the client may go on sending after its answer: closed at once, a
/// connection with bytes unread loses the answer (RFC 9112, 9.6).
const LINGERS: Duration = Duration::from_millis(500);
const LINGERING_READS_MAX: usize = 64;

/// A connection whose bytes are looked at.
pub(super) struct Framed {
    guarded: Guarded,
    framing: Framing,
    /// How much of a body has come since it was first waited for; `None` where it is not.
    awaited: Option<usize>,
    requests: Requests,
    gateway: Arc<Gateway>,
    end: Option<Box<End>>,
}

/// The end of a connection after bytes that are not a message.
struct End {
    malformed: Malformed,
    /// The rest that is still to be sent; `None` before it is the answer's turn.
    answer: Option<Vec<u8>>,
    look_after: Duration,
    closes_at: Option<Instant>,
    reads: usize,
    alarm: LazyTimer,
}

impl Framed {
    pub(super) fn new(guarded: Guarded, peer: &Peer) -> Self {
        Self {
            guarded,
            framing: Framing::default(),
            awaited: None,
            requests: peer.requests.clone(),
            gateway: Arc::clone(&peer.gateway),
            end: None,
        }
    }

    /// Whether every request that came has been answered.
    fn is_at_rest(&self) -> bool {
        self.requests.begun() == self.framing.heads() && self.requests.resting_since().is_some()
    }

    /// Nothing has come: within a body, the client keeps its request waiting until it has brought
    /// its share.
    fn note_wait(&mut self) {
        let begun = self.requests.begun() == self.framing.heads();
        if self.awaited.is_none() && begun && self.framing.is_within_body() {
            self.awaited = Some(0);
            self.requests.hold_up(true);
        }
    }

    fn note_bytes(&mut self, came: usize) {
        let Some(bytes) = &mut self.awaited else { return };
        *bytes += came;
        if *bytes >= SHARE_BYTES || !self.framing.is_within_body() {
            self.awaited = None;
            self.requests.hold_up(false);
        }
    }

    /// Leads the connection to its end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_at_rest = self.is_at_rest();
        let Some(end) = &mut self.end else { return Poll::Ready(Ok(())) };
        let Malformed { in_body, fault, .. } = end.malformed;
        let broken = io::Error::new(io::ErrorKind::InvalidData, fault.message());
        if in_body {
            // Its request is being answered: that its body is none is told there.
            return Poll::Ready(Err(broken));
        }
        if end.answer.is_none() {
            if !is_at_rest {
                end.alarm.wake_within(end.look_after, cx);
                end.look_after = (end.look_after * 2).min(LOOK_EVERY_AT_MOST);
                return Poll::Pending;
            }
            let Some(status) = fault.status() else { return Poll::Ready(Ok(())) };
            tracing::debug!(reason = fault.message(), "what came is not a message");
            end.answer = Some(malformed(&self.gateway, status));
        }
        ready!(end.poll_farewell(&mut self.guarded, cx));
        Poll::Ready(Err(broken))
    }
}

impl End {
    /// Sends the answer, and hears the client out for a moment.
    fn poll_farewell(&mut self, guarded: &mut Guarded, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(answer) = self.answer.as_mut().filter(|answer| !answer.is_empty()) {
            match ready!(Pin::new(&mut *guarded).poll_write(cx, answer)) {
                Ok(written @ 1..) => drop(answer.drain(..written)),
                _ => return Poll::Ready(()),
            }
        }
        if self.closes_at.is_none() {
            if ready!(Pin::new(&mut *guarded).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.closes_at = Some(Instant::now() + LINGERS);
        }
        while self.reads < LINGERING_READS_MAX {
            self.reads += 1;
            let mut room = [0; 1024];
            let mut unread = ReadBuf::new(&mut room);
            match guarded.poll_wire(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let closes_at = self.closes_at.unwrap_or_else(Instant::now);
                    return self.alarm.poll(closes_at, cx);
                }
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Framed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let framed = self.get_mut();
        if framed.end.is_some() {
            return framed.poll_end(cx);
        }
        let before = buffer.filled().len();
        if Pin::new(&mut framed.guarded).poll_read(cx, buffer)?.is_pending() {
            framed.note_wait();
            return Poll::Pending;
        }
        let came = buffer.filled().get(before..).unwrap_or_default();
        let watched = framed.framing.watch(came);
        framed.note_bytes(came.len());
        let Err(malformed) = watched else { return Poll::Ready(Ok(())) };
        buffer.set_filled(before + malformed.sound);
        framed.end = Some(Box::new(End {
            malformed,
            answer: None,
            look_after: LOOK_AFTER,
            closes_at: None,
            reads: 0,
            alarm: LazyTimer::default(),
        }));
        if malformed.sound > 0 { Poll::Ready(Ok(())) } else { framed.poll_end(cx) }
    }
}

impl AsyncWrite for Framed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().guarded).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().guarded).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { guarded, end, .. } = self.get_mut();
        match end {
            // Its request was answered although its body is none: that, too, is to arrive.
            Some(end) => end.poll_farewell(guarded, cx).map(Ok),
            None => Pin::new(guarded).poll_shutdown(cx),
        }
    }
}
