//! A connection's bytes, in clear or under TLS, on either side of the gateway.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::InvalidMessage::InvalidContentType;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// The name of HTTP/2 in ALPN (RFC 9113, 3.1).
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// The name of HTTP/1.1 in ALPN (RFC 7301, 6).
pub(crate) const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// A TCP connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    /// By a socket file, in clear.
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS within what another wire carries, which has TLS of its own.
    Nested(Box<TlsStream<Wire>>),
}

impl Wire {
    /// The client's side of TLS over this wire.
    pub(crate) async fn secure(
        self,
        connector: &TlsConnector,
        name: &ServerName<'static>,
    ) -> io::Result<Self> {
        Ok(match self {
            Self::Plain(stream) => {
                let tls = connector.connect(name.clone(), stream).await?;
                Self::Tls(Box::new(TlsStream::Client(tls)))
            }
            wire => {
                let tls = Box::pin(connector.connect(name.clone(), wire)).await?;
                Self::Nested(Box::new(TlsStream::Client(tls)))
            }
        })
    }

    /// The server's side of TLS over this wire; so many bytes of what is written wait for room at
    /// most.
    pub(crate) async fn accept(self, acceptor: &TlsAcceptor, waiting: usize) -> io::Result<Self> {
        Ok(match self {
            Self::Plain(stream) => {
                let mut tls = acceptor.accept(stream).await?;
                tls.get_mut().1.set_buffer_limit(Some(waiting));
                Self::Tls(Box::new(TlsStream::Server(tls)))
            }
            wire => {
                let mut tls = Box::pin(acceptor.accept(wire)).await?;
                tls.get_mut().1.set_buffer_limit(Some(waiting));
                Self::Nested(Box::new(TlsStream::Server(tls)))
            }
        })
    }

    /// Whether nothing is encrypted, so that what is written goes to the kernel at once.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Unix(_))
    }

    /// The protocol that ALPN agreed on, if any.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            Self::Nested(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Lets go, once it is dropped, of all that the other side has not taken: the kernel would go
    /// on offering it to who takes nothing, at the cost of its memory.
    pub(crate) fn forsake(&self) {
        let stream = match self {
            Self::Plain(stream) => stream,
            // What was not taken goes with the socket.
            Self::Unix(_) => return,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Nested(stream) => return stream.get_ref().0.forsake(),
        };
        // Best effort: a connection that is broken already has nothing to offer.
        let _ = stream.set_zero_linger();
    }
}

/// Whether a handshake failed since the other side does not speak TLS at all.
pub(crate) fn is_without_tls(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(rustls::Error::InvalidMessage(InvalidContentType)))
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Nested(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Nested(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Nested(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Nested(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Nested(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Nested(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
