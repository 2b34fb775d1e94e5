//! One address before a server, as a load balancer or a network has it: it may lead elsewhere, to
//! nobody, or let nothing through.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Leads to the socket file of a server.
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<Option<PathBuf>>>,
    flows: watch::Sender<bool>,
    /// The one who takes connections, who holds them.
    taking: JoinSet<()>,
    listener: Arc<TcpListener>,
}

impl Forwarder {
    pub(crate) async fn to(socket: &Path) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut forwarder = Self {
            address: listener.local_addr().unwrap(),
            target: Arc::default(),
            flows: watch::Sender::new(true),
            taking: JoinSet::new(),
            listener,
        };
        forwarder.aim(Some(socket)).await;
        forwarder
    }

    /// Ends all connections; new ones lead there, or nowhere.
    pub(crate) async fn aim(&mut self, socket: Option<&Path>) {
        self.taking.shutdown().await;
        *self.target.lock().unwrap() = socket.map(Path::to_owned);
        let (listener, target) = (Arc::clone(&self.listener), Arc::clone(&self.target));
        let flows = self.flows.subscribe();
        self.taking.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let Some(target) = target.lock().unwrap().clone() else { continue };
                connections.spawn(lead(client, target, flows.clone()));
            }
        });
    }

    /// Whether bytes pass; what comes meanwhile waits.
    pub(crate) fn let_through(&self, flows: bool) {
        self.flows.send_replace(flows);
    }
}

async fn lead(client: TcpStream, target: PathBuf, flows: watch::Receiver<bool>) {
    let Ok(server) = UnixStream::connect(target).await else { return };
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    tokio::select! {
        () = pass(client_in, server_out, flows.clone()) => {}
        () = pass(server_in, client_out, flows) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flows: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        if flows.wait_for(|flows| *flows).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
