//! The admin listener: few connections, each with a bounded patience, and a graceful end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;

/// How long a whole request head may take, and a connection may be idle.
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The pause after a connection could not be accepted, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the end waits for answers that were begun.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// Answers on `listener` by `router` until `shutdown`, and then what was begun.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let arrived = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, _peer)| (stream, place))
        };
        tokio::select! {
            () = &mut shutdown => break,
            arrived = arrived => match arrived {
                Ok((stream, place)) => {
                    let answered = answer(stream, router.clone(), stopped.clone());
                    connections.spawn(async move {
                        answered.await;
                        drop(place);
                    });
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
    stop.send_replace(());
    let drained = async { while connections.join_next().await.is_some() {} };
    // What is still open then is cut off where `connections` is dropped.
    let _late = timeout(DRAIN_WAIT, drained).await;
    Ok(())
}

/// Leads one connection to its end.
async fn answer(stream: TcpStream, router: Router, mut stopped: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _stop = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection broke");
    }
}
