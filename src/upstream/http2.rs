//! HTTP/2 connections to upstream, each shared by a bounded number of calls: event streams that
//! live for hours, or clients that read slowly, must not keep the others waiting within one.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;

use h2::Reason;
use hyper::client::conn::http2;
use tokio::time::Instant;

use super::endpoint::Dialer;
use super::request_body::RequestBody;

/// The most calls on one connection: fewer than the hundred that RFC 9113 (6.5.2) asks servers to
/// allow at the least.
pub(crate) const STREAMS_MAX: u32 = 64;

/// The most connections; beyond them the least busy one is used.
const CONNECTIONS_MAX: usize = 64;

/// The connections that one worker shares among its calls.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: http2::SendRequest<RequestBody>,
    dialer: Arc<Dialer>,
    address: SocketAddr,
    made_at: Instant,
    /// Held by every call on the connection, and by this.
    calls: Arc<()>,
}

/// One call's stream slot on a connection, until it is dropped.
pub(crate) struct StreamSlot {
    pub(crate) sender: http2::SendRequest<RequestBody>,
    pub(crate) address: SocketAddr,
    /// Whether the connection was there before this call.
    pub(crate) is_kept: bool,
    _counted: Arc<()>,
}

impl Shared {
    /// A stream slot on a known connection; `None` where another connection is needed.
    pub(crate) fn place(&mut self, dialer: &Arc<Dialer>) -> Option<StreamSlot> {
        self.connections.retain(|known| {
            let useful = Arc::ptr_eq(&known.dialer, dialer) && dialer.trusts(known.address);
            useful && !known.sender.is_closed()
        });
        let full = self.connections.len() >= CONNECTIONS_MAX;
        let least_busy = self.connections.iter().min_by_key(|known| known.busy())?;
        (full || least_busy.busy() < STREAMS_MAX as usize).then(|| least_busy.place(true))
    }

    /// Adds a new connection, and returns the first stream slot on it.
    pub(crate) fn add(
        &mut self,
        sender: http2::SendRequest<RequestBody>,
        address: SocketAddr,
        dialer: &Arc<Dialer>,
    ) -> StreamSlot {
        let (dialer, calls) = (Arc::clone(dialer), Arc::default());
        let connection = Connection { sender, dialer, address, made_at: Instant::now(), calls };
        let place = connection.place(false);
        self.connections.push(connection);
        place
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
        let (sender, counted) = (self.sender.clone(), Arc::clone(&self.calls));
        StreamSlot { sender, address: self.address, is_kept, _counted: counted }
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

fn told(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|source| source.downcast_ref())
}
