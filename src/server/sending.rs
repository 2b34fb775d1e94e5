//! An answer on its way to its client.
//!
//! In HTTP/2 each stream has a window of its own: a client that takes nothing of one answer
//! leaves its connection writable, so that no watch over the connection sees it. Here every
//! answer tells when it handed over what its client has not taken yet.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::guard::RequestUnderway;
use crate::gateway::ReplyBody;

/// The most that a stream of HTTP/2 is handed at once, in bytes: its usual frame (RFC 9113, 6.5.2).
/// A client that makes room for so many within the patience is slow, but alive.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// An answer's body, which keeps its request counted until it was sent or cut.
pub(super) enum Sending {
    /// On HTTP/1.1, where the connection itself is watched.
    Plain { body: ReplyBody, _underway: RequestUnderway },
    /// On HTTP/2.
    Watched(Arc<Mutex<State>>),
}

pub(super) struct State {
    /// `None` once it was cut.
    body: Option<(ReplyBody, RequestUnderway)>,
    /// The bytes that the body has given and that were not handed over yet.
    rest: Bytes,
    /// Since when the client has been due to take something.
    handed_over: Option<Instant>,
}

/// The answers that are on their way on one connection of HTTP/2; `None` on HTTP/1.1, where the
/// connection itself is watched.
#[derive(Clone)]
pub(super) struct Answers(Option<Arc<Mutex<Vec<Watched>>>>);

type Watched = Weak<Mutex<State>>;

/// The client has taken nothing for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client takes nothing of the answer")]
struct NotTaken;

impl Answers {
    pub(super) fn new(http2: bool) -> Self {
        Self(http2.then(Arc::default))
    }

    /// An answer that is looked after.
    pub(super) fn send(&self, body: ReplyBody, underway: RequestUnderway) -> Sending {
        let Some(answers) = &self.0 else { return Sending::Plain { body, _underway: underway } };
        let state = State { body: Some((body, underway)), rest: Bytes::new(), handed_over: None };
        let state = Arc::new(Mutex::new(state));
        let mut answers = lock(answers);
        if answers.len() == answers.capacity() {
            answers.retain(|answer| answer.strong_count() > 0);
        }
        answers.push(Arc::downgrade(&state));
        drop(answers);
        Sending::Watched(state)
    }

    /// Cuts answers of which nothing was taken for `patience`, for as long as it is awaited.
    pub(super) async fn cut_stalled(&self, patience: Duration) {
        let look_every = (patience / 4).max(Duration::from_millis(1));
        let Some(answers) = &self.0 else { return std::future::pending().await };
        loop {
            tokio::time::sleep(look_every).await;
            let now = Instant::now();
            let sending: Vec<_> = lock(answers).iter().filter_map(Weak::upgrade).collect();
            for answer in sending {
                let mut state = lock(&answer);
                if state.handed_over.is_some_and(|at| now.duration_since(at) >= patience) {
                    let cut = (state.body.take(), std::mem::take(&mut state.rest));
                    drop(state);
                    drop(cut);
                }
            }
        }
    }
}

impl State {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some((body, _underway)) = &mut self.body else {
            return Poll::Ready(Some(Err(NotTaken.into())));
        };
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(body).poll_frame(cx)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES_MAX));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.get_mut() {
            Self::Plain { body, .. } => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Watched(state) => {
                let mut state = lock(state);
                let polled = state.poll_frame(cx);
                state.handed_over = polled.is_ready().then(Instant::now);
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain { body, .. } => body.is_end_stream(),
            Self::Watched(state) => {
                let state = lock(state);
                let ended = state.body.as_ref().is_some_and(|(body, _)| body.is_end_stream());
                ended && state.rest.is_empty()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let state = match self {
            Self::Plain { body, .. } => return body.size_hint(),
            Self::Watched(state) => lock(state),
        };
        let Some((body, _)) = &state.body else { return SizeHint::default() };
        let (hint, rest) = (body.size_hint(), state.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
