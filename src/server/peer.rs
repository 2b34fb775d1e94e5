//! The other end of a client's connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::guard::Requests;
use crate::gateway::{Gateway, Pool};

/// The other end of a connection, and the gateway that serves it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) gateway: Arc<Gateway>,
    pub(super) pool: Arc<Pool>,
    pub(super) address: IpAddr,
    pub(super) requests: Requests,
    pub(super) stop: watch::Receiver<bool>,
}
