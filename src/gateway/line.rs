//! An HTTP/1.1 connection to upstream, which moves only while somebody drives it: the call that
//! sends, then the body of its answer. So a call is one task, and its answer's head and body reach
//! the client in one piece.
//!
//! While it is kept for the next call nobody drives a line. The runtime notes beside it what comes
//! meanwhile, so that the look at it before its next use costs no call to the kernel where nothing
//! came, and finds out where upstream has closed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout};

use super::dial::Dialer;
use super::upload::{Progress, RequestBody};
use crate::alarm::Alarm;
use crate::wire::Wire;

/// How long an idle line may take to be ready.
const READY_WITHIN: Duration = Duration::from_millis(50);

/// How long an answer's head is waited for.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    due: Instant,
    period: Duration,
    /// The request's body on its way: the time runs from its last progress.
    upload: Option<Arc<Progress>>,
}

/// No answer came in time.
#[derive(Debug)]
pub(super) struct Late;

/// A line.
pub(super) struct Line {
    sender: http1::SendRequest<RequestBody>,
    /// None once it has ended; what of it concerns a call, the call is told.
    connection: Option<Box<http1::Connection<TokioIo<Wire>, RequestBody>>>,
    /// Whose line it is.
    pub(super) dialer: Arc<Dialer>,
    alarm: Alarm,
    /// How often the pool had been swept when the line was given back.
    pub(super) kept_at_sweep: u64,
}

impl Patience {
    pub(super) fn new(period: Duration, upload: Option<Arc<Progress>>) -> Self {
        Self { due: Instant::now() + period, period, upload }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The body on its way, if any.
    pub(super) fn upload(&self) -> Option<&Arc<Progress>> {
        self.upload.as_ref()
    }

    /// At the end of the time: whether there is more of it, since the body made progress.
    pub(super) fn extend(&mut self) -> bool {
        let extended = self.upload.as_ref().map_or(self.due, |upload| upload.last() + self.period);
        let more = extended > self.due;
        self.due = extended.max(self.due);
        more
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({:?})", self.dialer)
    }
}

impl Line {
    /// A line over `wire`.
    pub(super) async fn over(wire: Wire, dialer: &Arc<Dialer>) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(wire)).await?;
        let connection = Some(Box::new(connection));
        let (dialer, alarm) = (Arc::clone(dialer), Alarm::default());
        Ok(Self { sender, connection, dialer, alarm, kept_at_sweep: 0 })
    }

    /// Lets the connection do what it can do now.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// The same where nobody waits for what it does. What the caller does next to the line's other
    /// end then wakes no task: neither the one that had the line before, nor the caller's own,
    /// which is about to drive the line anyway.
    pub(super) fn drive_unheard(&mut self) {
        self.drive(&mut unheard());
    }

    /// Whether it still stands, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some() && !self.sender.is_closed()
    }

    /// Whether it takes a request, within a moment.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.drive_unheard();
        if self.is_open() && self.sender.is_ready() {
            return true;
        }
        // One that was given back this instant may still be finishing.
        let ready = poll_fn(|cx| {
            self.drive(cx);
            self.sender.poll_ready(cx)
        });
        matches!(timeout(READY_WITHIN, ready).await, Ok(Ok(())))
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        mut patience: Patience,
    ) -> Result<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>, Late> {
        // Only driving the line brings the answer, so it need not wake.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let answered = poll_fn(|cx| {
            loop {
                self.drive(cx);
                if let Poll::Ready(answered) = answer.as_mut().poll(&mut unheard()) {
                    return Poll::Ready(Ok(answered));
                }
                if self.alarm.poll(patience.due, cx).is_pending() {
                    return Poll::Pending;
                }
                if !patience.extend() {
                    return Poll::Ready(Err(Late));
                }
            }
        });
        let answered = answered.await?;
        self.drive_unheard();
        Ok(answered)
    }

    /// Lets it go on by itself, for what is still to be sent on it; no other call gets it.
    pub(super) fn leave(mut self) {
        if let Some(connection) = self.connection.take() {
            // How it ends is told to the call on it.
            tokio::spawn(connection);
        }
    }
}

/// A task that nothing wakes.
pub(super) fn unheard() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
