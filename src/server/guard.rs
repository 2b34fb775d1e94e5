//! A client connection that is watched: a slow head, a slow reader and a long silence end it.
//!
//! hyper's own header timeout also runs while a kept-alive connection rests between two
//! requests, and answers nothing; here the two are told apart by whether a request is on its way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::control_frames::{ControlFrameBudget, Noise};
use crate::net::stream::Wire;
use crate::net::throughput::StallMeter;
use crate::net::timer::LazyTimer;

/// The answer to a client whose request head takes too long.
pub(super) const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
    /// For each share of an answer, see [`StallMeter`].
    pub(super) pace: Duration,
}

/// The requests of a connection.
#[derive(Clone, Debug)]
pub(super) struct Requests(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// On their way.
    running: AtomicUsize,
    /// The number of requests whose heads were read, ever.
    begun: AtomicUsize,
    /// The client is to take more before anything else can be sent.
    writing: AtomicBool,
    opened_at: Instant,
    /// When the last one ended, in milliseconds from `opened_at`.
    ended_millis: AtomicU64,
    /// Since when one of them waits for the client, likewise; zero where none does.
    held_up_millis: AtomicU64,
}

/// One request on its way, until it is dropped.
#[derive(Debug)]
pub(super) struct RequestUnderway(Requests);

impl Requests {
    pub(super) fn new() -> Self {
        Self(Arc::new(Counts {
            running: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            writing: AtomicBool::new(false),
            opened_at: Instant::now(),
            ended_millis: AtomicU64::new(0),
            held_up_millis: AtomicU64::new(0),
        }))
    }

    pub(super) fn begin(&self) -> RequestUnderway {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.running.fetch_add(1, Ordering::AcqRel);
        RequestUnderway(self.clone())
    }

    /// How many heads were read, ever.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn any(&self) -> bool {
        self.0.running.load(Ordering::Acquire) > 0
    }

    /// Since when none is on its way; `None` where one is, or an answer's end.
    pub(super) fn resting_since(&self) -> Option<Instant> {
        let since = Duration::from_millis(self.0.ended_millis.load(Ordering::Relaxed));
        let rests = !self.any() && !self.0.writing.load(Ordering::Relaxed);
        rests.then(|| self.0.opened_at + since)
    }

    /// How long ago the connection was opened.
    pub(super) fn age(&self) -> Duration {
        self.0.opened_at.elapsed()
    }

    /// Since when the client has kept one of them waiting: for the rest of its body, or to be
    /// taken. `None` where it does not.
    pub(super) fn held_up_since(&self) -> Option<Instant> {
        let since = self.0.held_up_millis.load(Ordering::Relaxed);
        (since > 0).then(|| self.0.opened_at + Duration::from_millis(since))
    }

    /// The client keeps one of them waiting from now on, or no longer.
    pub(super) fn hold_up(&self, is_held_up: bool) {
        let since = if is_held_up { self.0.millis().max(1) } else { 0 };
        self.0.held_up_millis.store(since, Ordering::Relaxed);
    }

    /// Whether the client is to take more before anything else can be sent.
    fn write(&self, is_writing: bool) {
        if self.0.writing.swap(is_writing, Ordering::Relaxed) && !is_writing {
            self.rest();
        }
    }

    /// A rest starts anew.
    fn rest(&self) {
        self.0.ended_millis.store(self.0.millis(), Ordering::Relaxed);
    }
}

