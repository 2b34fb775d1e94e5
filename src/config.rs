//! The checked configuration: everything in it can be used as it is.

mod actors;
pub mod admin;
pub mod check;
mod evidence;
mod exposure;
pub(crate) mod files;
mod keys;
mod listen;
pub mod log;
mod logins;
mod origin;
mod people;
mod persons;
pub mod policy_file;
mod refused;
mod retention;
mod rules;
mod seal;
mod secret_file;
mod shared_limits;
mod sinks;
#[cfg(test)]
mod tests;
mod upstream;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use self::actors::{ActorName, Actors, SubjectName};
pub use self::evidence::{EvidenceConfig, WitnessConfig};
pub(crate) use self::keys::KEYS;
pub(crate) use self::logins::CALLBACK;
pub use self::logins::{AuthProxy, GroupRoles, Logins, OidcConfig};
pub use self::origin::Origin;
pub use self::refused::RefusedConfig;
pub use self::retention::{ConfiguredHold, RetentionConfig};
pub use self::seal::SealConfig;
pub(crate) use self::shared_limits::told as told_shared_limits;
pub use self::shared_limits::{BackendAddress, LimitBackend, SharedLimits, WhileAway};
pub use self::sinks::{
    FileSink, HecSink, SinkConfig, SinkFilter, SinkFormat, SinkKind, SyslogSink, Target,
};
pub(crate) use self::upstream::is_loopback;
pub use self::views::{QueryCheck, SavedView, VIEW_NAME_CHARS_MAX, VIEW_QUERY_BYTES_MAX};
use crate::base::database::Database;
use crate::base::key::Token;
use crate::base::peer::PeerAddress;
use crate::policy::Policy;
use crate::provider::Provider;

/// The configuration file, the environment and the policy file, checked as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[listen]`.
    pub listen: Listen,
    /// `[upstream]`.
    pub upstream: Upstream,
    /// `node.name`: the name that records know this gateway by.
    pub node: Arc<str>,
    /// The rules of `policy.file`; without one, nothing is forbidden.
    pub policy: Arc<Policy>,
    /// `[rate_limit]`; `None` where it is switched off.
    pub rate_limit: Option<RateLimit>,
    /// Where gateways share their limits.
    pub shared_limits: SharedLimits,
    /// `[audit]`.
    pub audit: AuditConfig,
    /// `[evidence]`.
    pub evidence: EvidenceConfig,
    /// `[retention]`.
    pub retention: RetentionConfig,
    /// `[seal]`.
    pub seal: SealConfig,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[actor]]` and `[actors]`.
    pub actors: Actors,
    /// `[[admin.token]]`.
    pub admin_tokens: Vec<AdminToken>,
    /// The logins beside those by a token.
    pub logins: Arc<Logins>,
    /// `[[admin.view]]`.
    pub views: Arc<Vec<SavedView>>,
    /// `[[sink]]`.
    pub sinks: Vec<SinkConfig>,
    /// `redact.pointers`: JSON Pointers (RFC 6901) below a deployment.
    pub redact: Vec<String>,
    /// The typed values, key by key, as text: they tell two configurations apart.
    pub typed: BTreeMap<&'static str, String>,
    /// Files that were read to make this: a change of theirs is a reason to read again.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Whether the policy is that of a file; else the log may serve one.
    #[must_use]
    pub fn names_policy_file(&self) -> bool {
        self.typed.contains_key("policy.file")
    }

    /// Whether the admin listener knows who asks, so that it need not be on loopback.
    #[must_use]
    pub fn asks_who_comes(&self) -> bool {
        !self.admin_tokens.is_empty() || self.logins.are_there()
    }

    /// The keys, as dotted paths, that mean something else than in `former`, and the rules of
    /// the policy.
    #[must_use]
    pub fn differing_keys(&self, former: &Self) -> Vec<String> {
        let all = self.typed.keys().chain(former.typed.keys());
        let mut keys: BTreeSet<String> = all
            .filter(|key| self.typed.get(*key) != former.typed.get(*key))
            .map(|key| (*key).to_owned())
            .collect();
        let rules = self.policy.differing_rules(&former.policy);
        keys.extend(rules.into_iter().map(|name| format!("policy.{name}")));
        keys.into_iter().collect()
    }
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where clients connect.
    pub proxy: ListenAddress,
    /// Where operators connect.
    pub admin: ListenAddress,
    /// The permission bits of socket files.
    pub socket_mode: u32,
    /// `[listen.tls]`, for the proxy listener.
    pub tls: Option<TlsFiles>,
    /// `[listen.admin_tls]`, for the admin listener.
    pub admin_tls: Option<TlsFiles>,
    /// The networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether it is believed of whoever connects by a socket file.
    pub trusts_socket_file: bool,
    /// The origins whose pages may call from a browser, as browsers write them.
    pub cors: Vec<http::HeaderValue>,
}

impl Listen {
    /// Whether a proxy at that address is trusted, so that behind it there are many clients.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }

    /// Whether a connection is a trusted proxy's.
    pub(crate) fn trusts_peer(&self, peer: PeerAddress) -> bool {
        match peer {
            PeerAddress::Ip(_) => self.trusts(peer.ip()),
            PeerAddress::SocketFile => self.trusts_socket_file,
        }
    }
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A socket file of this machine.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The IP address and the port; `None` for a socket file.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether no other machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[listen.tls]` or `[listen.admin_tls]`: PEM files, checked to hold a certificate chain and its
/// key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[upstream]`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name that records know it by.
    pub name: Arc<str>,
    /// The provider whose API it is.
    pub provider: &'static Provider,
    /// Where it is.
    pub origin: Origin,
    /// The proxy by which connections to it are made.
    pub proxy: Option<ForwardProxy>,
    /// PEM file of certificate authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// To a connection that is ready, all addresses together (default 5 s).
    pub connect_timeout: Duration,
    /// From the request's end to the answer's head (default 60 s).
    pub response_timeout: Duration,
    /// Writes below `/deployments` that pass although they are not a governed route.
    pub allow_writes: Vec<AllowedWrite>,
}

