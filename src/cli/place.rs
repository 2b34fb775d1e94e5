//! Where a running gateway is reached: its admin API, or its proxy.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{ConfigFile, Environment, Failure, print};
use crate::base::file;
use crate::config::ListenAddress;
use crate::config::admin::{self as listener_config, AdminConfig};

/// A listener of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Admin,
    Proxy,
}

/// Where a listener is.
pub(super) struct Place {
    listener: Listener,
    at: At,
}

enum At {
    Tcp { authority: String, tls: Option<(TlsConnector, ServerName<'static>)> },
    Unix(PathBuf),
}

/// Any connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Listener {
    /// The option that names it, its name in sentences, and a URL for example.
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Admin => ("--admin", "the admin API", "http://127.0.0.1:8081"),
            Self::Proxy => ("--via", "the gateway", "http://127.0.0.1:8080"),
        }
    }
}

impl Place {
    /// The place that a URL names.
    pub(super) fn of_url(
        listener: Listener,
        url: &str,
        ca_file: Option<&PathBuf>,
    ) -> Result<Self, Failure> {
        if let Some(path) = url.strip_prefix("unix:") {
            let path = PathBuf::from(path.trim_start_matches("//"));
            return Ok(Self { listener, at: At::Unix(path) });
        }
        let fix = || {
            let (option, _, example) = listener.words();
            Failure::Usage(anyhow!(
                "{option} is {url:?}: write a URL such as {example}, without a path"
            ))
        };
        let uri: Uri = url.parse().map_err(|_bad| fix())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(fix()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let host = authority.map(|authority| authority.host().to_owned()).ok_or_else(fix)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(fix());
        }
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Self::tcp(listener, &host, port, is_tls, ca_file)
    }

    /// The listener that the configuration names.
    pub(super) fn configured(
        listener: Listener,
        config: &ConfigFile,
        ca_file: Option<&PathBuf>,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let path = config.path(environment);
        let read = match listener {
            Listener::Admin => listener_config::read(path, environment.variables()),
            Listener::Proxy => listener_config::read_proxy(path, environment.variables()),
        };
        let read = read.map_err(|complaints| {
            complaints.iter().for_each(print::complaint);
            let (path, (option, what, _)) = (path.display(), listener.words());
            Failure::Usage(anyhow!(
                "{path} does not say where {what} is: fix it, or give {option} URL"
            ))
        });
        let AdminConfig { address, certificate } = read?;
        let address = match address {
            ListenAddress::Unix(path) => return Ok(Self { listener, at: At::Unix(path) }),
            ListenAddress::Tcp(address) => address,
        };
        // Who listens everywhere is reached here too.
        let host = match address.ip() {
            ip if !ip.is_unspecified() => ip.to_string(),
            std::net::IpAddr::V4(_) => "127.0.0.1".to_owned(),
            std::net::IpAddr::V6(_) => "::1".to_owned(),
        };
        let ca_file = ca_file.or(certificate.as_ref());
        Self::tcp(listener, &host, address.port(), certificate.is_some(), ca_file)
    }

    /// By TCP, under TLS where `is_tls`, with the file of the authorities that are trusted too.
    fn tcp(
        listener: Listener,
        host: &str,
        port: u16,
        is_tls: bool,
        ca_file: Option<&PathBuf>,
    ) -> Result<Self, Failure> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tls = is_tls.then(|| connector(bare, ca_file)).transpose();
        let tls = tls.map_err(Failure::Usage)?;
        let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        Ok(Self { listener, at: At::Tcp { authority: format!("{host}:{port}"), tls } })
    }

    /// The value of `Host`.
    pub(super) fn host(&self) -> &str {
        match &self.at {
            At::Tcp { authority, .. } => authority,
            At::Unix(_) => "localhost",
        }
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let (option, what, _) = self.listener.words();
        let no_answer = |place: &str| {
            format!("can't reach {what} at {place}: see that the gateway runs, or {option}")
        };
        match &self.at {
            At::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(stream.with_context(|| no_answer(&path.display().to_string()))?))
            }
            At::Tcp { authority, tls } => {
                let stream = TcpStream::connect(authority).await;
                let stream = stream.with_context(|| no_answer(authority))?;
                let Some((connector, name)) = tls else { return Ok(Box::new(stream)) };
                let secured = connector.connect(name.clone(), stream).await;
                let fix =
                    || format!("{authority} shows no certificate that is trusted (--ca-file)");
                Ok(Box::new(secured.with_context(fix)?))
            }
        }
    }
}

fn connector(
    host: &str,
    ca_file: Option<&PathBuf>,
) -> anyhow::Result<(TlsConnector, ServerName<'static>)> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let unfit = || format!("{} holds no certificate to trust", file.display());
        for certificate in file::certificates(file).with_context(unfit)? {
            roots.add(certificate).with_context(unfit)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}
