//! Workers: a listening socket each, connections taken up to a bound, and a graceful end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::connection::{self, Peer};
use super::stopped;
use crate::gateway::{Gateway, Pool, SWEEP_EVERY};
use crate::wire::Wire;

/// How many connections the kernel holds before they are accepted.
const BACKLOG: i32 = 1024;

/// How long accepting rests after an error such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// How long a full worker waits before it looks at the bound again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One worker, ready to start.
pub(super) struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) capacity: Capacity,
    pub(super) stop: watch::Receiver<bool>,
}

/// The client connections of all workers together, held to `limits.connections`.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacity(Arc<Connections>);

#[derive(Debug, Default)]
struct Connections {
    open: AtomicUsize,
    closed: Notify,
}

/// One open connection, counted until it is dropped.
struct Slot(Capacity);

impl Capacity {
    /// Waits until there is room for one more. Workers that ask at once may all be told yes, so
    /// the bound is kept to within their number.
    async fn room(&self, gateway: &Gateway) {
        loop {
            let closed = self.0.closed.notified();
            let most = gateway.live().config.limits.connections;
            if self.0.open.load(Ordering::Relaxed) < most {
                return;
            }
            // The bound itself may be raised by a reload.
            let _ = tokio::time::timeout(LOOK_AGAIN_AFTER, closed).await;
        }
    }

    fn occupy(&self) -> Slot {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Slot(self.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Capacity(connections) = &self.0;
        connections.open.fetch_sub(1, Ordering::Relaxed);
        connections.closed.notify_waiters();
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
        let pool = Arc::<Pool>::default();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stopped(self.stop.clone()));
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                taken = self.take(&listener) => {
                    if let Some((stream, peer)) = taken {
                        connections.spawn(self.connect(stream, peer, &pool));
                    }
                }
                Some(_) = connections.join_next() => {}
                _ = sweep.tick() => pool.sweep(),
            }
        }
        // Who waits in the kernel's queue was told that it is connected, and may have asked already.
        while let Ok((stream, peer)) = self.listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            let Ok(stream) = stream else { continue };
            connections.spawn(self.connect(stream, peer, &pool));
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

    /// The next connection, once there is room for one.
    async fn take(&self, listener: &tokio::net::TcpListener) -> Option<(TcpStream, SocketAddr)> {
        self.capacity.room(&self.gateway).await;
        match listener.accept().await {
            Ok(taken) => Some(taken),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                None
            }
        }
    }

    fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        pool: &Arc<Pool>,
    ) -> impl Future<Output = ()> + use<> {
        let peer = Peer {
            gateway: Arc::clone(&self.gateway),
            pool: Arc::clone(pool),
            address: peer.ip(),
            stop: self.stop.clone(),
        };
        let tls = self.tls.clone();
        let slot = self.capacity.occupy();
        async move {
            let _slot = slot;
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
    // Boxed: a handshake takes much room, and a connection in clear none of it.
    match tokio::time::timeout(patience, Box::pin(tls.accept(stream))).await {
        Ok(Ok(stream)) => Some(Wire::Tls(Box::new(TlsStream::Server(stream)))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
