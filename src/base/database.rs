//! Where a log lies: in a file of SQLite's, or in a database of a PostgreSQL server.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::key::Token;

/// The port that PostgreSQL listens on where none is named.
const PORT: u16 = 5432;

/// The longest name of a user or a database that PostgreSQL knows, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The form of a URL, for those who have written another one.
const FORM: &str = "write postgres://USER@HOST/DATABASE, such as \
    \"postgres://changegate@db.example.com/changegate\"";

/// The place of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// An SQLite file, which one gateway writes.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server, which several gateways write.
    Postgres(Box<PostgresUrl>),
}

/// A URL of PostgreSQL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The role to log in as.
    pub user: String,
    /// Its password; it prints as nothing. `None` where the server asks for none, or where the
    /// variable `PGPASSWORD` has it.
    pub password: Option<Token>,
    /// Where the server listens.
    pub host: PostgresHost,
    /// The port, which also names its socket file.
    pub port: u16,
    /// The name of the database.
    pub name: String,
    /// How the connection is protected.
    pub protection: Protection,
    /// `sslrootcert`: the authorities that the server's certificate may come from.
    pub authorities: Option<PathBuf>,
    /// `sslcert` and `sslkey`: the certificate to log in with, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where a PostgreSQL server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresHost {
    /// The folder of its socket file.
    Folder(PathBuf),
    /// A host name or an address.
    Name(String),
}

/// How far a connection to PostgreSQL is protected: `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// In clear.
    Disable,
    /// By TLS where the server offers it.
    Prefer,
    /// By TLS, with whoever answers.
    Require,
    /// By TLS, with a server whose certificate is one of the authorities'.
    VerifyCa,
    /// By TLS, with the server of that name.
    VerifyFull,
}

impl Database {
    /// The database of a URL, or how to write it. No word of it is repeated: a URL may hold a
    /// password.
    pub fn parse(text: &str) -> Result<Self, String> {
        for scheme in ["postgres://", "postgresql://"] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return PostgresUrl::parse(rest).map(|url| Self::Postgres(Box::new(url)));
            }
        }
        let path = text.strip_prefix("sqlite://").filter(|path| {
            !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0'])
        });
        path.map(|path| Self::Sqlite(path.into())).ok_or_else(|| {
            "write sqlite:// and a file's path, such as \"sqlite://changegate.db\" or \
             \"sqlite:///var/lib/changegate/changegate.db\"; or the URL of a PostgreSQL database, \
             such as \"postgres://changegate@db.example.com/changegate\""
                .to_owned()
        })
    }

    /// The same where a bare path is a file, too.
    pub fn parse_or_path(text: &Path) -> Result<Self, String> {
        match text.to_str() {
            Some(url) if url.contains("://") => Self::parse(url),
            _path => Ok(Self::Sqlite(text.to_owned())),
        }
    }

    /// The same with relative paths starting at `folder`.
    #[must_use]
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            Self::Postgres(mut url) => {
                url.authorities = url.authorities.map(|path| folder.join(path));
                let joined = |(cert, key)| (folder.join(cert), folder.join(key));
                url.identity = url.identity.map(joined);
                Self::Postgres(url)
            }
        }
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Whether it is a file that is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.file().is_some_and(|path| !path.exists())
    }
}

impl From<PathBuf> for Database {
    fn from(path: PathBuf) -> Self {
        Self::Sqlite(path)
    }
}

/// A path, or a URL without its password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl PostgresUrl {
    /// Reads what follows the scheme.
    fn parse(rest: &str) -> Result<Self, String> {
        let form = || FORM.to_owned();
        if rest.contains(['#', '\0']) {
            return Err(form());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = rest.split_once('/').ok_or_else(form)?;
        let (login, address) = authority.rsplit_once('@').ok_or_else(form)?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (login, None),
        };
        let (host, port) = split_port(address).ok_or_else(form)?;
        let mut url = Self {
            user: named(user)?,
            password: password.as_deref().map(Token::new),
            host: host_of(&decoded(host)?),
            port,
            name: named(name)?,
            protection: Protection::VerifyFull,
            authorities: None,
            identity: None,
        };
        let (mut protection, mut cert, mut key) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(form)?;
            let value = decoded(value)?;
            match name {
                "sslmode" => protection = Some(Protection::named(&value)?),
                "sslrootcert" => url.authorities = Some(value.into()),
                "sslcert" => cert = Some(value.into()),
                "sslkey" => key = Some(value.into()),
                "host" => url.host = host_of(&value),
                "password" => url.password = Some(Token::new(&value)),
                _unknown => {
                    return Err("of the parameters of a PostgreSQL URL, write host, sslmode, \
                        sslrootcert, sslcert, sslkey and password only"
                        .to_owned());
                }
            }
        }
        url.identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _half => return Err("write sslcert and sslkey together, or neither".to_owned()),
        };
        if !url.host.is_sound() {
            return Err(
                "name one host of the PostgreSQL server, or the folder of its socket file \
                        by host=/run/postgresql"
                    .to_owned(),
            );
        }
        let local = if url.host.is_local() { Protection::Prefer } else { Protection::VerifyFull };
        url.protection = protection.unwrap_or(local);
        if !url.host.is_local() && url.protection != Protection::VerifyFull {
            return Err("the log would travel to whoever answers: write sslmode=verify-full, and \
                        sslrootcert=FILE where its authority is your own"
                .to_owned());
        }
        Ok(url)
    }
}

