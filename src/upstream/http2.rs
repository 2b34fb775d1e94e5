//! HTTP/2 connections to upstream, each shared by a bounded number of calls: event streams that
//! live for hours, or clients that read slowly, must not keep the others waiting within one.

use std::error::Error as _;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use h2::Reason;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::endpoint::Dialer;
use super::idle::{AGE_SWEEPS_MAX, IDLE_SWEEPS_MAX};
use super::request_body::RequestBody;
use crate::net::stream::Wire;

/// The most calls on one connection: fewer than the hundred that RFC 9113 (6.5.2) asks servers to
/// allow at the least.
pub(crate) const STREAMS_MAX: u32 = 64;

/// The most calls on one connection before upstream has said how many it allows.
const UNTOLD_STREAMS_MAX: usize = 8;

/// How much of one answer upstream may send ahead, in bytes. All calls of a connection together may
/// have as much, so that none that is read slowly keeps another waiting.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The sweep at which a connection without a call is given up, as those of HTTP/1.1 are: what lies
/// between may have forgotten it in silence.
const REST_SWEEPS_MAX: u64 = IDLE_SWEEPS_MAX;

/// The most connections; beyond them the least busy one is used.
const CONNECTIONS_MAX: usize = 64;

/// The connections that one worker shares among its calls.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    connections: Vec<Connection>,
    sweeps: u64,
}

#[derive(Debug)]
struct Connection {
    line: Http2Connection,
    dialer: Arc<Dialer>,
    made_at: Instant,
    made_at_sweep: u64,
    /// When it last had a call.
    called_at_sweep: u64,
    /// Held by every call on the connection, and by this.
    calls: Arc<()>,
}

/// An HTTP/2 connection to upstream, which a task of its own drives.
#[derive(Debug)]
pub(crate) struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    address: SocketAddr,
    /// Held by the task, until its end.
    driven: Weak<Mutex<Driven>>,
}

type Driven = http2::Connection<TokioIo<Wire>, RequestBody, TokioExecutor>;

/// One call's stream slot on a connection, until it is dropped.
pub(crate) struct StreamSlot {
    pub(crate) sender: http2::SendRequest<RequestBody>,
    pub(crate) address: SocketAddr,
    /// Whether the connection was there before this call.
    pub(crate) is_kept: bool,
    _counted: Arc<()>,
}

impl Http2Connection {
    /// A connection over `wire`.
    pub(crate) async fn over(
        wire: Wire,
        dialer: &Dialer,
        address: SocketAddr,
    ) -> Result<Self, hyper::Error> {
        let head_bytes_max = u32::try_from(dialer.heads.bytes).unwrap_or(u32::MAX);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW * STREAMS_MAX)
            .initial_max_send_streams(UNTOLD_STREAMS_MAX)
            .max_header_list_size(head_bytes_max)
            .handshake(TokioIo::new(wire))
            .await?;
        let held = Arc::new(Mutex::new(connection));
        let driven = Arc::downgrade(&held);
        tokio::spawn(poll_fn(move |cx| {
            let mut connection = held.lock().unwrap_or_else(PoisonError::into_inner);
            Pin::new(&mut *connection).poll(cx)
        }));
        Ok(Self { sender, address, driven })
    }

    /// How many calls it may carry at once: upstream says so, and may say it anew.
    fn calls_max(&self) -> usize {
        let allowed = self.driven.upgrade().map_or(0, |driven| {
            let connection = driven.lock().unwrap_or_else(PoisonError::into_inner);
            connection.current_max_send_streams()
        });
        allowed.min(STREAMS_MAX as usize)
    }
}

impl Shared {
    /// A stream slot on a known connection; `None` where another connection is needed.
    pub(crate) fn place(&mut self, dialer: &Arc<Dialer>) -> Option<StreamSlot> {
        self.connections.retain(|known| {
            let useful = Arc::ptr_eq(&known.dialer, dialer) && dialer.trusts(known.line.address);
            useful && !known.line.sender.is_closed()
        });
        let full = self.connections.len() >= CONNECTIONS_MAX;
        let sweeps = self.sweeps;
        let roomy = |known: &&mut Connection| full || known.busy() < known.line.calls_max();
        let least_busy = self.connections.iter_mut().filter(roomy).min_by_key(|known| known.busy());
        least_busy.map(|known| {
            known.called_at_sweep = sweeps;
            known.place(true)
        })
    }

    /// Adds a new connection, and returns the first stream slot on it.
    pub(crate) fn add(&mut self, line: Http2Connection, dialer: &Arc<Dialer>) -> StreamSlot {
        let connection = Connection {
            line,
            dialer: Arc::clone(dialer),
            made_at: Instant::now(),
            made_at_sweep: self.sweeps,
            called_at_sweep: self.sweeps,
            calls: Arc::default(),
        };
        let place = connection.place(false);
        self.connections.push(connection);
        place
    }

    /// Gives up what has had no call for too long, and what is too old for another call.
    pub(crate) fn sweep(&mut self) {
        self.sweeps += 1;
        let sweeps = self.sweeps;
        self.connections.retain_mut(|known| {
            if known.busy() > 0 {
                known.called_at_sweep = sweeps;
            }
            sweeps - known.called_at_sweep < REST_SWEEPS_MAX
                && sweeps - known.made_at_sweep < AGE_SWEEPS_MAX
        });
    }

    /// Forgets every connection that was made before this moment, at which one of them no longer
    /// took requests. Calls that notice it together then share what the first of them gets.
    pub(crate) fn forget(&mut self, noticed_at: Instant) {
        self.connections.retain(|known| known.made_at > noticed_at);
    }
}

impl Connection {
    fn busy(&self) -> usize {
        Arc::strong_count(&self.calls) - 1
    }

    fn place(&self, is_kept: bool) -> StreamSlot {
        let (sender, counted) = (self.line.sender.clone(), Arc::clone(&self.calls));
        StreamSlot { sender, address: self.line.address, is_kept, _counted: counted }
    }
}

/// Whether upstream says of a request that it did nothing with it: by a stream that it refuses, or
/// by the end of a connection that names an earlier stream as its last (RFC 9113, 6.8 and 8.7).
///
/// h2 gives the peer's GOAWAY as the error of later streams alone; those that it names or that came
/// before go on, and end with the connection. A peer that asks for calm promises nothing here: it
/// may count what it has done.
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    told(error).filter(|told| told.is_remote()).is_some_and(|told| match told.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) => false,
        reason => told.is_go_away() || reason == Some(Reason::REFUSED_STREAM),
    })
}

/// Whether the connection broke under the request, rather than its stream alone.
pub(crate) fn is_of_connection(error: &hyper::Error) -> bool {
    told(error).is_none_or(|told| !told.is_reset())
}

/// Whether the head of the answer was not taken: h2 does not tell what is malformed from what is
/// too long.
pub(crate) fn is_of_head(error: &hyper::Error) -> bool {
    told(error).is_some_and(|told| told.is_reset() && told.is_library())
}

fn told(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

#[cfg(test)]
mod tests;
