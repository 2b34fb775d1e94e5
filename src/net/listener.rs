//! Where connections come in: an address of TCP, or a socket file.

use std::io;
use std::os::unix::net::UnixListener;

use tokio::net::{TcpStream, UnixStream};

use super::stream::Wire;
use crate::base::peer::PeerAddress;

/// A connection that has come, and where it came from.
pub(crate) type Arrival = (Wire, PeerAddress);

/// A listening socket of no runtime yet, which does not block.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Bound {
    /// The same socket once more.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Listens on the runtime in whose context this is called.
    pub(crate) fn listen(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(listener) => Listener::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Self::Unix(listener) => Listener::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    /// A connection that waits already; `WouldBlock` where none does.
    pub(crate) fn accept_waiting(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let _ = stream.set_nodelay(true);
                let peer = PeerAddress::Ip(peer.ip());
                Ok((Wire::Plain(TcpStream::from_std(stream)?), peer))
            }
            Self::Unix(listener) => {
                let (stream, _unnamed) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Wire::Unix(UnixStream::from_std(stream)?), PeerAddress::SocketFile))
            }
        }
    }
}

impl Listener {
    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Fails only where the socket is dead already, which the next read will tell.
                let _ = stream.set_nodelay(true);
                Ok((Wire::Plain(stream), PeerAddress::Ip(peer.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _unnamed) = listener.accept().await?;
                Ok((Wire::Unix(stream), PeerAddress::SocketFile))
            }
        }
    }
}
