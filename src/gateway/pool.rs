//! Connections to upstream that are kept for the next call, and the sending of one request.
//!
//! A request is handed to a connection once. Where the connection gives it back untouched
//! (hyper's `TrySendError::take_message`), not a byte of it was written and another connection
//! gets it; in every other case it counts as sent, and is never sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response, Uri, Version, header, uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::time::{timeout, timeout_at};

use super::dial::{DialError, Dialed, Dialer};
use super::shared::{Place, Shared};
use super::upload::{Progress, RequestBody};
use crate::clock::Clock;

/// The most idle connections kept by one worker.
const IDLE_MAX: usize = 256;

/// How long an idle connection is kept: less than servers usually keep theirs.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// How long an idle connection may take to be ready.
const READY_WITHIN: Duration = Duration::from_millis(50);

/// How many connections may give a request back before it fails.
const TRIES_MAX: usize = 4;

/// One worker's connections to upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
    shared: tokio::sync::Mutex<Shared>,
    clock: Clock,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    dialer: Arc<Dialer>,
    since: Instant,
}

enum Lease {
    Http1(http1::SendRequest<RequestBody>),
    Http2(Place),
}

/// An answer's head, its body to come, and the connection to give back after it.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) returning: Returning,
}

/// What is given back once the answer was read whole.
pub(super) enum Returning {
    /// A connection, to its pool.
    Connection(Box<Used>),
    /// A place on a shared connection; it is given back wherever it is dropped.
    Place(Place),
}

/// An HTTP/1.1 connection that carried a call.
pub(super) struct Used {
    pool: Arc<Pool>,
    sender: http1::SendRequest<RequestBody>,
    dialer: Arc<Dialer>,
    progress: Option<Arc<Progress>>,
}

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

impl Pool {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { idle: Mutex::default(), shared: tokio::sync::Mutex::default(), clock }
    }

    /// Sends a request in origin-form, without `Host`, and waits for the answer's head, at most
    /// `response_timeout` from the end of the request.
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
            let lease = if last { self.own(dialer).await } else { self.lease(dialer).await };
            let lease = lease.map_err(SendError::NotSent)?;
            let shared = matches!(lease, Lease::Http2(_));
            let attempt = self.attempt(dialer, lease, request, progress.clone());
            let mut attempted = within(response_timeout, progress.as_deref(), attempt).await;
            let untouched = match &mut attempted {
                Ok(Err(failed)) => failed.take_message(),
                Ok(Ok(_)) | Err(_) => None,
            };
            if shared && (untouched.is_some() || attempted.is_err()) {
                // It takes no requests, or may be dead without knowing: the next call gets another.
                self.shared.lock().await.forget();
            }
            match (attempted?, untouched) {
                (Ok(answered), _) if answered.response.status().is_informational() => {
                    return Err(SendError::Switched);
                }
                (Ok(answered), _) => return Ok(answered),
                (Err(failed), None) => return Err(SendError::Broken(failed.into_error())),
                // Every connection gave it back; the last try says why.
                (Err(failed), Some(_)) if last => {
                    return Err(SendError::Refused(failed.into_error()));
                }
                (Err(_), Some(untouched)) => request = untouched,
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        dialer: &Arc<Dialer>,
        lease: Lease,
        mut request: Request<RequestBody>,
        progress: Option<Arc<Progress>>,
    ) -> Result<Answered, hyper::client::conn::TrySendError<Request<RequestBody>>> {
        match lease {
            Lease::Http1(mut sender) => {
                *request.version_mut() = Version::HTTP_11;
                relative(&mut request);
                request.headers_mut().insert(header::HOST, dialer.authority().clone());
                let response = sender.try_send_request(request).await?;
                let (pool, dialer) = (Arc::clone(self), Arc::clone(dialer));
                let used = Box::new(Used { pool, sender, dialer, progress });
                Ok(Answered { response, returning: Returning::Connection(used) })
            }
            Lease::Http2(mut place) => {
                *request.version_mut() = Version::HTTP_2;
                request.headers_mut().remove(header::HOST);
                absolute(&mut request, dialer);
                let response = place.sender.try_send_request(request).await?;
                Ok(Answered { response, returning: Returning::Place(place) })
            }
        }
    }

    async fn lease(&self, dialer: &Arc<Dialer>) -> Result<Lease, DialError> {
        while let Some(mut idle) = self.pop(dialer) {
            // One that was given back this instant may still be finishing.
            if idle.is_ready() || matches!(timeout(READY_WITHIN, idle.ready()).await, Ok(Ok(()))) {
                return Ok(Lease::Http1(idle));
            }
        }
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
            Dialed::Http1(sender) => Lease::Http1(sender),
            Dialed::Http2(sender) => Lease::Http2(shared.add(sender, dialer)),
        })
    }

    /// The connection used last: the others may then grow old together.
    fn pop(&self, dialer: &Arc<Dialer>) -> Option<http1::SendRequest<RequestBody>> {
        let now = self.clock.instant();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(last) = idle.pop() {
            let fresh = now.saturating_duration_since(last.since) < IDLE_FOR;
            if fresh && Arc::ptr_eq(&last.dialer, dialer) && !last.sender.is_closed() {
                return Some(last.sender);
            }
        }
        None
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self) {
        let now = self.clock.instant();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|idle| {
            now.saturating_duration_since(idle.since) < IDLE_FOR && !idle.sender.is_closed()
        });
    }
}

impl Returning {
    /// Gives it back.
    pub(super) fn give_back(self) {
        match self {
            Self::Connection(used) => used.give_back(),
            Self::Place(place) => drop(place),
        }
    }
}

impl Used {
    /// Puts the connection back, where the request was sent whole too: one that is still
    /// uploading is of no use to others.
    fn give_back(self) {
        if self.sender.is_closed() || self.progress.is_some_and(|upload| !upload.is_finished()) {
            return;
        }
        let since = self.pool.clock.instant();
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(Idle { sender: self.sender, dialer: self.dialer, since });
        }
    }
}

/// Waits for an answer's head, `patience` from the last progress of the request's body.
async fn within<T>(
    patience: Duration,
    progress: Option<&Progress>,
    attempt: impl Future<Output = T>,
) -> Result<T, SendError> {
    let mut attempt = std::pin::pin!(attempt);
    let mut deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Ok(done) = timeout_at(deadline, attempt.as_mut()).await {
            return Ok(done);
        }
        let extended = progress.map_or(deadline, |upload| upload.last() + patience);
        if extended <= deadline {
            return Err(SendError::Timeout);
        }
        deadline = extended;
    }
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
