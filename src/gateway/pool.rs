//! Connections to upstream that are kept for the next call, and the sending of one request.
//!
//! A request is handed to a connection once. Where the connection gives it back untouched
//! (hyper's `TrySendError::take_message`), not a byte of it was written and another connection
//! gets it; in every other case it counts as sent, and is never sent again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response, Uri, Version, header, uri};
use hyper::client::conn::TrySendError;
use tokio::time::{timeout, timeout_at};

use super::answered::{AnswerBody, Way};
use super::dial::{DialError, Dialed, Dialer};
use super::line::{Late, Line, Patience};
use super::shared::{Place, Shared};
use super::upload::{Progress, RequestBody};

/// The most idle connections kept by one worker.
const IDLE_MAX: usize = 256;

/// How often idle connections are looked through.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The sweep at which an idle connection is closed. It was idle for ten to fifteen seconds then:
/// less than servers usually keep theirs.
const IDLE_SWEEPS_MAX: u64 = 3;

/// How many connections may give a request back before it fails.
const TRIES_MAX: usize = 4;

/// One worker's connections to upstream.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Line>>,
    shared: tokio::sync::Mutex<Shared>,
    sweeps: AtomicU64,
}

enum Lease {
    Http1(Line),
    Http2(Place),
}

/// Upstream's answer, its body to come.
pub(super) type Answered = Response<AnswerBody>;

