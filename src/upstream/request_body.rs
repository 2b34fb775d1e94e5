//! A request's body on its way to upstream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::config::Limits;
use crate::net::throughput::StallMeter;
use crate::net::timer::LazyTimer;

/// The most of a body held whole that is handed on at once, in bytes: a connection copies it behind
/// the head, and keeps room for the largest that it has copied.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// The most of an upload that is still taken once upstream has answered and wants no more of it, in
/// bytes.
const DRAINED_BYTES_MAX: usize = 64 << 20;

/// A body on its way to upstream.
#[derive(Debug, Default)]
pub(crate) enum RequestBody {
    /// Nothing.
    #[default]
    Empty,
    /// Held whole: the rest that was not sent yet; `None` at the end.
    Whole(Option<Bytes>),
    /// Passed on from the client as it comes.
    Upload(Sending),
}

/// An upload that somebody sends on. Where the sender lets go of it early although upstream has
/// answered (a stream of HTTP/2 may be given up then, RFC 9113, 8.1), the rest of the client's body
/// is still taken, within the bounds of any upload: a client that is not yet done with a request
/// would lose the next one otherwise, by the end of a connection that was not announced.
#[derive(Debug)]
pub(crate) struct Sending(Option<Box<Upload>>);

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take()
            && upload.progress.is_answered_early()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(upload.drain());
        }
    }
}

/// A client's body, passed on with the client's own pace as long as it makes progress.
#[derive(Debug)]
pub(crate) struct Upload {
    incoming: Incoming,
    silence_max: Duration,
    pace_max: Duration,
    waits: StallMeter,
    alarm: LazyTimer,
    progress: Arc<Progress>,
    /// Removes what a trailer must not say.
    clean_trailers: fn(HeaderMap) -> HeaderMap,
}

/// How far an upload has come; shared with whoever waits for the answer.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    bytes: AtomicU64,
    last_millis: AtomicU64,
    finished: AtomicBool,
    stalled: AtomicBool,
    broken: AtomicBool,
    answered: AtomicBool,
}

/// Why an upload stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    #[error("the client's body did not come in time")]
    Stalled,
}

impl RequestBody {
    /// The client's body, and how far it has come; `None` where there is no body to follow.
    pub(crate) fn upload(
        incoming: Incoming,
        limits: &Limits,
        clean_trailers: fn(HeaderMap) -> HeaderMap,
    ) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let progress = Arc::new(Progress {
            started: Instant::now(),
            bytes: AtomicU64::new(0),
            last_millis: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        });
        let shared = Arc::clone(&progress);
        let upload = Upload {
            incoming,
            silence_max: limits.body_timeout,
            pace_max: limits.pace_timeout,
            waits: StallMeter::default(),
            alarm: LazyTimer::default(),
            progress: shared,
            clean_trailers,
        };
        (Self::Upload(Sending(Some(Box::new(upload)))), Some(progress))
    }
}

/// A copy of a request, to be sent where upstream says that it did not process the first; `None`
/// where the client's body goes with it as it comes.
pub(crate) fn copy_of(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = match request.body() {
        RequestBody::Empty => RequestBody::Empty,
        RequestBody::Whole(left) => RequestBody::Whole(left.clone()),
        RequestBody::Upload(_) => return None,
    };
    let mut copy = Request::new(body);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    Some(copy)
}

/// The next piece of what is left of a body that is held whole.
pub(crate) fn next_piece(left: &mut Option<Bytes>) -> Option<Bytes> {
    let mut piece = left.take()?;
    if piece.len() > PIECE_BYTES_MAX {
        *left = Some(piece.split_off(PIECE_BYTES_MAX));
    }
    Some(piece)
}

impl Progress {
    /// Bytes passed on so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the whole body was passed on.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Whether the client made no progress for too long, or too little.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Whether the client broke off, or sent something that is not a body.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Notes that upstream has answered.
    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// Whether upstream has answered while the client is still to be heard.
    fn is_answered_early(&self) -> bool {
        let is_over = self.is_finished() || self.is_stalled() || self.is_broken();
        self.answered.load(Ordering::Acquire) && !is_over
    }

    /// When the body last made progress.
    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last_millis.load(Ordering::Relaxed))
    }

    fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_millis.store(millis, Ordering::Relaxed);
    }
}

impl Upload {
    /// Takes what is left of the body, for nobody.
    async fn drain(mut self: Box<Self>) {
        let mut left = DRAINED_BYTES_MAX;
        while let Some(Ok(frame)) = poll_fn(|cx| self.poll(cx)).await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = rest;
        }
    }

    fn stalled(&self) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        self.progress.stalled.store(true, Ordering::Release);
        Poll::Ready(Some(Err(UploadError::Stalled)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let due = self.waits.wait() + self.silence_max;
            ready!(self.alarm.poll(due, cx));
            return self.stalled();
        };
        self.progress.touch();
        match frame {
            Some(Ok(frame)) => {
                let moved = frame.data_ref().map_or(0, Bytes::len);
                self.progress.bytes.fetch_add(moved as u64, Ordering::Relaxed);
                let in_time = self.waits.advance(moved, self.pace_max);
                if self.incoming.is_end_stream() {
                    self.progress.finished.store(true, Ordering::Release);
                } else if in_time.is_err() {
                    return self.stalled();
                }
                Poll::Ready(Some(Ok(match frame.into_trailers() {
                    Ok(trailers) => Frame::trailers((self.clean_trailers)(trailers)),
                    Err(frame) => frame,
                })))
            }
            Some(Err(error)) => {
                self.progress.broken.store(true, Ordering::Release);
                Poll::Ready(Some(Err(UploadError::Client(error))))
            }
            None => {
                self.progress.finished.store(true, Ordering::Release);
                Poll::Ready(None)
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty | Self::Upload(Sending(None)) => Poll::Ready(None),
            Self::Whole(left) => Poll::Ready(next_piece(left).map(|piece| Ok(Frame::data(piece)))),
            Self::Upload(Sending(Some(upload))) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(body) => body.is_none(),
            Self::Upload(sending) => {
                sending.0.as_ref().is_none_or(|it| it.incoming.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Self::Upload(sending) => {
                sending.0.as_ref().map_or_else(SizeHint::default, |it| it.incoming.size_hint())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_whole_goes_in_pieces_that_join_to_the_whole() {
        for length in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX] {
            let whole: Bytes = (0..length).map(|place| place.to_le_bytes()[0]).collect();
            let mut left = Some(whole.clone());
            let pieces: Vec<_> = std::iter::from_fn(|| next_piece(&mut left)).collect();
            assert_eq!(pieces.concat(), whole, "{length}");
            assert_eq!(pieces.len(), length.div_ceil(PIECE_BYTES_MAX).max(1), "{length}");
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
        }
    }
}
