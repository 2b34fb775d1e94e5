//! Connections to upstream: every address of its name tried, TLS, HTTP/1.1 or HTTP/2 by ALPN.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsConnector, TlsStream};

use super::line::Http1Connection;
use super::shared::STREAMS_MAX;
use super::upload::RequestBody;
use crate::config::{Origin, Upstream};
use crate::file;
use crate::wire::{ALPN_H2, ALPN_HTTP_1_1, Wire};

/// How long the next address waits for the former (RFC 8305, 5: Connection Attempt Delay).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// How much of one answer an HTTP/2 upstream may send ahead, in bytes. All calls of a connection
/// together may have as much, so that none that is read slowly keeps another waiting.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// The most addresses of which a doubt is remembered.
const DOUBTED_MAX: usize = 64;

/// Makes connections to one upstream.
pub(crate) struct Dialer {
    origin: Origin,
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    /// Whether upstream chose HTTP/1.1 where it could have HTTP/2.
    http1_only: AtomicBool,
    favour: Mutex<Favour>,
    /// How often an address fell into doubt.
    doubts: AtomicU32,
}

/// In which order the addresses of upstream's name are tried. None is ever left out: what is dead
/// now may be the only one that lives later.
#[derive(Debug, Default)]
struct Favour {
    /// The one that took a connection last.
    first: Option<SocketAddr>,
    /// The one that failed last.
    last: Option<SocketAddr>,
    /// The number of each one's last doubt.
    doubted: HashMap<SocketAddr, u32>,
    /// Whether there is more than one to choose from.
    choice: bool,
}

/// A fresh connection.
pub(super) enum Dialed {
    Http1(Box<Http1Connection>),
    Http2(http2::SendRequest<RequestBody>, FarEnd),
}

/// Which address a connection leads to, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct FarEnd {
    address: SocketAddr,
    doubts: u32,
}

