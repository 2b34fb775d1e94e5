//! Connections to a receiver, in clear or under TLS. No proxy is asked.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::{Origin, Target};
use crate::net::stream::Wire;
use crate::upstream::trust::{TrustError, Trusted};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Where connections are made to.
pub(crate) struct Dial {
    origin: Origin,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// No connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    Late,
}

impl Dial {
    pub(crate) fn new(to: &Target, protocols: &[&[u8]]) -> Result<Self, TrustError> {
        let origin = to.origin.clone();
        let mut trusted = Trusted::new(to.ca_file.clone());
        let tls = origin.tls.then(|| trusted.connector(&origin, protocols)).transpose()?;
        Ok(Self { origin, tls })
    }

    /// The host that connections are made to.
    pub(crate) fn host(&self) -> &str {
        &self.origin.host
    }

    pub(crate) async fn connect(&self) -> Result<Wire, DialError> {
        let connected = timeout(CONNECT_WITHIN, self.connected()).await;
        connected.unwrap_or(Err(DialError::Late))
    }

    async fn connected(&self) -> Result<Wire, DialError> {
        let place = (self.origin.host.as_str(), self.origin.port);
        let stream = TcpStream::connect(place).await.map_err(DialError::Connect)?;
        // Fails only where the socket is dead already, which the next write will tell.
        let _ = stream.set_nodelay(true);
        let wire = Wire::Plain(stream);
        match &self.tls {
            Some((connector, name)) => wire.secure(connector, name).await.map_err(DialError::Tls),
            None => Ok(wire),
        }
    }
}
