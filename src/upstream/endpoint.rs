//! Upstream as connections are made to it: its name, how far it is trusted, and in which order its
//! addresses are tried.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::{Origin, Upstream};
use crate::file;
use crate::net::stream::{ALPN_H2, ALPN_HTTP_1_1};

/// The most addresses of which a doubt is remembered.
const DOUBTED_MAX: usize = 64;

/// One upstream, to which connections are made (`connect`).
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

/// Which address a connection leads to, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FarEnd {
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
    #[error("upstream.url's host is not a name that a certificate can carry")]
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

    /// The value of `Host`.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// `http` or `https`, for HTTP/2's `:scheme`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.origin.tls { "https" } else { "http" }
    }

    /// Whether connections may speak HTTP/2, so that one is worth sharing.
    pub(crate) fn may_share(&self) -> bool {
        self.tls.is_some() && !self.http1_only.load(Ordering::Relaxed)
    }

    /// How long a connection may take to come about.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The far end of a connection that is made to `address` now.
    pub(crate) fn far_end(&self, address: SocketAddr) -> FarEnd {
        FarEnd { address, doubts: self.doubts.load(Ordering::Relaxed) }
    }

    /// Where upstream is, as its name and port say.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How TLS is spoken with it, and under which name; `None` in clear.
    pub(crate) fn tls(&self) -> Option<&(TlsConnector, ServerName<'static>)> {
        self.tls.as_ref()
    }

    /// Learns whether upstream chose HTTP/2 where it could.
    pub(crate) fn learn_version(&self, is_http2: bool) {
        self.http1_only.store(!is_http2, Ordering::Relaxed);
    }

    /// Puts addresses in the order in which they are tried.
    pub(crate) fn rank(&self, addresses: &mut [SocketAddr]) {
        let mut favour = self.favour();
        favour.choice = addresses.len() > 1;
        addresses.sort_by_key(|address| favour.rank(*address));
    }

    /// Remembers an address that took a connection: it is tried first from now on.
    pub(crate) fn favour_of(&self, address: SocketAddr) {
        self.favour().first = Some(address);
    }

    /// A connection took a request and brought nothing: the address is tried last from now on, and
    /// where there are others, no call gets a connection to it that was made before.
    pub(crate) fn doubt_of(&self, far_end: FarEnd) {
        if self.trusts(far_end) {
            self.doubt(far_end.address);
        }
    }

    /// Has an address tried last from now on, where there are others.
    pub(crate) fn doubt(&self, address: SocketAddr) {
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
    pub(crate) fn trusts(&self, far_end: FarEnd) -> bool {
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
