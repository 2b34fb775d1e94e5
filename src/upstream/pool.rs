//! Connections to upstream that are kept for the next call, and the sending of one request.
//!
//! A request is handed to a connection once. Where the connection gives it back untouched
//! (hyper's `TrySendError::take_message`), not a byte of it was written and another connection
//! gets it. Where upstream says that it did not process it (HTTP/2), another connection gets it
//! once more; so it does with a GET or HEAD on a kept connection that breaks before a byte of the
//! answer. In every other case it counts as sent, and is never sent again.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, Uri, Version, header, uri};
use hyper::client::conn::TrySendError;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::Dialed;
use super::endpoint::{DialError, Dialer};
use super::http1::{Http1Connection, ResponseDeadline, ResponseTimeout};
use super::http2::{Shared, StreamSlot, is_of_connection, is_of_head, is_unprocessed};
use super::idle::Idle;
pub(crate) use super::idle::SWEEP_EVERY;
use super::request_body::{Progress, RequestBody, copy_of};
use super::response_body::{AnswerBody, Carrier};

/// How many connections may give a request back before it fails.
const TRIES_MAX: usize = 4;

/// One worker's connections to upstream.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Arc<Idle>,
    shared: Mutex<Shared>,
}

enum Lease {
    Http1(Box<Http1Connection>),
    Http2(StreamSlot),
}

/// Upstream's answer, its body to come.
pub(crate) type UpstreamResponse = Response<AnswerBody>;

/// Whether a request may still be sent, asked just before each time it is.
pub(crate) type MayBeSent<'a> = dyn Fn() -> bool + Sync + 'a;

/// A request's time to be sent is never over.
pub(crate) const ALWAYS: fn() -> bool = || true;

