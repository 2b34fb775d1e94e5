//! The other end of a client's connection.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::Requests;
use crate::base::peer::PeerAddress;
use crate::gateway::{Gateway, Pool};

/// The other end of a connection, and the gateway that serves it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) gateway: Arc<Gateway>,
    pub(super) pool: Arc<Pool>,
    pub(super) address: PeerAddress,
    pub(super) requests: Requests,
    /// The connections of the same worker, closed once it stops. Every call asks for that, and
    /// does not ask `dismissed`: a token is read under a lock.
    pub(super) connections: TaskTracker,
    /// Cancelled once `connections` are closed.
    pub(super) dismissed: CancellationToken,
}
