//! The way to upstream by an HTTP proxy (`upstream.proxy`): a connection to it that it makes one to
//! upstream, by CONNECT (RFC 9110, 9.3.6). Nothing of a call is sent before that stands.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::config::{ForwardProxy, Origin};
use crate::net::stream::Wire;

/// The longest head of a proxy's answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A proxy on the way to upstream.
pub(super) struct Proxy {
    /// Where the proxy is.
    pub(super) origin: Origin,
    /// How TLS is spoken with the proxy itself; `None` in clear.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The request for a tunnel to upstream. It may hold a password: nothing prints it.
    request: Vec<u8>,
}

/// The proxy brought no connection to upstream: nothing was sent there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the name in upstream.proxy has no address")]
    Resolve(#[source] io::Error),
    #[error("upstream.proxy does not take the connection at {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("the TLS handshake with upstream.proxy failed")]
    Tls(#[source] io::Error),
    #[error("upstream.proxy broke off before it had connected to upstream")]
    Broken(#[source] io::Error),
    #[error("upstream.proxy answers CONNECT with {status}: {}", advice(*.status))]
    Refused { status: u16 },
    #[error("upstream.proxy does not answer CONNECT as an HTTP proxy does: name another port")]
    Malformed,
}

/// What to do about a proxy's refusal.
fn advice(status: u16) -> &'static str {
    match status {
        401 | 407 => "check the user and the password in upstream.proxy",
        403 | 405 => "have it allow CONNECT to upstream's host and port",
        502..=504 => "it can't reach upstream",
        _ => "ask whoever runs it",
    }
}

impl Proxy {
    /// The proxy of that configuration, as a way to `upstream`.
    pub(super) fn new(
        proxy: &ForwardProxy,
        tls: Option<(TlsConnector, ServerName<'static>)>,
        upstream: &Origin,
    ) -> Self {
        let target = upstream.host_and_port();
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = &proxy.credentials {
            let encoded = STANDARD.encode(credentials.expose());
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&encoded);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self { origin: proxy.origin.clone(), tls, request: request.into_bytes() }
    }

    /// Makes of a connection to the proxy one to upstream.
    pub(super) async fn lead(&self, mut wire: Wire) -> Result<Wire, ProxyError> {
        if let Some((connector, name)) = &self.tls {
            wire = wire.secure(connector, name).await.map_err(ProxyError::Tls)?;
        }
        wire.write_all(&self.request).await.map_err(ProxyError::Broken)?;
        wire.flush().await.map_err(ProxyError::Broken)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX {
                return Err(ProxyError::Malformed);
            }
            // Byte by byte, so that nothing is taken of what upstream says behind it.
            head.push(wire.read_u8().await.map_err(ProxyError::Broken)?);
        }
        match status(&head) {
            Some(200..=299) => Ok(wire),
            Some(status) => Err(ProxyError::Refused { status }),
            None => Err(ProxyError::Malformed),
        }
    }
}

/// The status of an answer's head (RFC 9112, 4).
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, after) = rest.split_at_checked(3)?;
    let is_end = after.first().is_some_and(|byte| matches!(byte, b' ' | b'\r'));
    std::str::from_utf8(digits).ok().filter(|_| is_end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_as_it_is_meant() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\n\r\n", Some(407)),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 2000 \r\n\r\n", None),
            ("HTTP/2 200 \r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head}");
        }
    }
}