/// `upstream.proxy`: an HTTP proxy that makes connections to upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardProxy {
    /// Where the proxy is.
    pub origin: Origin,
    /// The user and the password for it, with a colon between them; they print as nothing.
    pub credentials: Option<Token>,
}

/// One entry of `upstream.allow_writes`, such as `DELETE /deployments/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedWrite {
    /// The method.
    pub method: http::Method,
    /// The path's segments below the provider's base; none stands for any one segment.
    pub segments: Vec<Option<String>>,
}

/// `[rate_limit]`: two token buckets per personal access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// For GET, HEAD and OPTIONS.
    pub read: Budget,
    /// For everything else.
    pub write: Budget,
}

/// One token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Refilled so fast.
    pub rate: Rate,
    /// Holds so many; at least 1.
    pub burst: u32,
}

/// How many drops fall into a bucket in a time; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many each second.
    PerSecond(u32),
    /// So many each minute.
    PerMinute(u32),
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Where the log lies.
    pub database: Database,
    /// The file with the installation's secret.
    pub key_file: PathBuf,
    /// Whether writes to other resources are recorded (`other_writes = "metadata"`).
    pub other_writes: bool,
    /// How long an answer waits for its completion (default 5 s).
    pub finish_timeout: Duration,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest governed body (default: the provider's).
    pub body_bytes: usize,
    /// The longest answer read whole (default 32 MiB).
    pub answer_bytes: usize,
    /// The longest request head (default 64 KiB).
    pub header_bytes: usize,
    /// The most header fields (default 100).
    pub header_count: usize,
    /// The deepest nesting of a governed body (default 64).
    pub json_depth: usize,
    /// The most bytes of bodies that are kept of one token's calls in a minute (default 64 MiB).
    pub kept_bytes_per_minute: usize,
    /// To a whole request head, and on HTTP/2 to the first request (default 10 s).
    pub header_timeout: Duration,
    /// Without progress of a request's body (default 30 s).
    pub body_timeout: Duration,
    /// Without progress of an answer to the client (default 30 s).
    pub write_timeout: Duration,
    /// Waiting for a client to send or take 4 KiB, all waits together (default 20 s).
    pub pace_timeout: Duration,
    /// Of a connection without a request (default 75 s).
    pub idle_timeout: Duration,
    /// The most client connections (default 10,000).
    pub connections: usize,
    /// The most connections of one client address, or of one /64 of IPv6 (default: as many as
    /// there may be at all).
    pub connections_per_address: usize,
    /// Waiting for a deployment's turn (default 30 s).
    pub turn_timeout: Duration,
    /// From SIGTERM to the end (default 8 s).
    pub drain_timeout: Duration,
}

/// One `[[admin.token]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The name of its holder.
    pub name: String,
    /// The role of its holder.
    pub role: Role,
    /// The human who holds it.
    pub person: Option<String>,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

/// The rights of an admin token; each role may do what the former may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees that something changed, no bodies.
    Viewer,
    /// Sees everything.
    Auditor,
    /// Approves what others ask for, and rejects it.
    Approver,
    /// May change what the gateway does.
    Admin,
}

impl Budget {
    /// A bucket that is refilled by so many a second and holds so many.
    #[must_use]
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self { rate: Rate::PerSecond(count), burst }
    }
}

impl Rate {
    /// How many fall in the [period](Self::period).
    #[must_use]
    pub const fn count(self) -> u32 {
        match self {
            Self::PerSecond(count) | Self::PerMinute(count) => count,
        }
    }

    /// The time that the count is about.
    #[must_use]
    pub const fn period(self) -> Duration {
        match self {
            Self::PerSecond(_) => Duration::from_secs(1),
            Self::PerMinute(_) => Duration::from_mins(1),
        }
    }

    /// The name of the period.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::PerSecond(_) => "second",
            Self::PerMinute(_) => "minute",
        }
    }
}
