//! One connection: its bytes, watched so that who takes nothing of an answer is cut, and its end.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::places::Presence;
use crate::base::peer::PeerAddress;
use crate::net::stream::{Wire, is_without_tls};
use crate::net::throughput::StallMeter;
use crate::net::timer::LazyTimer;

/// How long a handshake may take, a whole request head, and a connection be idle.
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How much of what was written under TLS waits for room in the kernel, in bytes. What goes of it
/// is not seen before all has gone.
const SEALED_BYTES_MAX: usize = 16 * 1024;

/// How long a client may take to take an answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without taking anything.
    pub write: Duration,
    /// For each share of it, as `limits.pace_timeout` has it.
    pub pace: Duration,
}

/// A connection that has come.
pub(super) struct Comes {
    pub(super) wire: Wire,
    pub(super) peer: PeerAddress,
    /// TLS, where it is configured.
    pub(super) tls: Option<TlsAcceptor>,
}

/// Leads one connection to its end.
pub(super) async fn serve(
    Comes { wire, peer, tls }: Comes,
    patience: Patience,
    router: Router,
    presence: Presence,
    shutdown: CancellationToken,
) {
    let Some(wire) = secure(wire, tls).await else { return };
    let watched = Watched { wire, patience, writing: LazyTimer::default(), taking: None };
    let answered = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(presence.clone());
        request.extensions_mut().insert(peer);
        answered.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(watched), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection broke");
    }
}

/// Whether clients without TLS were told of: once, for anybody may be one.
static TOLD_OF_PLAIN: AtomicBool = AtomicBool::new(false);

/// The connection under TLS, where that is configured; `None` where the handshake fails.
async fn secure(wire: Wire, tls: Option<TlsAcceptor>) -> Option<Wire> {
    let Some(tls) = tls else { return Some(wire) };
    // Boxed: a handshake takes much room, and a connection in clear none of it.
    let handshake = timeout(HEAD_WAIT, Box::pin(wire.accept(&tls, SEALED_BYTES_MAX))).await;
    match handshake {
        Ok(Ok(wire)) => Some(wire),
        Ok(Err(error)) => {
            if is_without_tls(&error) && !TOLD_OF_PLAIN.swap(true, Ordering::Relaxed) {
                let listener = "listen.admin";
                tracing::warn!(
                    listener,
                    "clients speak without TLS where it is: https is for them"
                );
            }
            tracing::debug!(%error, "a TLS handshake with the admin listener failed");
            None
        }
        Err(_late) => None,
    }
}

/// A connection whose client has to take what is written.
#[derive(Debug)]
struct Watched {
    wire: Wire,
    patience: Patience,
    writing: LazyTimer,
    /// How the client takes what waits for it; `None` where it takes what comes.
    taking: Option<StallMeter>,
}

impl Watched {
    /// Hands something over. `moved` tells how much the client took; `None` where it took all.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<io::Result<T>>,
        moved: impl FnOnce(&T) -> Option<usize>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.wire), cx) {
            let Some(taking) = &mut self.taking else { return Poll::Ready(written) };
            match written.as_ref().ok().and_then(moved) {
                Some(bytes) if taking.advance(bytes, self.patience.pace).is_err() => {
                    return given_up();
                }
                Some(_) => {}
                None => self.taking = None,
            }
            return Poll::Ready(written);
        }
        let due = self.taking.get_or_insert_default().wait() + self.patience.write;
        ready!(self.writing.poll(due, cx));
        given_up()
    }

    fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Wire>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.taking.is_some() && !self.wire.is_clear() {
            // The session takes more than its client does, which would look like progress.
            ready!(self.poll_write_with(cx, Wire::poll_flush, |()| None))?;
        }
        self.poll_write_with(cx, write, |taken| Some(*taken))
    }
}

/// The end of a client that does not take its answer.
fn given_up<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The kernel would go on offering what the client does not take.
        if self.taking.is_some() {
            self.wire.forsake();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bytes(cx, |wire, cx| wire.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_bytes(cx, |wire, cx| wire.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, Wire::poll_flush, |()| None)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_with(cx, Wire::poll_shutdown, |()| None)
    }
}