/// The URL without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, port, name, .. } = self;
        match &self.host {
            PostgresHost::Folder(folder) => {
                write!(f, "postgres://{user}@:{port}/{name}?host={}", folder.display())
            }
            PostgresHost::Name(host) if host.contains(':') => {
                write!(f, "postgres://{user}@[{host}]:{port}/{name}")
            }
            PostgresHost::Name(host) => write!(f, "postgres://{user}@{host}:{port}/{name}"),
        }
    }
}

impl PostgresHost {
    /// Whether what is sent there leaves this machine never.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::Name(host) if host == "localhost" => true,
            Self::Name(host) => {
                host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
            }
        }
    }

    /// Whether it is one place.
    fn is_sound(&self) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::Name(host) if host.parse::<IpAddr>().is_ok() => true,
            Self::Name(host) => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                !host.is_empty() && host.len() <= 253 && host.chars().all(fits)
            }
        }
    }
}

impl Protection {
    /// The one of that name.
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _unknown => {
                return Err("write sslmode=verify-full, or, on this machine, disable, prefer, \
                            require or verify-ca"
                    .to_owned());
            }
        })
    }
}

fn host_of(host: &str) -> PostgresHost {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host) {
        folder if folder.starts_with('/') => PostgresHost::Folder(folder.into()),
        name => PostgresHost::Name(name.to_owned()),
    }
}

/// A host, and the port behind it; an IPv6 address stands in brackets.
fn split_port(address: &str) -> Option<(&str, u16)> {
    let behind = address.rfind(']').map_or(0, |bracket| bracket + 1);
    match address.get(behind..)?.rfind(':') {
        Some(colon) => {
            let (host, port) = address.split_at_checked(behind + colon)?;
            Some((host, port.get(1..)?.parse().ok().filter(|port| *port > 0)?))
        }
        None => Some((address, PORT)),
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|text| !text.contains('\0'));
    decoded.map(Cow::into_owned).ok_or_else(|| FORM.to_owned())
}

/// The name of a user or a database.
fn named(text: &str) -> Result<String, String> {
    let name = decoded(text)?;
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('/');
    if fits { Ok(name) } else { Err(FORM.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PostgresUrl {
        match Database::parse(text) {
            Ok(Database::Postgres(url)) => *url,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_url_of_postgresql_is_taken_apart() {
        let full = url("postgres://a%40b:p%2Fw:x@db.example.com:6432/log?sslrootcert=ca.pem");
        assert_eq!(full.user, "a@b");
        assert_eq!(full.password.as_ref().map(Token::expose), Some("p/w:x"));
        assert_eq!((full.port, full.name.as_str()), (6432, "log"));
        assert_eq!(full.protection, Protection::VerifyFull);
        assert_eq!(full.to_string(), "postgres://a@b@db.example.com:6432/log");
        let within = Database::Postgres(Box::new(full)).within(Path::new("/etc/cg"));
        let Database::Postgres(within) = within else { panic!() };
        assert_eq!(within.authorities.as_deref(), Some(Path::new("/etc/cg/ca.pem")));
        for (text, host) in [
            ("postgresql://me@%2Frun%2Fpg/log", "/run/pg"),
            ("postgres://me@/log?host=/run/pg", "/run/pg"),
            ("postgres://me@:5433/log?host=%2Frun%2Fpg", "/run/pg"),
        ] {
            let local = url(text);
            assert_eq!(local.host, PostgresHost::Folder(host.into()), "{text}");
            assert_eq!(local.protection, Protection::Prefer);
        }
        assert_eq!(url("postgres://me@[::1]:1/log").host, PostgresHost::Name("::1".to_owned()));
        assert_eq!(url("postgres://me@127.0.0.1/x?sslmode=disable").port, 5432);
    }

    #[test]
    fn what_is_not_such_a_url_is_refused_without_repeating_it() {
        for (text, fix) in [
            ("postgres://hunter2", "USER@HOST"),
            ("postgres://host/hunter2", "USER@HOST"),
            ("postgres://me:hunter2@/log", "name one host"),
            ("postgres://me:hunter2@a,b/log", "name one host"),
            ("postgres://me:hunter2@a b/log", "name one host"),
            ("postgres://me:hunter2@host:0/log", "USER@HOST"),
            ("postgres://me:hunter2@host/", "USER@HOST"),
            ("postgres://me:hunter2@host/log?sslmode=require", "sslmode=verify-full"),
            ("postgres://me:hunter2@host/log?sslmode=hunter2", "sslmode=verify-full"),
            ("postgres://me:hunter2@127.0.0.1/log?host=far.example.com&sslmode=prefer", "travel"),
            ("postgres://me@host/log?options=hunter2", "parameters"),
            ("postgres://me@host/log?sslcert=hunter2", "together"),
            ("mysql://me:hunter2@host/log", "sqlite://"),
            ("sqlite://", "sqlite://"),
        ] {
            let said = Database::parse(text).unwrap_err();
            assert!(said.contains(fix) && !said.contains("hunter2"), "{text}: {said}");
        }
        let shown = format!("{:?}", url("postgres://me:hunter2@host/log"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