/// Why an attempt brought no answer.
enum Failed {
    /// The connection gave the request back, of which not a byte was written.
    Untouched(Box<(Request<RequestBody>, hyper::Error)>),
    /// The request may be sent once more; why it has to be.
    Again(Box<(Request<RequestBody>, SendError)>),
    Finally(SendError),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It must not be sent any more, and was not.
    #[error("the request must not be sent any more")]
    Withheld,
    /// Surely not a byte of the request was sent.
    #[error("no connection to upstream")]
    NotSent(#[source] DialError),
    /// The connection gave the request back too often.
    #[error("upstream closes every connection before a request")]
    Refused(#[source] hyper::Error),
    /// Upstream says that it did nothing with the request (RFC 9113, 8.7).
    #[error("upstream did not process the request")]
    Unprocessed(#[source] hyper::Error),
    /// The request was sent, at least in part.
    #[error("upstream broke the connection")]
    Broken(#[source] hyper::Error),
    /// The request was sent; its answer's head passes `limits.header_bytes` or
    /// `limits.header_count`.
    #[error("the head of upstream's answer is too long")]
    LongHead(#[source] Option<hyper::Error>),
    /// The request was sent; its answer's head is malformed over HTTP/2, or too long.
    #[error("the head of upstream's answer is malformed or too long")]
    BadHead(#[source] hyper::Error),
    /// The request was sent; upstream switched protocols, which nobody asked for.
    #[error("upstream switched protocols")]
    Switched,
    /// The request was sent; the answer's head did not come in time.
    #[error("upstream did not answer in time")]
    Timeout,
}

impl SendError {
    /// Whether upstream may have done something with the request.
    pub(crate) fn was_sent(&self) -> bool {
        !matches!(self, Self::Withheld | Self::NotSent(_) | Self::Refused(_) | Self::Unprocessed(_))
    }

    /// The fault of the answer's head; `None` where the failure is another one.
    pub(crate) fn fault_of_head(&self) -> Option<&'static str> {
        match self {
            Self::LongHead(_) => Some(
                "the head of upstream's answer passes limits.header_bytes or limits.header_count",
            ),
            Self::BadHead(_) => Some(
                "the head of upstream's answer is malformed, or passes limits.header_bytes or \
                 limits.header_count",
            ),
            _ => None,
        }
    }

    /// A request was sent, and then its connection or its answer failed.
    fn after_sending(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::LongHead(Some(error))
        } else if is_of_head(&error) {
            Self::BadHead(error)
        } else {
            Self::Broken(error)
        }
    }
}

impl Failed {
    /// Tells what became of a request on an HTTP/2 connection; `is_kept`: one that was there
    /// before.
    fn on_shared(
        error: TrySendError<Request<RequestBody>>,
        spare: Option<Request<RequestBody>>,
        is_kept: bool,
    ) -> Self {
        let why = error.error();
        if error.message().is_some() {
            error.into()
        } else if is_unprocessed(why) {
            Self::again(spare, SendError::Unprocessed(error.into_error()))
        } else {
            let repeats = is_kept && is_of_connection(why);
            let spare = spare.filter(|spare| repeats && is_safe(spare));
            Self::again(spare, SendError::after_sending(error.into_error()))
        }
    }

    /// Sends the request once more, where there is one to send.
    fn again(spare: Option<Request<RequestBody>>, error: SendError) -> Self {
        match spare {
            Some(spare) => Self::Again(Box::new((spare, error))),
            None => Self::Finally(error),
        }
    }

    fn is_of_a_dead_connection(&self) -> bool {
        let late = matches!(self, Self::Finally(SendError::Timeout | SendError::Unprocessed(_)));
        late || matches!(self, Self::Untouched(_) | Self::Again(_))
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Self::Finally(error)
    }
}

impl From<ResponseTimeout> for Failed {
    fn from(_late: ResponseTimeout) -> Self {
        Self::Finally(SendError::Timeout)
    }
}

impl From<TrySendError<Request<RequestBody>>> for Failed {
    fn from(mut failed: TrySendError<Request<RequestBody>>) -> Self {
        match failed.take_message() {
            Some(untouched) => Self::Untouched(Box::new((untouched, failed.into_error()))),
            None => Self::Finally(SendError::after_sending(failed.into_error())),
        }
    }
}

impl Pool {
    /// Sends a request in origin-form and waits for the answer's head, at most `response_timeout`
    /// from the end of the request. A request is large: it stays where it is until it is sent, and
    /// is taken from there.
    pub(crate) async fn send(
        self: &Arc<Self>,
        dialer: &Arc<Dialer>,
        request: &mut Request<RequestBody>,
        progress: Option<Arc<Progress>>,
        response_timeout: Duration,
        may_be_sent: &MayBeSent<'_>,
    ) -> Result<UpstreamResponse, SendError> {
        let mut tries = 0;
        let mut repeated = false;
        loop {
            tries += 1;
            let last = tries > TRIES_MAX;
            let patience = ResponseDeadline::new(response_timeout, progress.clone());
            let kept = if last || repeated { None } else { self.idle.pop(dialer).await };
            let sent = match kept {
                Some(_) if !may_be_sent() => return Err(SendError::Withheld),
                Some(line) => {
                    if is_safe(request) {
                        line.recall_next();
                    }
                    self.send_alone(line, request, patience).await
                }
                // Boxed: connecting takes room that a call on a kept connection need not have.
                None => {
                    Box::pin(self.send_anew(dialer, request, patience, last, may_be_sent)).await
                }
            };
            match sent {
                Ok(answered) if answered.status().is_informational() => {
                    return Err(SendError::Switched);
                }
                Ok(answered) => return Ok(answered),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Again(again)) if repeated => return Err(again.1),
                Err(Failed::Again(again)) => {
                    repeated = true;
                    *request = again.0;
                }
                // Every connection gave it back; the last try says why.
                Err(Failed::Untouched(returned)) if last => {
                    return Err(SendError::Refused(returned.1));
                }
                Err(Failed::Untouched(returned)) => *request = returned.0,
            }
        }
    }

    /// Sends on a connection that has no other call.
    async fn send_alone(
        self: &Arc<Self>,
        mut line: Box<Http1Connection>,
        request: &mut Request<RequestBody>,
        mut patience: ResponseDeadline,
    ) -> Result<UpstreamResponse, Failed> {
        let answer = pin!(line.ask(request));
        let heard = line.hear(answer, &mut patience).await;
        // A client that holds up its own request says nothing of upstream.
        if heard.is_err() && patience.upload().is_none_or(|upload| upload.is_finished()) {
            line.dialer.doubt(line.address);
        }
        let response = match heard? {
            Ok(response) => response,
            Err(error) if error.message().is_some() => return Err(error.into()),
            Err(error) => {
                let error = SendError::after_sending(error.into_error());
                return Err(Failed::again(line.into_unanswered(), error));
            }
        };
        let way = if response.status().is_informational() {
            // It speaks another protocol now: no call gets it again.
            Carrier::Free
        } else if patience.upload().is_some_and(|upload| !upload.is_finished()) {
            // An answer may be slow to be taken; what is still being sent does not wait for it.
            line.leave();
            Carrier::Free
        } else {
            Carrier::Http1Connection(line, Arc::clone(&self.idle))
        };
        Ok(response.map(|incoming| AnswerBody::new(incoming, way)))
    }

    /// Sends on a connection that is new or shared; the last try on one that no other call has.
    async fn send_anew(
        self: &Arc<Self>,
        dialer: &Arc<Dialer>,
        request: &mut Request<RequestBody>,
        mut patience: ResponseDeadline,
        last: bool,
        may_be_sent: &MayBeSent<'_>,
    ) -> Result<UpstreamResponse, Failed> {
        let lease = if last { self.own(dialer).await } else { self.connect(dialer).await };
        // Connecting has a time of its own.
        patience.begin();
        let lease = lease.map_err(SendError::NotSent)?;
        if !may_be_sent() {
            return Err(SendError::Withheld.into());
        }
        match lease {
            Lease::Http1(line) => self.send_alone(line, request, patience).await,
            Lease::Http2(place) => {
                let sent = send_shared(dialer, place, request, patience).await;
                let dead = Failed::is_of_a_dead_connection;
                if sent.as_ref().err().is_some_and(dead) {
                    // It takes no requests, or may be dead without knowing: the next call gets
                    // another.
                    let noticed_at = Instant::now();
                    self.shared.lock().await.forget(noticed_at);
                }
                sent
            }
        }
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
            Dialed::Http1(mut line) => {
                self.idle.begin(&mut line);
                Lease::Http1(line)
            }
            Dialed::Http2(line) => Lease::Http2(shared.add(line, dialer)),
        })
    }

    /// Closes what has been idle for too long or is too old, and what upstream has closed. For
    /// every [`SWEEP_EVERY`].
    pub(crate) fn sweep(&self) {
        self.idle.sweep();
        // While a connection is made, the others wait for the next time.
        if let Ok(mut shared) = self.shared.try_lock() {
            shared.sweep();
        }
    }
}

/// Sends on a connection that other calls are on as well.
async fn send_shared(
    dialer: &Dialer,
    mut place: StreamSlot,
    request: &mut Request<RequestBody>,
    mut patience: ResponseDeadline,
) -> Result<UpstreamResponse, Failed> {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(header::HOST);
    absolute(request, dialer);
    let (spare, is_kept) = (copy_of(request), place.is_kept);
    let mut sent = pin!(place.sender.try_send_request(mem::take(request)));
    let response = loop {
        match timeout_at(patience.due(), sent.as_mut()).await {
            Ok(sent) => break sent.map_err(|error| Failed::on_shared(error, spare, is_kept))?,
            Err(_elapsed) if patience.extend() => {}
            Err(_elapsed) => {
                if patience.upload().is_none_or(|upload| upload.is_finished()) {
                    dialer.doubt(place.address);
                }
                return Err(ResponseTimeout.into());
            }
        }
    };
    if response.headers().len() > dialer.heads.fields {
        return Err(SendError::LongHead(None).into());
    }
    if let Some(upload) = patience.upload() {
        upload.note_answer();
    }
    Ok(response
        .map(|incoming| AnswerBody::new(incoming, Carrier::StreamSlot { _held: Box::new(place) })))
}

/// Whether a request changes nothing, so that it may be sent again, and can be: without a body.
fn is_safe(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.body(), RequestBody::Empty)
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

#[cfg(test)]
mod tests;
