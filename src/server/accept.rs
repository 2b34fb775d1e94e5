//! Workers: a listening socket each, connections taken up to a bound, and a graceful end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::connection::{self, Peer};
use super::stopped;
use crate::gateway::{Gateway, Pool};
use crate::wire::Wire;

/// How many connections the kernel holds before they are accepted.
const BACKLOG: i32 = 1024;

/// How long accepting rests after an error such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// How often idle upstream connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// One worker, ready to start.
pub(super) struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) capacity: Capacity,
    pub(super) stop: watch::Receiver<bool>,
}

/// How many more client connections are taken, by all workers together.
#[derive(Clone, Debug)]
pub(super) struct Capacity(Arc<Semaphore>);

impl Capacity {
    pub(super) fn new(gateway: &Gateway) -> Self {
        let most = gateway.live().config.limits.connections.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(most)))
    }
}

/// Binds one socket for each worker to the same address. Sockets that share an address would
/// silently share its connections with another program that does the same, so a first socket
/// asks for the address alone.
pub(super) fn bind(
    address: SocketAddr,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    drop(TcpListener::bind(address)?);
    let mut address = address;
    let mut listeners = Vec::with_capacity(workers);
    for _ in 0..workers.max(1) {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok((address, listeners))
}

impl Worker {
    /// Starts the worker's thread.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener.try_clone()?)?
        };
        std::thread::Builder::new()
            .name("changegate-worker".to_owned())
            .spawn(move || runtime.block_on(self.work(listener)))
    }

    async fn work(self, listener: tokio::net::TcpListener) {
        let pool = Arc::new(Pool::new(self.gateway.clock.clone()));
        let mut connections = JoinSet::new();
        let mut stop = pin!(stopped(self.stop.clone()));
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut accepted = None;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                taken = self.take(&listener, &mut accepted) => {
                    if let Some((stream, peer, permit)) = taken {
                        connections.spawn(self.connect(stream, peer, permit, &pool));
                    }
                }
                Some(_) = connections.join_next() => {}
                _ = sweep.tick() => pool.sweep(),
            }
        }
        // The kernel turns away whoever comes now; whoever is here may finish.
        drop((listener, self.listener));
        let drain = self.gateway.live().config.limits.drain_timeout;
        let all_done = async {
            while connections.join_next().await.is_some() {}
            self.gateway.idle().await;
        };
        if tokio::time::timeout(drain, all_done).await.is_err() {
            tracing::warn!(open = connections.len(), "drain_timeout is over: connections are cut");
        }
    }

    /// The next connection, once there is room for one. Room is asked for only when somebody has
    /// come: a worker that keeps room while nobody comes would keep it from the others. Who has
    /// come stays in `accepted` where waiting is broken off.
    async fn take(
        &self,
        listener: &tokio::net::TcpListener,
        accepted: &mut Option<(TcpStream, SocketAddr)>,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        if accepted.is_none() {
            match listener.accept().await {
                Ok(connection) => *accepted = Some(connection),
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    return None;
                }
            }
        }
        let permit = Arc::clone(&self.capacity.0).acquire_owned().await.ok()?;
        accepted.take().map(|(stream, peer)| (stream, peer, permit))
    }

    fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        pool: &Arc<Pool>,
    ) -> impl Future<Output = ()> + use<> {
        let peer = Peer {
            gateway: Arc::clone(&self.gateway),
            pool: Arc::clone(pool),
            address: peer.ip(),
            stop: self.stop.clone(),
        };
        let tls = self.tls.clone();
        async move {
            let _permit = permit;
            peer.gateway.metrics.connection_opened();
            let _ = stream.set_nodelay(true);
            if let Some(wire) = secure(stream, tls, &peer).await {
                connection::serve(wire, &peer).await;
            }
            peer.gateway.metrics.connection_closed();
        }
    }
}

/// The connection under TLS, where that is configured; none where the handshake fails.
async fn secure(stream: TcpStream, tls: Option<TlsAcceptor>, peer: &Peer) -> Option<Wire> {
    let Some(tls) = tls else { return Some(Wire::Plain(stream)) };
    let patience = peer.gateway.live().config.limits.header_timeout;
    match tokio::time::timeout(patience, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Wire::Tls(Box::new(TlsStream::Server(stream)))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
