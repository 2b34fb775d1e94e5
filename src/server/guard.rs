//! A client connection that is watched: a slow head, a slow reader and a long silence end it.
//!
//! hyper's own header timeout also runs while a kept-alive connection rests between two
//! requests, and answers nothing; here the two are told apart by whether a request is on its way.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::wire::Wire;

/// What a client gets whose request head takes too long.
pub(super) const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// The requests of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// On their way.
    running: AtomicUsize,
    /// Whose heads were read, ever.
    begun: AtomicUsize,
    /// Who waits for the end of the last one on its way.
    waiting: Mutex<Option<Waker>>,
}

/// One request on its way, until it is dropped.
#[derive(Debug)]
pub(super) struct RequestUnderway(Requests);

impl Requests {
    pub(super) fn begin(&self) -> RequestUnderway {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.running.fetch_add(1, Ordering::AcqRel);
        RequestUnderway(self.clone())
    }

    fn any(&self) -> bool {
        self.0.running.load(Ordering::Acquire) > 0
    }

    /// Whether any is on its way; if so, the end of the last one wakes the task.
    fn any_to_wait_for(&self, cx: &mut Context<'_>) -> bool {
        if !self.any() {
            return false;
        }
        *self.waiting() = Some(cx.waker().clone());
        // One that ended meanwhile has found nobody to wake.
        self.any()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestUnderway {
    fn drop(&mut self) {
        if self.0.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            // hyper does not read again by itself once an answer is sent, so nobody would begin
            // to count the connection's rest.
            let waiting = self.0.waiting().take();
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }
}

/// A watched connection.
#[derive(Debug)]
pub(super) struct Guarded {
    wire: Wire,
    /// Bytes that were read to tell the protocols apart.
    ahead: Option<bytes::Bytes>,
    requests: Requests,
    patience: Patience,
    /// Whether a request head is read as text, so that a late one can be answered.
    http1: bool,
    reading: Watch,
    writing: Watch,
    /// Bytes of a head have come since the last request.
    head_begun: bool,
    /// How many heads were whole when this was last looked at.
    heads: usize,
}

/// A deadline that is set when waiting begins and forgotten when it ends.
#[derive(Debug, Default)]
struct Watch {
    sleep: Option<Pin<Box<Sleep>>>,
    cause: Cause,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cause {
    #[default]
    Nothing,
    Head,
    Request,
    Reader,
}

impl Watch {
    /// Ready once `cause` has been waited for longer than `patience`, without a break.
    fn poll(&mut self, cause: Cause, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.cause != cause {
            self.cause = cause;
            let deadline = Instant::now() + patience;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn forget(&mut self) {
        self.cause = Cause::Nothing;
    }
}

impl Guarded {
    pub(super) fn new(
        wire: Wire,
        ahead: bytes::Bytes,
        http1: bool,
        requests: Requests,
        patience: Patience,
    ) -> Self {
        Self {
            wire,
            head_begun: !ahead.is_empty(),
            heads: 0,
            ahead: Some(ahead).filter(|ahead| !ahead.is_empty()),
            requests,
            patience,
            http1,
            reading: Watch::default(),
            writing: Watch::default(),
        }
    }

    /// Waiting for bytes: of a head, of the next request, or, while one is on its way, of
    /// anything for as long as it takes.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.requests.any_to_wait_for(cx) {
            self.reading.forget();
            return Poll::Pending;
        }
        if self.http1 && self.head_begun {
            ready!(self.reading.poll(Cause::Head, self.patience.header, cx));
            // Best effort: the client that is too slow may not read either.
            let _ = Pin::new(&mut self.wire).poll_write(cx, TOO_SLOW);
            let _ = Pin::new(&mut self.wire).poll_flush(cx);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(self.reading.poll(Cause::Request, self.patience.idle, cx));
        // The end of the stream, as if the client had closed: hyper then closes as well.
        Poll::Ready(Ok(()))
    }

    /// A request whose head is whole may be answered before anything waits for it: what is read
    /// from then on belongs to the next.
    fn notice_requests(&mut self) {
        let heads = self.requests.0.begun.load(Ordering::Relaxed);
        if heads != self.heads {
            self.heads = heads;
            self.head_begun = false;
            self.reading.forget();
        }
    }

    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.wire), cx) {
            self.writing.forget();
            return Poll::Ready(written);
        }
        ready!(self.writing.poll(Cause::Reader, self.patience.write, cx));
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
        if let Some(mut ahead) = guarded.ahead.take() {
            let taken = ahead.split_to(ahead.len().min(buffer.remaining()));
            buffer.put_slice(&taken);
            guarded.ahead = Some(ahead).filter(|ahead| !ahead.is_empty());
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut guarded.wire).poll_read(cx, buffer) {
            let came = buffer.filled().len() > before;
            if !guarded.requests.any() && came {
                // A head's time runs from its first byte; further bytes do not extend it.
                if !guarded.head_begun || !guarded.http1 {
                    guarded.reading.forget();
                }
                guarded.head_begun = true;
            }
            return Poll::Ready(read);
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
        self.get_mut().poll_write_with(cx, |wire, cx| wire.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |wire, cx| wire.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, Wire::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, Wire::poll_shutdown)
    }
}
