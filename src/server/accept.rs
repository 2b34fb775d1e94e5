//! Workers: a listening socket each, connections taken up to a bound, and a graceful end.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::capacity::{Capacity, ConnectionSet, Slot};
use super::connection;
use super::guard::Requests;
use super::peer::Peer;
use super::socket_file::{self, SocketFile};
use super::tasks::Running;
use super::tls::Certificate;
use crate::base::peer::PeerAddress;
use crate::config::ListenAddress;
use crate::gateway::{Gateway, Pool, SWEEP_EVERY, network};
use crate::net::listener::{Arrival, Bound, Listener};
use crate::net::stream::{Wire, is_without_tls};
use crate::net::thread::spawn;

/// How many connections the kernel holds before they are accepted.
const BACKLOG: i32 = 1024;

/// How much of what was written to a client the kernel holds beside what is on its way, in bytes.
/// Half of it has to go before the kernel says that anything went: so much has a client to take
/// within `limits.write_timeout`.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 32 * 1024;

/// How much of what was written to a client under TLS waits for room in the kernel, in bytes. What
/// goes of it is not seen before all has gone.
const SEALED_BYTES_MAX: usize = 16 * 1024;

/// How long accepting rests after an error such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// How many tasks have their turn before a worker looks for what has come on its connections. The
/// usual 61 would let a few clients that keep it busy hold up all others by milliseconds.
const TASKS_BETWEEN_EVENTS: u32 = 16;

/// How long a full worker waits before it looks at the bound again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One worker, ready to start.
pub(super) struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) listener: Bound,
    pub(super) tls: Option<Certificate>,
    pub(super) capacity: Capacity,
    /// The most client connections that the open files are enough for.
    pub(super) most_by_files: usize,
    /// Cancelled once the server stops.
    pub(super) stop: CancellationToken,
    /// The connections, closed once no more are taken.
    pub(super) connections: TaskTracker,
    /// Cancelled after that.
    pub(super) dismissed: CancellationToken,
    pub(super) _running: Running,
}

/// The sockets of a listener: one for each worker.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Where they listen.
    pub(super) address: ListenAddress,
    pub(super) listeners: Vec<Bound>,
    /// The file that is removed at the end.
    pub(super) file: Option<SocketFile>,
}

/// Binds one socket for each worker to the same address. Sockets that share an address would
/// silently share its connections with another program that does the same, so a first socket
/// asks for the address alone. Of a socket file there is one socket, which all workers share.
pub(super) fn bind(address: &ListenAddress, mode: u32, workers: usize) -> io::Result<Sockets> {
    let mut listeners = Vec::with_capacity(workers);
    let mut address = match address {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix(path) => {
            let (listener, file) = socket_file::bind(path, mode, BACKLOG)?;
            for _ in 1..workers {
                listeners.push(Bound::Unix(listener.try_clone()?));
            }
            listeners.push(Bound::Unix(listener));
            return Ok(Sockets { address: address.clone(), listeners, file: Some(file) });
        }
    };
    drop(TcpListener::bind(address)?);
    for _ in 0..workers.max(1) {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        #[cfg(target_os = "linux")]
        keep_little_unsent(&socket);
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(Bound::Tcp(listener));
    }
    Ok(Sockets { address: ListenAddress::Tcp(address), listeners, file: None })
}

