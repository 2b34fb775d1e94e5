//! A connection to a Redis or Valkey, and the script that it is asked by.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError, Script,
    ServerErrorKind,
};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::base::excerpt::excerpt;
use crate::config::{BackendAddress, LimitBackend, Origin, Rate, SharedLimits};
use crate::gateway::limit::Share;
use crate::net::stream::Wire;
use crate::upstream::trust::{TrustError, Trusted};

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);

/// How long a connection may take to come about.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_millis(250);

/// The most characters of the address of another server: of a host's name, and of a port.
const ADDRESS_MAX: usize = 260;

/// The most characters of an error of the backend's that are told.
const TOLD_MAX: usize = 200;

/// The longest wait that there can be: a burst's at the slowest rate, and that of what is owed.
const MICROS_MAX: u64 = 1 << 60;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("gcra.lua")));

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("it is away")]
    Away,
    #[error("no answer within {} ms", ANSWER_WITHIN.as_millis())]
    Slow,
    #[error("no connection within {} ms", CONNECT_WITHIN.as_millis())]
    SlowConnect,
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// In its own words, cut.
    #[error("it says {0}")]
    Refused(String),
    #[error("the connection is gone, or what came does not answer the question")]
    Lost,
    /// Another server of its cluster has the bucket: which slot it lies in, and where that is.
    #[error("slot {0} is at {1}, where nobody answers for it")]
    Moved(u16, String),
}

impl From<RedisError> for AskError {
    fn from(error: RedisError) -> Self {
        if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved))
            && let Some((address, slot)) = error.redirect_node()
        {
            return Self::Moved(slot, excerpt(address, ADDRESS_MAX));
        }
        match error.code() {
            Some(code) => {
                let said = format!("{code} {}", error.detail().unwrap_or_default());
                Self::Refused(excerpt(said.trim_end(), TOLD_MAX))
            }
            None => Self::Lost,
        }
    }
}

/// How many drops are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taking {
    /// All, or none.
    Ask,
    /// As many as there are.
    Fit,
    /// All, for they are taken already.
    Owe,
}

impl Taking {
    /// The word for it in the script.
    fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Fit => "fit",
            Self::Owe => "owe",
        }
    }
}

/// The backend's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) is_taken: bool,
    pub(super) left: u32,
    /// How long until the call fits, where it was not taken.
    pub(super) wait: Duration,
}

/// A backend, as connections are made to it.
pub(super) struct Dial {
    at: BackendAddress,
    tls: Option<TlsConnector>,
    login: RedisConnectionInfo,
}

impl Dial {
    pub(super) fn new(backend: &LimitBackend, shared: &SharedLimits) -> Result<Self, TrustError> {
        let tls = match &backend.at {
            BackendAddress::Tcp(origin) if origin.tls => {
                Some(Trusted::new(shared.ca_file.clone()).connector(origin, &[])?.0)
            }
            BackendAddress::Tcp(_) | BackendAddress::Unix(_) => None,
        };
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name()
            .set_db(backend.database.into());
        if let Some(user) = &backend.user {
            login = login.set_username(user);
        }
        if let Some(password) = &backend.password {
            login = login.set_password(password.expose());
        }
        Ok(Self { at: backend.at.clone(), tls, login })
    }

    /// A connection that has logged in.
    pub(super) async fn connect(&self) -> Result<Connection, AskError> {
        self.connect_to(&self.at).await
    }

    /// One to another server of the same cluster, which calls it `host:port`, or `:port` where it
    /// has the same host. `None` where this is not the way to one.
    pub(super) fn other(&self, address: &str) -> Option<BackendAddress> {
        let BackendAddress::Tcp(own) = &self.at else { return None };
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { own.host.clone() } else { host.to_owned() };
        Some(BackendAddress::Tcp(Origin { tls: own.tls, host, port: port.parse().ok()? }))
    }

    pub(super) async fn connect_to(&self, at: &BackendAddress) -> Result<Connection, AskError> {
        let connected = timeout(CONNECT_WITHIN, self.connected(at)).await;
        connected.unwrap_or(Err(AskError::SlowConnect))
    }

    async fn connected(&self, at: &BackendAddress) -> Result<Connection, AskError> {
        let wire = match at {
            BackendAddress::Tcp(origin) => {
                let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await;
                let stream = stream.map_err(AskError::Connect)?;
                // Fails only where the socket is dead already, which the next write will tell.
                let _ = stream.set_nodelay(true);
                self.secured(Wire::Plain(stream), origin).await.map_err(AskError::Connect)?
            }
            BackendAddress::Unix(path) => {
                Wire::Unix(UnixStream::connect(path).await.map_err(AskError::Connect)?)
            }
        };
        // Every wait has a bound of this gateway's own, where it is waited.
        let own = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&self.login, wire, own).await;
        let (connection, driver) = made?;
        Ok(Connection { connection, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }

    async fn secured(&self, wire: Wire, origin: &Origin) -> io::Result<Wire> {
        let Some(connector) = &self.tls else { return Ok(wire) };
        let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
        wire.secure(connector, &name).await
    }
}

/// A connection by which a server is asked.
pub(super) struct Connection {
    connection: MultiplexedConnection,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Takes so many from the bucket.
    pub(super) async fn draw(
        &self,
        bucket: &str,
        share: Share,
        count: u32,
        taking: Taking,
    ) -> Result<Drawn, AskError> {
        let mut asking = SCRIPT.key(bucket);
        asking.arg(interval(share.budget.rate)).arg(share.budget.burst).arg(count);
        asking.arg(taking.word());
        let mut connection = self.connection.clone();
        let answered = timeout(ANSWER_WITHIN, asking.invoke_async(&mut connection)).await;
        let (taken, left, wait): (u8, u32, u64) = answered.map_err(|_elapsed| AskError::Slow)??;
        // What the script never says was said by something else.
        if taken > 1 || left > share.budget.burst || wait > MICROS_MAX {
            return Err(AskError::Lost);
        }
        Ok(Drawn { is_taken: taken == 1, left, wait: Duration::from_micros(wait) })
    }
}

/// The microseconds from one drop to the next, as the script reads them.
fn interval(rate: Rate) -> String {
    let period = rate.period().as_secs_f64() * 1e6;
    format!("{:.9}", period / f64::from(rate.count()))
}
