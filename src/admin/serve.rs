//! The admin listener: few connections, each with a bounded patience, and a graceful end.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{self, Patience};
use super::places::Places;
use super::{Acceptor, PatienceNow};
use crate::gateway::network;
use crate::net::listener::Listener;

/// The pause after a connection could not be accepted, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the end waits for answers that were begun.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// How much of what was written to a client the kernel holds beside what is on its way, in bytes:
/// who takes nothing is soon seen, and holds little.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 32 * 1024;

/// How connections are taken.
pub(super) struct Terms {
    /// TLS, where it is configured.
    pub(super) tls: Option<Acceptor>,
    pub(super) patience: PatienceNow,
}

/// Answers on `listener` by `router` until `shutdown` is cancelled, and then what was begun.
pub(super) async fn serve(
    listener: Listener,
    router: Router,
    terms: Terms,
    shutdown: CancellationToken,
) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    // Best effort: where the kernel refuses, slow clients only seem slower than they are.
    if let Listener::Tcp(listener) = &listener {
        let _ = socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    }
    let places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            arrived = listener.accept() => match arrived {
                Ok((wire, peer)) => {
                    let place = places.take(network(peer.ip()));
                    let (number, presence) = (place.number(), place.presence().clone());
                    let tls = terms.tls.as_ref().map(|acceptor| acceptor());
                    let patience: Patience = (terms.patience)();
                    let (router, shutdown) = (router.clone(), shutdown.clone());
                    let task = connections.spawn(async move {
                        let comes = connection::Comes { wire, peer, tls };
                        connection::serve(comes, patience, router, presence, shutdown).await;
                        drop(place);
                    });
                    places.settle(number, task);
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept an admin connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    // What is still open then is cut off where `connections` is dropped.
    let _late = timeout(DRAIN_WAIT, drained).await;
    Ok(())
}