/// No connection came about: nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("upstream's name has no address")]
    Resolve(#[source] io::Error),
    #[error("upstream does not take the connection")]
    Connect(#[source] io::Error),
    #[error("upstream did not take the connection in time")]
    Timeout,
    #[error("upstream's TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("upstream's HTTP handshake failed")]
    Handshake(#[source] hyper::Error),
}

/// The trust or the name of an upstream can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("the certificate authorities in upstream.ca_file can't be used")]
    File(#[source] rustls::pki_types::pem::Error),
    #[error("a certificate in upstream.ca_file can't be used")]
    Certificate(#[source] rustls::Error),
    #[error("upstream.url's host is no name that a certificate can carry")]
    Name(#[source] rustls::pki_types::InvalidDnsNameError),
    #[error("upstream.url's host can't stand in a Host header")]
    Host(#[source] http::header::InvalidHeaderValue),
}

impl Dialer {
    pub(crate) fn new(upstream: &Upstream) -> Result<Self, TrustError> {
        let origin = upstream.origin.clone();
        let tls = origin.tls.then(|| connector(upstream)).transpose()?;
        let authority = HeaderValue::try_from(origin.authority()).map_err(TrustError::Host)?;
        Ok(Self {
            origin,
            authority,
            tls,
            connect_timeout: upstream.connect_timeout,
            http1_only: AtomicBool::new(false),
            favour: Mutex::default(),
            doubts: AtomicU32::new(0),
        })
    }

    /// What goes into `Host`.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// `http` or `https`, for HTTP/2's `:scheme`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.origin.tls { "https" } else { "http" }
    }

    /// Whether connections may speak HTTP/2, so that one is worth sharing.
    pub(super) fn may_share(&self) -> bool {
        self.tls.is_some() && !self.http1_only.load(Ordering::Relaxed)
    }

    /// How long a connection may take to come about.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Connects within `connect_timeout`, all addresses together.
    pub(super) async fn dial(self: &Arc<Self>) -> Result<Dialed, DialError> {
        let due = Instant::now() + self.connect_timeout;
        let named = timeout_at(due, self.addresses()).await.unwrap_or(Err(DialError::Timeout))?;
        let taken = timeout_at(due, self.any_of(named)).await.unwrap_or(Err(DialError::Timeout));
        let (stream, address) = taken?;
        let ready = timeout_at(due, self.over(stream, address)).await;
        let ready = ready.unwrap_or(Err(DialError::Timeout));
        match ready {
            Ok(_) => self.favour().first = Some(address),
            Err(_) => self.doubt(address),
        }
        ready
    }

    /// Speaks TLS and HTTP, as far as upstream does.
    async fn over(
        self: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Dialed, DialError> {
        // Fails only where the socket is dead already, which the next write will tell.
        let _ = stream.set_nodelay(true);
        let wire = match &self.tls {
            None => Wire::Plain(stream),
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), stream).await.map_err(DialError::Tls)?;
                Wire::Tls(Box::new(TlsStream::Client(tls)))
            }
        };
        let http2 = wire.alpn() == Some(ALPN_H2);
        self.http1_only.store(!http2, Ordering::Relaxed);
        let far_end = FarEnd { address, doubts: self.doubts.load(Ordering::Relaxed) };
        if http2 {
            return Ok(Dialed::Http2(http2_over(wire).await?, far_end));
        }
        let line = Http1Connection::over(wire, self, far_end).await;
        line.map(Dialed::Http1).map_err(DialError::Handshake)
    }

    /// What upstream's name stands for now.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        let named = tokio::net::lookup_host((self.origin.host.as_str(), self.origin.port));
        Ok(named.await.map_err(DialError::Resolve)?.take(ADDRESSES_MAX).collect())
    }

    /// The first address that answers; the next is tried when one fails or is slow.
    async fn any_of(
        &self,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<(TcpStream, SocketAddr), DialError> {
        {
            let mut favour = self.favour();
            favour.choice = addresses.len() > 1;
            addresses.sort_by_key(|address| favour.rank(*address));
        }
        // All of them get their try, also where little time is allowed.
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let next_after = NEXT_ADDRESS_AFTER.min(self.connect_timeout / count);
        let mut waiting = addresses.into_iter();
        let mut attempts = JoinSet::new();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        loop {
            if let Some(address) = waiting.next() {
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            } else if attempts.is_empty() {
                return Err(DialError::Connect(last));
            }
            let patience = if waiting.len() > 0 { next_after } else { self.connect_timeout };
            match timeout(patience, attempts.join_next()).await {
                Ok(Some(Ok((address, Ok(stream))))) => return Ok((stream, address)),
                Ok(Some(Ok((_, Err(error))))) => last = error,
                // An attempt is never aborted while it is waited for; a slow one goes on.
                Ok(Some(Err(_)) | None) | Err(_) => {}
            }
        }
    }

    /// A connection took a request and brought nothing: the address is tried last from now on, and
    /// where there are others, no call gets a connection to it that was made before.
    pub(super) fn doubt_of(&self, far_end: FarEnd) {
        if self.trusts(far_end) {
            self.doubt(far_end.address);
        }
    }

    fn doubt(&self, address: SocketAddr) {
        let mut favour = self.favour();
        if favour.choice {
            favour.first = favour.first.filter(|first| *first != address);
            favour.last = Some(address);
            let number = self.doubts.fetch_add(1, Ordering::Relaxed) + 1;
            if favour.doubted.len() >= DOUBTED_MAX {
                favour.doubted.clear();
            }
            favour.doubted.insert(address, number);
        }
    }

    /// Whether a connection's address has not fallen into doubt since it was made.
    pub(super) fn trusts(&self, far_end: FarEnd) -> bool {
        if far_end.doubts == self.doubts.load(Ordering::Relaxed) {
            return true;
        }
        let favour = self.favour();
        // What is not remembered was doubted long ago, or never.
        favour.doubted.get(&far_end.address).is_none_or(|number| *number <= far_end.doubts)
    }

    fn favour(&self) -> MutexGuard<'_, Favour> {
        self.favour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Favour {
    fn rank(&self, address: SocketAddr) -> u8 {
        if self.first == Some(address) { 0 } else { 1 + u8::from(self.last == Some(address)) }
    }
}

async fn http2_over(wire: Wire) -> Result<http2::SendRequest<RequestBody>, DialError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * STREAMS_MAX)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(DialError::Handshake)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Trusts the system's certificate authorities, and those of `ca_file` beside them.
fn connector(upstream: &Upstream) -> Result<(TlsConnector, ServerName<'static>), TrustError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in system.errors {
        tracing::warn!(%error, "a system certificate authority can't be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(file) = &upstream.ca_file {
        for certificate in file::certificates(file).map_err(TrustError::File)? {
            roots.add(certificate).map_err(TrustError::Certificate)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Certificate)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    let name = ServerName::try_from(upstream.origin.host.clone()).map_err(TrustError::Name)?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialer({})", self.origin.authority())
    }
}

#[cfg(test)]
mod tests;