type Attempted<T> = Result<Result<T, TrySendError<Request<RequestBody>>>, Late>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Surely not a byte of the request was sent.
    #[error("no connection to upstream")]
    NotSent(#[source] DialError),
    /// The connection gave the request back too often.
    #[error("upstream closes every connection before a request")]
    Refused(#[source] hyper::Error),
    /// The request was sent, at least in part.
    #[error("upstream broke the connection")]
    Broken(#[source] hyper::Error),
    /// The request was sent; upstream switched protocols, which nobody asked for.
    #[error("upstream switched protocols")]
    Switched,
    /// The request was sent; the answer's head did not come in time.
    #[error("upstream did not answer in time")]
    Timeout,
}

impl SendError {
    /// Whether upstream may have seen the request.
    pub(super) fn was_sent(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Switched | Self::Timeout)
    }
}

impl From<Late> for SendError {
    fn from(_late: Late) -> Self {
        Self::Timeout
    }
}

impl Pool {
    /// Sends a request in origin-form and waits for the answer's head, at most `response_timeout`
    /// from the end of the request.
    pub(super) async fn send(
        self: &Arc<Self>,
        dialer: &Arc<Dialer>,
        mut request: Request<RequestBody>,
        progress: Option<Arc<Progress>>,
        response_timeout: Duration,
    ) -> Result<Answered, SendError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let last = tries > TRIES_MAX;
            let lease = match (self.pop(dialer).await, last) {
                (Some(line), false) => Lease::Http1(line),
                // Boxed: connecting takes room that a call on a kept connection need not have.
                (_, false) => Box::pin(self.connect(dialer)).await.map_err(SendError::NotSent)?,
                (_, true) => Box::pin(self.own(dialer)).await.map_err(SendError::NotSent)?,
            };
            let patience = Patience::new(response_timeout, progress.clone());
            let (attempted, shared) = match lease {
                Lease::Http1(line) => (self.send_alone(line, request, patience).await, false),
                Lease::Http2(place) => {
                    (Box::pin(send_shared(dialer, place, request, patience)).await, true)
                }
            };
            let mut failed = match attempted {
                Ok(Ok(answered)) if answered.status().is_informational() => {
                    return Err(SendError::Switched);
                }
                Ok(Ok(answered)) => return Ok(answered),
                Ok(Err(failed)) => Ok(failed),
                Err(late) => Err(late),
            };
            let untouched = failed.as_mut().ok().and_then(TrySendError::take_message);
            if shared && (untouched.is_some() || failed.is_err()) {
                // It takes no requests, or may be dead without knowing: the next call gets another.
                self.shared.lock().await.forget();
            }
            let error = failed?.into_error();
            match untouched {
                None => return Err(SendError::Broken(error)),
                // Every connection gave it back; the last try says why.
                Some(_) if last => return Err(SendError::Refused(error)),
                Some(untouched) => request = untouched,
            }
        }
    }

    /// Sends on a connection that has no other call.
    async fn send_alone(
        self: &Arc<Self>,
        mut line: Line,
        mut request: Request<RequestBody>,
        patience: Patience,
    ) -> Attempted<Answered> {
        *request.version_mut() = Version::HTTP_11;
        relative(&mut request);
        request.headers_mut().insert(header::HOST, line.dialer.authority().clone());
        let upload = patience.upload().cloned();
        let sent = line.send(request, patience).await?;
        Ok(sent.map(|response| {
            // An answer may be slow to be taken; what is still being sent does not wait for it.
            if upload.is_some_and(|upload| !upload.is_finished()) {
                line.leave();
                return response.map(|incoming| AnswerBody::new(incoming, Way::Free));
            }
            let pool = Arc::clone(self);
            response.map(|incoming| AnswerBody::new(incoming, Way::Line(line, pool)))
        }))
    }

    /// A connection that is new or shared, where none is idle.
    async fn connect(&self, dialer: &Arc<Dialer>) -> Result<Lease, DialError> {
        if !dialer.may_share() {
            return self.own(dialer).await;
        }
        // One call connects, the others wait for what it gets. They do not wait one after another
        // for an upstream that takes no connection, nor for connections that can't be shared.
        let waited = timeout(dialer.connect_timeout(), self.shared.lock()).await;
        let mut shared = waited.map_err(|_elapsed| DialError::Timeout)?;
        if let Some(place) = shared.place(dialer) {
            return Ok(Lease::Http2(place));
        }
        if !dialer.may_share() {
            drop(shared);
            return self.own(dialer).await;
        }
        self.dialed(dialer, &mut shared).await
    }

    /// A new connection that no other call gets beside this one.
    async fn own(&self, dialer: &Arc<Dialer>) -> Result<Lease, DialError> {
        self.dialed(dialer, &mut Shared::default()).await
    }

    /// A new connection; one that can be shared is then held by `shared`.
    async fn dialed(&self, dialer: &Arc<Dialer>, shared: &mut Shared) -> Result<Lease, DialError> {
        Ok(match dialer.dial().await? {
            Dialed::Http1(line) => Lease::Http1(line),
            Dialed::Http2(sender) => Lease::Http2(shared.add(sender, dialer)),
        })
    }

    /// The connection used last: the others may then grow old together.
    async fn pop(&self, dialer: &Arc<Dialer>) -> Option<Line> {
        loop {
            let last = self.idle().pop();
            let mut line = last?;
            let fresh = self.sweeps.load(Ordering::Relaxed) - line.kept_at_sweep < IDLE_SWEEPS_MAX;
            if fresh && Arc::ptr_eq(&line.dialer, dialer) && line.is_ready().await {
                return Some(line);
            }
        }
    }

    /// Takes back a connection whose call is over.
    pub(super) fn give_back(&self, mut line: Line) {
        line.kept_at_sweep = self.sweeps.load(Ordering::Relaxed);
        let mut idle = self.idle();
        if line.is_open() && idle.len() < IDLE_MAX {
            idle.push(line);
        }
    }

    /// Closes what has been idle for too long, and what upstream has closed. For every
    /// [`SWEEP_EVERY`].
    pub(crate) fn sweep(&self) {
        let sweeps = self.sweeps.fetch_add(1, Ordering::Relaxed) + 1;
        self.idle().retain_mut(|line| {
            line.drive_unheard();
            line.is_open() && sweeps - line.kept_at_sweep < IDLE_SWEEPS_MAX
        });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends on a connection that other calls are on as well.
async fn send_shared(
    dialer: &Dialer,
    mut place: Place,
    mut request: Request<RequestBody>,
    mut patience: Patience,
) -> Attempted<Answered> {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(header::HOST);
    absolute(&mut request, dialer);
    let mut sent = std::pin::pin!(place.sender.try_send_request(request));
    let sent = loop {
        match timeout_at(patience.due(), sent.as_mut()).await {
            Ok(sent) => break sent,
            Err(_elapsed) if patience.extend() => {}
            Err(_elapsed) => return Err(Late),
        }
    };
    Ok(sent.map(|response| {
        response.map(|incoming| AnswerBody::new(incoming, Way::Place { _held: place }))
    }))
}

/// HTTP/1.1 names the path alone, also where an HTTP/2 connection gave the request back.
fn relative(request: &mut Request<RequestBody>) {
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }
}

/// HTTP/2 names the scheme and the authority beside the path.
fn absolute(request: &mut Request<RequestBody>, dialer: &Dialer) {
    let mut parts = uri::Parts::default();
    parts.scheme = dialer.scheme().parse().ok();
    parts.authority = uri::Authority::try_from(dialer.authority().as_bytes()).ok();
    parts.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}
