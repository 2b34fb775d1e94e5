//! Upstream as connections are made to it: its name, how far it is trusted, and in which order its
//! addresses are tried.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::trust::{TrustError, Trusted};
use super::tunnel::{Proxy, ProxyError};
use crate::config::{Limits, Origin, Upstream};
use crate::net::stream::{ALPN_H2, ALPN_HTTP_1_1};

/// One upstream, to which connections are made (`connect`).
pub(crate) struct Dialer {
    origin: Origin,
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The proxy on the way, to which connections are made then.
    proxy: Option<Proxy>,
    connect_timeout: Duration,
    /// The longest heads of answers that its connections take.
    pub(crate) heads: HeadLimits,
    /// Whether upstream chose HTTP/1.1 where it could have HTTP/2.
    http1_only: AtomicBool,
    favour: Mutex<Favour>,
    /// Whether an address is tried last.
    has_doubt: AtomicBool,
}

/// The bounds of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// In which order the addresses of upstream's name are tried. None is ever left out: what is dead
/// now may be the only one that lives later.
#[derive(Debug, Default)]
struct Favour {
    /// The one that took a connection last.
    first: Option<SocketAddr>,
    /// The one that failed last.
    last: Option<SocketAddr>,
    /// Whether there is more than one to choose from.
    choice: bool,
}

/// No connection came about: nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("upstream's name can't be looked up")]
    Resolve(#[source] io::Error),
    #[error("{address} does not take the connection")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("upstream's name stands for no address")]
    Nameless,
    #[error("upstream did not take the connection in time")]
    Timeout,
    #[error("upstream's TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("upstream's HTTP handshake failed")]
    Handshake(#[source] hyper::Error),
    #[error("upstream.proxy brought no connection to upstream")]
    Proxy(#[source] ProxyError),
}

impl From<&Limits> for HeadLimits {
    fn from(limits: &Limits) -> Self {
        Self { bytes: limits.header_bytes, fields: limits.header_count }
    }
}

impl Dialer {
    pub(crate) fn new(upstream: &Upstream, heads: HeadLimits) -> Result<Self, TrustError> {
        let origin = upstream.origin.clone();
        let mut trusted = Trusted::new(upstream.ca_file.clone());
        let tls = origin.tls.then(|| trusted.connector(&origin, &[ALPN_H2, ALPN_HTTP_1_1]));
        let tls = tls.transpose()?;
        let proxy = upstream.proxy.as_ref().map(|proxy| {
            let tls = proxy.origin.tls.then(|| trusted.connector(&proxy.origin, &[ALPN_HTTP_1_1]));
            Ok(Proxy::new(proxy, tls.transpose()?, &origin))
        });
        let proxy = proxy.transpose()?;
        let authority = HeaderValue::try_from(origin.authority()).map_err(TrustError::Host)?;
        Ok(Self {
            origin,
            authority,
            tls,
            proxy,
            connect_timeout: upstream.connect_timeout,
            heads,
            http1_only: AtomicBool::new(false),
            favour: Mutex::default(),
            has_doubt: AtomicBool::new(false),
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

    /// Where upstream is.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where connections are made to: upstream, or the proxy on the way.
    pub(crate) fn first_hop(&self) -> &Origin {
        self.proxy.as_ref().map_or(&self.origin, |proxy| &proxy.origin)
    }

    /// The proxy on the way, if any.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
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
        let mut favour = self.favour();
        favour.first = Some(address);
        favour.last = favour.last.filter(|last| *last != address);
        self.has_doubt.store(favour.last.is_some(), Ordering::Relaxed);
    }

    /// An address took no connection, or one took a request and brought nothing: where there are
    /// others, it is tried last from now on, and no call gets a connection that is kept to it until
    /// it has taken a new one.
    pub(crate) fn doubt(&self, address: SocketAddr) {
        let mut favour = self.favour();
        if favour.choice {
            favour.first = favour.first.filter(|first| *first != address);
            favour.last = Some(address);
            self.has_doubt.store(true, Ordering::Relaxed);
        }
    }

    /// Whether calls may go on over a connection to `address`.
    pub(crate) fn trusts(&self, address: SocketAddr) -> bool {
        !self.has_doubt.load(Ordering::Relaxed) || self.favour().last != Some(address)
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

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialer({})", self.origin.authority())
    }
}