impl Counts {
    /// From the connection's opening until now.
    fn millis(&self) -> u64 {
        u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for RequestUnderway {
    fn drop(&mut self) {
        self.0.rest();
        self.0.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A watched connection.
#[derive(Debug)]
pub(super) struct Guarded {
    wire: Wire,
    /// Bytes that were read to tell the protocols apart.
    ahead: Option<bytes::Bytes>,
    requests: Requests,
    patience: ConnectionTimeouts,
    /// HTTP/2's frame budget; `None` on HTTP/1.1, where a head is text and a late one is answered.
    pace: Option<ControlFrameBudget>,
    reading: LazyTimer,
    writing: LazyTimer,
    /// Bytes of a head have come since the last request.
    head_begun: bool,
    /// When the rest of that head has to be there; `None` where nothing waited for it yet.
    head_due: Option<Instant>,
    /// Read-stall tracking; `None` while the client keeps up.
    taking: Option<StallMeter>,
    /// How many heads were whole when this was last looked at.
    heads: usize,
    /// The client has closed or broken the connection, which was held back once.
    end_held_back: bool,
}

impl Guarded {
    pub(super) fn new(
        wire: Wire,
        ahead: bytes::Bytes,
        http1: bool,
        requests: Requests,
        patience: ConnectionTimeouts,
    ) -> Self {
        Self {
            wire,
            head_begun: !ahead.is_empty(),
            heads: 0,
            end_held_back: false,
            ahead: Some(ahead).filter(|ahead| !ahead.is_empty()),
            requests,
            patience,
            pace: (!http1).then(ControlFrameBudget::new),
            reading: LazyTimer::default(),
            writing: LazyTimer::default(),
            head_due: None,
            taking: None,
        }
    }

    /// Reads from the client, without a watch over how long it takes.
    pub(super) fn poll_wire(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, buffer)
    }

    /// Waiting for bytes: of a head, of the next request, or, while one is on its way, of
    /// anything for as long as it takes.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pace) = &self.pace {
            // Until a client of HTTP/2 has asked for something, nobody knows that it ever will; and
            // within the fields of a request no other has its turn.
            if self.heads == 0 || pace.is_in_fields() {
                let due = Instant::now() + self.patience.header;
                let due = *self.head_due.get_or_insert(due);
                ready!(self.reading.poll(due, cx));
                return self.poll_farewell(cx);
            }
            self.head_due = None;
        }
        let Some(resting_since) = self.requests.resting_since() else {
            // hyper does not read again by itself once an answer is sent: the timer sees to it
            // that somebody looks, in time, whether the connection rests.
            self.reading.wake_within(self.patience.idle, cx);
            return Poll::Pending;
        };
        if self.pace.is_none() && self.head_begun {
            let due = *self.head_due.get_or_insert_with(|| Instant::now() + self.patience.header);
            ready!(self.reading.poll(due, cx));
            // Best effort: the client that is too slow may not read either.
            let _ = Pin::new(&mut self.wire).poll_write(cx, TOO_SLOW);
            let _ = Pin::new(&mut self.wire).poll_flush(cx);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(self.reading.poll(resting_since + self.patience.idle, cx));
        self.poll_farewell(cx)
    }

    /// The end of the stream, as if the client had closed: hyper then closes as well.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What has just been read may hold a request that nobody has seen yet.
        if self.pace.is_some() && self.hold_end_back(cx) {
            return Poll::Pending;
        }
        if let Some(pace) = self.pace.as_ref().filter(|_| self.requests.resting_since().is_some()) {
            // Best effort, and between two frames, since nothing is on its way.
            let _ = Pin::new(&mut self.wire).poll_write(cx, &pace.farewell());
            let _ = Pin::new(&mut self.wire).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// A request whose head is whole may be answered before anything waits for it: what is read
    /// from then on belongs to the next.
    fn notice_requests(&mut self) {
        let heads = self.requests.begun();
        if heads != self.heads {
            self.heads = heads;
            self.head_begun = false;
            self.head_due = None;
        }
    }

    /// Looks at what came on HTTP/2. A client that floods is not heard any longer.
    fn keep_pace(&mut self, came: &[u8]) -> io::Result<()> {
        let Some(pace) = &mut self.pace else { return Ok(()) };
        pace.watch(came).map_err(|noise: Noise| {
            tracing::debug!(reason = %noise, "a connection is not heard any longer");
            io::Error::new(io::ErrorKind::InvalidData, noise)
        })
    }

    /// The first time that the end comes, it waits for one more turn of the connection's task.
    ///
    /// hyper reads on while a request is on its way. Where it comes upon the end in the same turn
    /// in which the request came, it gives the request up before anybody has seen it: what a
    /// client sends and does not wait for would be lost.
    fn hold_end_back(&mut self, cx: &mut Context<'_>) -> bool {
        let held_back = !std::mem::replace(&mut self.end_held_back, true);
        if held_back {
            cx.waker().wake_by_ref();
        }
        held_back
    }

    fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_held(cx))?;
        let written = self.poll_write_with(cx, write, |taken| Some(*taken));
        if let (Poll::Ready(Ok(bytes)), Some(pace)) = (&written, &mut self.pace) {
            pace.sent(*bytes);
        }
        written
    }

    /// Hands something over, watching how long the client takes to take it. `moved` tells how much
    /// it took; `None` where it took all that there was.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<io::Result<T>>,
        moved: impl FnOnce(&T) -> Option<usize>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.wire), cx) {
            let Some(taking) = &mut self.taking else { return Poll::Ready(written) };
            self.requests.write(false);
            match written.as_ref().ok().and_then(moved) {
                Some(bytes) if taking.advance(bytes, self.patience.pace).is_err() => {
                    return self.forsake();
                }
                Some(_) => {}
                None => {
                    self.requests.hold_up(false);
                    self.taking = None;
                }
            }
            return Poll::Ready(written);
        }
        if self.taking.is_none() {
            self.requests.hold_up(true);
        }
        self.requests.write(true);
        let due = self.taking.get_or_insert_default().wait() + self.patience.write;
        ready!(self.writing.poll(due, cx));
        self.forsake()
    }

    /// Before a client is handed more that has kept us waiting: what a TLS session still holds for
    /// it. The session takes more than the client does, which would look like progress.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.taking.is_none() || self.wire.is_clear() {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_with(cx, Wire::poll_flush, |()| None)
    }

    /// Gives up a client that does not take its answer.
    fn forsake<T>(&self) -> Poll<io::Result<T>> {
        self.wire.forsake();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guarded = self.get_mut();
        guarded.notice_requests();
        if guarded.pace.as_mut().is_some_and(ControlFrameBudget::ends_turn) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(mut ahead) = guarded.ahead.take() {
            let taken = ahead.split_to(ahead.len().min(buffer.remaining()));
            buffer.put_slice(&taken);
            guarded.ahead = Some(ahead).filter(|ahead| !ahead.is_empty());
            return Poll::Ready(guarded.keep_pace(&taken));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut guarded.wire).poll_read(cx, buffer) {
            let came = buffer.filled().len() > before;
            let is_end = read.is_err() || (!came && buffer.remaining() > 0);
            if is_end && guarded.hold_end_back(cx) {
                return Poll::Pending;
            }
            if came && !guarded.requests.any() {
                // A head's time runs from its first byte; further bytes do not extend it.
                guarded.head_begun = true;
            }
            guarded.end_held_back &= !came;
            let came = buffer.filled().get(before..).unwrap_or_default();
            return Poll::Ready(read.and_then(|()| guarded.keep_pace(came)));
        }
        guarded.poll_silence(cx)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bytes(cx, |wire, cx| wire.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bytes(cx, |wire, cx| wire.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, Wire::poll_flush, |()| None)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, Wire::poll_shutdown, |()| None)
    }
}
