//! `rate_limit.backend`: a Redis or Valkey in which gateways share their limits.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::files;
use super::upstream::{is_loopback, place, user_and_password};
use super::{Origin, RateLimit};
use crate::base::clock::Clock;
use crate::base::key::Token;
use crate::settings::raw::Node;
use crate::settings::reader::Reader;
use crate::settings::value::{Meant, choice, text};

/// The most databases of a server that has many (`databases` of its own configuration).
const DATABASES_MAX: u32 = 1 << 24;

/// Where gateways share their limits, and what they do without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedLimits {
    /// `rate_limit.backend`; `None` where each gateway limits by itself.
    pub backend: Option<LimitBackend>,
    /// PEM file of certificate authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What is done while the backend does not answer.
    pub away: WhileAway,
}

/// A Redis or Valkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitBackend {
    /// Where it is.
    pub at: BackendAddress,
    /// The number of the database.
    pub database: u32,
    /// The user; `None` for the default one.
    pub user: Option<String>,
    /// The password, if it asks for one.
    pub password: Option<Token>,
}

/// Where a Redis or Valkey is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendAddress {
    /// A host and a port, with TLS or without.
    Tcp(Origin),
    /// A socket file of this machine.
    Unix(PathBuf),
}

/// `rate_limit.away`: what is done while the backend does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhileAway {
    /// Each gateway limits by itself, to its share of the budgets.
    #[default]
    Share,
    /// Nothing passes that would be limited.
    Deny,
}

/// Without the user and the password.
impl fmt::Display for LimitBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            BackendAddress::Tcp(origin) => {
                let scheme = if origin.tls { "rediss" } else { "redis" };
                write!(f, "{scheme}://{}/{}", origin.host_and_port(), self.database)
            }
            BackendAddress::Unix(path) => {
                write!(f, "redis+unix://{}?db={}", path.display(), self.database)
            }
        }
    }
}

/// Reads the keys of `[rate_limit]` that are about sharing.
pub(super) fn read(reader: &mut Reader<'_>, files: &mut Vec<PathBuf>) -> SharedLimits {
    let backend = reader.read("rate_limit.backend", backend);
    let ca_file = reader.path("rate_limit.ca_file");
    let choices = [("share", WhileAway::Share), ("deny", WhileAway::Deny)];
    let away = reader.value("rate_limit.away", choice(&choices));
    let origin = backend.as_ref().and_then(|(backend, _)| match &backend.at {
        BackendAddress::Tcp(origin) => Some(origin),
        BackendAddress::Unix(_) => None,
    });
    if let Some((path, place)) = &ca_file {
        if let Err(message) = files::certificates(path) {
            reader.complaints.error(place, &format!("`rate_limit.ca_file`: {message}"));
        }
        if let Some(message) = files::lapsed(path, Clock::System.now()) {
            reader.complaints.warn(place, &format!("`rate_limit.ca_file`: {message}"));
        }
        if !origin.is_some_and(|origin| origin.tls) {
            let message = "`rate_limit.ca_file` has no use without a backend that speaks TLS: \
                write rediss:// there, or remove it";
            reader.complaints.warn(place, message);
        }
        files.push(path.clone());
    }
    if let (Some(origin), Some((_, place))) = (origin, &backend)
        && !origin.tls
        && !is_loopback(&origin.host)
    {
        let message = "`rate_limit.backend` is plain redis to another host, so that a password \
            travels in clear: use rediss";
        reader.complaints.warn(place, message);
    }
    let (backend, ca_file) = (backend.map(|(backend, _)| backend), ca_file.map(|(path, _)| path));
    SharedLimits { backend, ca_file, away }
}

const FIX: &str = "write such as \"redis://redis.example.com:6379/0\", \
    \"rediss://user:password@redis.example.com:6379\" or \"redis+unix:///run/redis/redis.sock\"";

/// The server that a URL names.
fn backend(node: &Node) -> Meant<LimitBackend> {
    let url = text(node)?;
    let unix = ["redis+unix://", "unix://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    if let Some(rest) = unix {
        return by_socket_file(rest);
    }
    let (origin, user, path) = place(&url, [("redis", 6379), ("rediss", 6379)], FIX)?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let database = if path.is_empty() { Some(0) } else { database(path) };
    let database = database.ok_or_else(|| {
        format!("after the address comes the number of a database, if any; {FIX}")
    })?;
    let (user, password) = match user {
        Some(text) => user_and_password(&text, FIX)?,
        None => Default::default(),
    };
    Ok(with_login(LimitBackend {
        at: BackendAddress::Tcp(origin),
        database,
        user: Some(user),
        password: Some(Token::new(&password)),
    }))
}

/// The server at a socket file; `?db=…&user=…&pass=…` may follow.
fn by_socket_file(rest: &str) -> Meant<LimitBackend> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    let path = decoded(path).ok().filter(|path| path.starts_with('/') && !path.contains('\0'));
    let at = BackendAddress::Unix(path.ok_or(FIX)?.into());
    let mut backend = LimitBackend { at, database: 0, user: None, password: None };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok();
        let value = value.filter(|value| !value.chars().any(char::is_control)).ok_or(FIX)?;
        match name {
            "db" => backend.database = database(&value).ok_or(FIX)?,
            "user" => backend.user = Some(value),
            "pass" => backend.password = Some(Token::new(&value)),
            _ => {
                return Err(format!(
                    "after a socket file's path come `db`, `user` and `pass`, if any; {FIX}"
                ));
            }
        }
    }
    Ok(with_login(backend))
}

/// A user or a password without a letter is none.
fn with_login(backend: LimitBackend) -> LimitBackend {
    let user = backend.user.filter(|user| !user.is_empty());
    let password = backend.password.filter(|password| !password.expose().is_empty());
    LimitBackend { user, password, ..backend }
}

fn database(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < DATABASES_MAX)
}

/// What `check` says of the sharing.
pub(crate) fn told(limits: Option<RateLimit>, shared: &SharedLimits) -> String {
    let (Some(_), Some(backend)) = (limits, &shared.backend) else { return String::new() };
    let away = match shared.away {
        WhileAway::Share => "a share each while it is away",
        WhileAway::Deny => "nothing passes while it is away",
    };
    format!(", shared by {backend} ({away})")
}
