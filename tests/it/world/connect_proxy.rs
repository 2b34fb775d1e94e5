//! An HTTP proxy that makes tunnels, or does otherwise.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::certificate::Certificate;

/// The proxy's answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connects {
    /// A tunnel to the target, whatever it is.
    Well,
    /// These bytes, and the end.
    Says(&'static str),
    /// Nothing.
    Never,
}

/// The proxy.
pub(crate) struct ConnectProxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// A proxy that answers so, under TLS where it has a certificate.
    pub(crate) async fn start(connects: Connects, certificate: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (log, acceptor) =
            (Arc::clone(&heads), certificate.map(|it| it.acceptor(&["http/1.1"])));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, acceptor) = (Arc::clone(&log), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(tls) => serve(tls.accept(stream).await.unwrap(), connects, &log).await,
                        None => serve(stream, connects, &log).await,
                    }
                });
            }
        });
        Self { address, heads }
    }

    /// The requests that came, each a head.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve<W>(mut wire: W, connects: Connects, log: &Mutex<Vec<String>>)
where
    W: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = wire.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    log.lock().unwrap().push(head);
    match connects {
        Connects::Well => {
            let mut upstream = TcpStream::connect(target).await.unwrap();
            wire.write_all(b"HTTP/1.1 200 Connection established\r\nx-a: b\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut wire, &mut upstream).await;
        }
        Connects::Says(bytes) => {
            let _ = wire.write_all(bytes.as_bytes()).await;
            let _ = wire.shutdown().await;
        }
        // Until the other side has had enough.
        Connects::Never => drop(wire.read_u8().await),
    }
}