/// Has the kernel say, of the connections of a listener, that there is room for more once little of
/// what it holds is still to be sent: else it would take megabytes for a client that takes nothing,
/// and who takes them slowly would seem to take nothing for minutes.
#[cfg(target_os = "linux")]
fn keep_little_unsent(listener: &Socket) {
    // Best effort: where the kernel refuses, slow clients only seem slower than they are.
    let _ = listener.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

impl Worker {
    /// Starts the worker's thread.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BETWEEN_EVENTS)
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            self.listener.try_clone()?.listen()?
        };
        spawn("changegate-worker", runtime, |runtime| runtime.block_on(self.work(listener)))
    }

    async fn work(self, listener: Listener) {
        let pool = Arc::<Pool>::default();
        let mut guests = ConnectionSet::default();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                taken = self.take(&listener, &mut guests) => {
                    if let Some((wire, peer)) = taken {
                        self.welcome(wire, peer, &pool, &mut guests);
                    }
                }
                _ = sweep.tick() => pool.sweep(),
            }
        }
        self.connections.close();
        self.dismissed.cancel();
        // Who waits in the kernel's queue was told that it is connected, and may have asked.
        for _ in 0..BACKLOG {
            match self.listener.accept_waiting() {
                Ok((wire, peer)) => self.welcome(wire, peer, &pool, &mut guests),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It has gone away meanwhile; the next one may be there.
                Err(_) => {}
            }
        }
        // The kernel turns away whoever comes now; whoever is here may finish.
        drop((listener, self.listener));
        let drain = self.gateway.live().config.limits.drain_timeout;
        let all_done = async {
            self.connections.wait().await;
            self.gateway.idle().await;
        };
        if tokio::time::timeout(drain, all_done).await.is_err() {
            tracing::warn!(
                open = self.connections.len(),
                "drain_timeout is over: connections are cut"
            );
        }
    }

    /// The next connection, once there is room for one.
    async fn take(&self, listener: &Listener, guests: &mut ConnectionSet) -> Option<Arrival> {
        loop {
            let freed = self.capacity.freed();
            let most = self.gateway.live().config.limits.connections.min(self.most_by_files);
            if self.capacity.open() < most {
                break;
            }
            guests.make_room(&self.capacity);
            // A connection may come to rest meanwhile, and the bound be raised by a reload.
            let _ = tokio::time::timeout(LOOK_AGAIN_AFTER, freed).await;
        }
        match listener.accept().await {
            Ok(taken) => Some(taken),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                None
            }
        }
    }

    /// Serves a connection on a task of its own; one too many of its address is closed at once.
    fn welcome(
        &self,
        wire: Wire,
        address: PeerAddress,
        pool: &Arc<Pool>,
        guests: &mut ConnectionSet,
    ) {
        let config = &self.gateway.live().config;
        let one = config.limits.connections_per_address;
        let most = if config.listen.trusts_peer(address) { usize::MAX } else { one };
        let network = network(address.ip());
        let Some(slot) = self.capacity.occupy(network, most) else {
            self.gateway.metrics.connection_refused();
            return;
        };
        let requests = Requests::new();
        let peer = Peer {
            gateway: Arc::clone(&self.gateway),
            pool: Arc::clone(pool),
            address,
            requests: requests.clone(),
            connections: self.connections.clone(),
            dismissed: self.dismissed.clone(),
        };
        let task = self.connections.spawn(connect(wire, self.acceptor(), peer, slot));
        guests.welcome(network, requests, task.abort_handle());
    }
}

impl Worker {
    /// The acceptor of a handshake that begins now; `None` in clear.
    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(Certificate::acceptor)
    }
}

async fn connect(wire: Wire, tls: Option<TlsAcceptor>, peer: Peer, slot: Slot) {
    let _counted = peer.gateway.metrics.connection();
    if let Some(wire) = secure(wire, tls, &peer).await {
        connection::serve(wire, &peer).await;
    }
    drop(slot);
}

/// Whether clients without TLS were told of: once, for anybody may be one.
static TOLD_OF_PLAIN: AtomicBool = AtomicBool::new(false);

/// The connection under TLS, where that is configured; `None` where the handshake fails.
async fn secure(wire: Wire, tls: Option<TlsAcceptor>, peer: &Peer) -> Option<Wire> {
    let Some(tls) = tls else { return Some(wire) };
    let patience = peer.gateway.live().config.limits.header_timeout;
    // Boxed: a handshake takes much room, and a connection in clear none of it.
    let accepting = Box::pin(wire.accept(&tls, SEALED_BYTES_MAX));
    match tokio::time::timeout(patience, accepting).await {
        Ok(Ok(wire)) => Some(wire),
        Ok(Err(error)) => {
            if is_without_tls(&error) && !TOLD_OF_PLAIN.swap(true, Ordering::Relaxed) {
                let listener = "listen.proxy";
                tracing::warn!(
                    listener,
                    "clients speak without TLS where it is: https is for them"
                );
            }
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
