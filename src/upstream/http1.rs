//! An HTTP/1.1 connection to upstream, which moves only while somebody drives it: the call that
//! sends, then the body of its answer. So a call is one task, and its answer's head and body reach
//! the client in one piece.
//!
//! While it is kept for the next call, nobody drives it. The runtime notes beside it what comes
//! meanwhile, so that the look at it before its next use costs no call to the kernel where nothing
//! came, and finds out where upstream has closed.

use std::future::poll_fn;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout};

use super::endpoint::Dialer;
use super::recall::RecallingWire;
use super::request_body::{Progress, RequestBody};
use crate::net::stream::Wire;
use crate::net::timer::LazyTimer;

/// How long an idle connection may take to be ready.
const READY_WITHIN: Duration = Duration::from_millis(50);

/// The most that a connection holds of what it reads or writes, in bytes, where no longer head of
/// an answer is allowed.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The most fields for which hyper's parser needs no room of its own, and its default.
const FIELDS_MAX: usize = 100;

/// How long an answer's head is waited for.
#[derive(Clone, Debug)]
pub(crate) struct ResponseDeadline {
    due: Instant,
    period: Duration,
    /// The request's body on its way: the time runs from its last progress.
    upload: Option<Arc<Progress>>,
}

/// The result of a request: an answer's head, its body to come, or the error, and the request
/// where it is untouched.
pub(crate) type Heard = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// No answer came in time.
#[derive(Debug)]
pub(crate) struct ResponseTimeout;

/// An HTTP/1.1 connection to upstream.
pub(crate) struct Http1Connection {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once it has ended; what of it concerns a call, the call is told.
    connection: Option<Box<http1::Connection<TokioIo<RecallingWire>, RequestBody>>>,
    /// The request that was sent last; `None` unless it was remembered and the connection ended
    /// without an answer to it.
    unanswered: Option<Box<Request<RequestBody>>>,
    /// Makes the wire remember the head that is sent next.
    recalls: Arc<AtomicBool>,
    /// The endpoint that it leads to.
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) address: SocketAddr,
    alarm: LazyTimer,
    /// How often the pool had been swept when the connection was given back.
    pub(crate) kept_at_sweep: u64,
    /// The same when it was made.
    pub(crate) made_at_sweep: u64,
}

impl ResponseDeadline {
    pub(crate) fn new(period: Duration, upload: Option<Arc<Progress>>) -> Self {
        Self { due: Instant::now() + period, period, upload }
    }

    /// The time begins now.
    pub(crate) fn begin(&mut self) {
        self.due = Instant::now() + self.period;
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// The body on its way, if any.
    pub(crate) fn upload(&self) -> Option<&Arc<Progress>> {
        self.upload.as_ref()
    }

    /// At the end of the time: whether there is more of it, since the body made progress.
    pub(crate) fn extend(&mut self) -> bool {
        let extended = self.upload.as_ref().map_or(self.due, |upload| upload.last() + self.period);
        let more = extended > self.due;
        self.due = extended.max(self.due);
        more
    }
}

impl std::fmt::Debug for Http1Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http1Connection({:?})", self.dialer)
    }
}

impl Http1Connection {
    /// A connection over `wire`.
    pub(crate) async fn over(
        wire: Wire,
        dialer: &Arc<Dialer>,
        address: SocketAddr,
    ) -> Result<Box<Self>, hyper::Error> {
        let recalls = Arc::<AtomicBool>::default();
        let wire = RecallingWire::new(wire, Arc::clone(&recalls));
        let heads = dialer.heads;
        let mut builder = http1::Builder::new();
        // Most messages are small: one copy of them costs less than two places to write from.
        builder.writev(false).max_buf_size(BUFFER_BYTES_MAX.max(heads.bytes));
        builder.max_header_size(heads.bytes);
        if heads.fields != FIELDS_MAX {
            builder.max_headers(heads.fields);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(wire)).await?;
        Ok(Box::new(Self {
            sender,
            connection: Some(Box::new(connection)),
            unanswered: None,
            recalls,
            dialer: Arc::clone(dialer),
            address,
            alarm: LazyTimer::default(),
            kept_at_sweep: 0,
            made_at_sweep: 0,
        }))
    }

