//! The bodies of answers: written in pieces that are given back as they are sent, under a bound on
//! all that are held.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Problem;

/// The bytes of all answers that are held at a time, in KiB: 64 MiB. One answer at a time may go
/// beyond it, so that the largest change can be shown.
const HELD_KIB_MAX: usize = 64 << 10;

/// The bytes of one piece.
const PIECE_BYTES: usize = 64 << 10;

/// The memory that all answers may hold together, shared by all clones.
#[derive(Clone, Debug)]
pub(crate) struct AnswerBudget {
    held: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

/// An answer that is being written.
#[derive(Debug)]
pub(crate) struct AnswerWriter {
    budget: AnswerBudget,
    /// Whether this is the one answer that may go beyond the budget.
    beyond: Option<OwnedSemaphorePermit>,
    open: Vec<u8>,
    pieces: VecDeque<Piece>,
    bytes: usize,
}

/// A written answer.
#[derive(Debug)]
struct AnswerBody {
    pieces: VecDeque<Piece>,
    left: usize,
    _beyond: Option<OwnedSemaphorePermit>,
}

/// A body that holds something until it is sent.
pub(crate) struct Counted<T> {
    pub(crate) body: AxumBody,
    pub(crate) _until_sent: T,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

/// There is no room for more of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answers that are on their way leave no room for another")]
struct NoRoom;

impl Default for AnswerBudget {
    fn default() -> Self {
        Self { held: Arc::new(Semaphore::new(HELD_KIB_MAX)), beyond: Arc::new(Semaphore::new(1)) }
    }
}

impl AnswerBudget {
    pub(crate) fn writer(&self) -> AnswerWriter {
        AnswerWriter {
            budget: self.clone(),
            beyond: None,
            open: Vec::new(),
            pieces: VecDeque::new(),
            bytes: 0,
        }
    }

    /// `value` as an answer in JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<Response, Problem> {
        let mut writer = self.writer();
        serde_json::to_writer(&mut writer, value).map_err(|_error| Problem::no_room())?;
        writer.finish()
    }

    /// `text` as a page.
    pub(crate) fn page(&self, text: &str) -> Result<Response, Problem> {
        let mut writer = self.writer();
        writer.write_all(text.as_bytes()).map_err(|_error| Problem::no_room())?;
        let mut answer = writer.finish()?;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, html);
        Ok(answer)
    }

    /// Returns how much memory the answers hold now, in KiB.
    #[cfg(test)]
    pub(crate) fn held_kib(&self) -> usize {
        HELD_KIB_MAX - self.held.available_permits()
    }
}

impl AnswerWriter {
    /// The answer, in JSON.
    pub(crate) fn finish(mut self) -> Result<Response, Problem> {
        self.close_piece().map_err(|_error| Problem::no_room())?;
        let body = AnswerBody { pieces: self.pieces, left: self.bytes, _beyond: self.beyond };
        let mut answer = Response::new(AxumBody::new(body));
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(answer)
    }

    fn close_piece(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.open);
        let kib = u32::try_from(bytes.len().div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let mut held = Arc::clone(&self.budget.held).try_acquire_many_owned(kib).ok();
        if held.is_none() && self.beyond.is_none() {
            let beyond = Arc::clone(&self.budget.beyond).try_acquire_owned();
            self.beyond = Some(beyond.map_err(|_taken| io::Error::other(NoRoom))?);
            held = None;
        }
        self.bytes += bytes.len();
        self.pieces.push_back(Piece { bytes: bytes.into(), _held: held });
        Ok(())
    }
}

impl io::Write for AnswerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.len() >= PIECE_BYTES {
            self.close_piece()?;
        }
        let room = PIECE_BYTES - self.open.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.open.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        let Some(piece) = body.pieces.pop_front() else { return Poll::Ready(None) };
        body.left -= piece.bytes.len();
        Poll::Ready(Some(Ok(Frame::data(piece.bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left).unwrap_or(u64::MAX))
    }
}

impl<T: Unpin> Body for Counted<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn written(budget: &AnswerBudget, bytes: usize) -> Option<Response> {
        let mut writer = budget.writer();
        writer.write_all(&vec![b'x'; bytes]).ok()?;
        writer.finish().ok()
    }

    #[tokio::test]
    async fn what_was_written_is_sent_and_given_back() {
        let budget = AnswerBudget::default();
        for bytes in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 1_000_000] {
            let answer = written(&budget, bytes).unwrap();
            assert!(budget.held_kib() >= bytes / 1024);
            let body = answer.into_body();
            assert_eq!(body.size_hint().exact(), Some(bytes as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), bytes);
            assert_eq!(budget.held_kib(), 0, "{bytes}");
        }
    }

    #[test]
    fn all_answers_have_one_bound_and_one_may_go_beyond_it() {
        let budget = AnswerBudget::default();
        let large = 30 << 20;
        let held: Vec<_> = (0..24).map_while(|_| written(&budget, large)).collect();
        // Two fit, and the third is the one that goes beyond.
        assert_eq!(held.len(), 3);
        assert!(written(&budget, 8 << 20).is_none());
        drop(held);
        assert_eq!(budget.held_kib(), 0);
        assert!(written(&budget, 100 << 20).is_some(), "the largest change can be shown");
        assert_eq!(budget.held_kib(), 0);
    }
}
