//! Connections to upstream: every address of its name tried, TLS, HTTP/1.1 or HTTP/2 by ALPN.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::{TlsConnector, TlsStream};

use super::line::Line;
use super::shared::STREAMS_MAX;
use super::upload::RequestBody;
use crate::config::{Origin, Upstream};
use crate::wire::{ALPN_H2, ALPN_HTTP_1_1, Wire};

/// How long the next address waits for the former (RFC 8305, 5: Connection Attempt Delay).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// How much of one answer an HTTP/2 upstream may send ahead, in bytes. All calls of a connection
/// together may have as much, so that none that is read slowly keeps another waiting.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Makes connections to one upstream.
pub(crate) struct Dialer {
    origin: Origin,
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    /// Whether upstream chose HTTP/1.1 where it could have HTTP/2.
    http1_only: AtomicBool,
    /// The address that answered last, tried first.
    preferred: Mutex<Option<SocketAddr>>,
}

/// A fresh connection.
pub(super) enum Dialed {
    Http1(Line),
    Http2(http2::SendRequest<RequestBody>),
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
            preferred: Mutex::default(),
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
        tokio::time::timeout(self.connect_timeout, self.connect())
            .await
            .unwrap_or(Err(DialError::Timeout))
    }

    async fn connect(self: &Arc<Self>) -> Result<Dialed, DialError> {
        let stream = self.any_address().await?;
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
        if http2 {
            return http2_over(wire).await;
        }
        Line::over(wire, self).await.map(Dialed::Http1).map_err(DialError::Handshake)
    }

    /// The first address that answers; the next is tried when one fails or is slow.
    async fn any_address(&self) -> Result<TcpStream, DialError> {
        let mut addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.origin.host.as_str(), self.origin.port))
                .await
                .map_err(DialError::Resolve)?
                .take(ADDRESSES_MAX)
                .collect();
        let preferred = *self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.sort_by_key(|address| Some(*address) != preferred);
        let mut waiting = addresses.into_iter();
        let mut attempts = JoinSet::new();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        loop {
            if let Some(address) = waiting.next() {
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            } else if attempts.is_empty() {
                return Err(DialError::Connect(last));
            }
            let patience =
                if waiting.len() > 0 { NEXT_ADDRESS_AFTER } else { self.connect_timeout };
            match tokio::time::timeout(patience, attempts.join_next()).await {
                Ok(Some(Ok((address, Ok(stream))))) => {
                    let mut preferred =
                        self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
                    *preferred = Some(address);
                    return Ok(stream);
                }
                Ok(Some(Ok((_, Err(error))))) => last = error,
                // An attempt is never aborted while it is waited for; a slow one goes on.
                Ok(Some(Err(_)) | None) | Err(_) => {}
            }
        }
    }
}

async fn http2_over(wire: Wire) -> Result<Dialed, DialError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * STREAMS_MAX)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(DialError::Handshake)?;
    tokio::spawn(connection);
    Ok(Dialed::Http2(sender))
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
        let certificates =
            rustls::pki_types::CertificateDer::pem_file_iter(file).map_err(TrustError::File)?;
        for certificate in certificates {
            roots.add(certificate.map_err(TrustError::File)?).map_err(TrustError::Certificate)?;
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