    /// Lets the connection do what it can do now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(ended) = self.connection.take() {
            self.unanswered = ended.into_parts().io.into_inner().unanswered().map(Box::new);
        }
    }

    /// Drives the connection until `poll` is ready, which only that can bring about.
    ///
    /// First with a waker that wakes nobody: where that is enough, whatever is done later to the
    /// caller's half, by this task or the next that gets the connection, wakes no task for nothing.
    pub(crate) fn drive_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut unheard = Context::from_waker(Waker::noop());
        self.drive(&mut unheard);
        if let Poll::Ready(ready) = poll(&mut unheard) {
            return Poll::Ready(ready);
        }
        self.drive(cx);
        poll(&mut unheard)
    }

    /// Whether it may carry another call, as far as was seen when it was last driven.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.is_some() && !self.sender.is_closed()
    }

    /// Looks whether it was closed while nobody drove it.
    pub(crate) fn look(&mut self) {
        self.drive(&mut Context::from_waker(Waker::noop()));
    }

    /// Whether it takes a request, within a moment: one that was given back this instant may still
    /// be finishing. What has come of it meanwhile shows when the request is sent.
    pub(crate) async fn is_ready(&mut self) -> bool {
        if self.sender.is_ready() {
            return true;
        }
        let ready = poll_fn(|cx| {
            self.drive(cx);
            self.sender.poll_ready(cx)
        });
        matches!(timeout(READY_WITHIN, ready).await, Ok(Ok(())))
    }

    /// Remembers the next request, which has no body, until something of its answer has come.
    pub(crate) fn recall_next(&self) {
        self.recalls.store(true, Ordering::Relaxed);
    }

    /// Takes a request; [`hear`](Self::hear) sends it.
    pub(crate) fn ask(
        &mut self,
        request: &mut Request<RequestBody>,
    ) -> impl Future<Output = Heard> + use<> {
        *request.version_mut() = Version::HTTP_11;
        relative(request);
        request.headers_mut().insert(header::HOST, self.dialer.authority().clone());
        // What brings the answer has a share of the task's time already.
        unconstrained(self.sender.try_send_request(mem::take(request)))
    }

    /// Sends what it was asked and waits for the answer's head.
    pub(crate) async fn hear(
        &mut self,
        mut answer: Pin<&mut impl Future<Output = Heard>>,
        patience: &mut ResponseDeadline,
    ) -> Result<Heard, ResponseTimeout> {
        let mut sent = false;
        poll_fn(|cx| {
            let heard = |cx: &mut Context<'_>| answer.as_mut().poll(cx);
            let answered = if mem::replace(&mut sent, true) {
                self.drive_until(cx, heard)
            } else {
                // There can't be an answer yet: this sends.
                self.drive(cx);
                answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            };
            if let Poll::Ready(answered) = answered {
                return Poll::Ready(Ok(answered));
            }
            while self.alarm.poll(patience.due, cx).is_ready() {
                if !patience.extend() {
                    return Poll::Ready(Err(ResponseTimeout));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Lets it go on by itself, for what is still to be sent on it; no other call gets it.
    pub(crate) fn leave(mut self) {
        if let Some(connection) = self.connection.take() {
            // How it ends is told to the call on it.
            tokio::spawn(connection);
        }
    }

    /// The request that it was asked last, where that [recalls](Self::recall_next) and not a byte
    /// of an answer has come.
    pub(crate) fn into_unanswered(mut self) -> Option<Request<RequestBody>> {
        self.end();
        self.unanswered.map(|request| *request)
    }
}

/// HTTP/1.1 names the path alone, also where an HTTP/2 connection gave the request back.
fn relative(request: &mut Request<RequestBody>) {
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }
}
