//! The client of the admin API.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::base::file;
use crate::cli::{ConfigFile, Environment, Failure, print};
use crate::config::ListenAddress;
use crate::config::admin::{self, AdminConfig};

/// The variable that holds the token.
const TOKEN: &str = "CHANGEGATE_ADMIN_TOKEN";

/// How long a call may take.
const CALL_WAIT: Duration = Duration::from_secs(30);

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How the admin API is reached.
#[derive(Debug, clap::Args)]
pub(super) struct ClientArgs {
    /// The admin API, such as `http://127.0.0.1:8081` or `unix:/run/changegate.sock`;
    /// by default that of the configuration.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// PEM file of certificate authorities trusted beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

/// A client of one admin API.
pub(super) struct Client {
    place: Place,
    token: Option<String>,
}

/// Where the API is.
enum Place {
    Tcp { authority: String, tls: Option<(TlsConnector, ServerName<'static>)> },
    Unix(PathBuf),
}

/// Any connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Client {
    /// The client that the arguments and the environment ask for.
    pub(super) fn of(arguments: &ClientArgs, environment: &Environment) -> Result<Self, Failure> {
        let place = match &arguments.admin {
            Some(url) => Place::of_url(url, arguments.ca_file.as_ref())?,
            None => Place::configured(arguments, environment)?,
        };
        Ok(Self { place, token: environment.named(TOKEN).map(str::to_owned) })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answered = timeout(CALL_WAIT, self.send(method, path, body)).await;
        let late = || anyhow!("the admin API did not answer in {} s", CALL_WAIT.as_secs());
        let answered = answered.map_err(|_elapsed| Failure::NotCarriedOut(late()))?;
        let (status, answer) = answered.map_err(Failure::NotCarriedOut)?;
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        let message = message.map_or_else(|| format!("it answered {status}"), str::to_owned);
        let hint = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => format!(" (set {TOKEN})"),
            _ => String::new(),
        };
        let error = anyhow!("the admin API refused: {message}{hint}");
        Err(match status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Failure::NotHeld(error),
            _ if status.is_client_error() => Failure::Usage(error),
            _ => Failure::NotCarriedOut(error),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let stream = self.place.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.place.host())
            .header(header::USER_AGENT, concat!("changegate/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .with_context(|| format!("{TOKEN} can't stand in a header"))?;
        let answer = sender.send_request(request).await.context("the admin API did not answer")?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!(error)).context("the answer broke off")?.to_bytes();
        let answer = serde_json::from_slice(&body);
        let foreign = "this is not an admin API: its answer is no JSON";
        Ok((
            status,
            if status.is_success() { answer.context(foreign)? } else { answer.unwrap_or_default() },
        ))
    }
}

impl Place {
    fn of_url(url: &str, ca_file: Option<&PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path.trim_start_matches("//"))));
        }
        let fix = || {
            Failure::Usage(anyhow!(
                "--admin is {url:?}: write a URL such as http://127.0.0.1:8081, without a path"
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
        Self::tcp(&host, port, is_tls, ca_file)
    }

    /// The listener that the configuration names.
    fn configured(arguments: &ClientArgs, environment: &Environment) -> Result<Self, Failure> {
        let path = arguments.config.path(environment);
        let read = admin::read(path, environment.variables()).map_err(|complaints| {
            complaints.iter().for_each(print::complaint);
            let path = path.display();
            Failure::Usage(anyhow!("{path} names no admin listener: fix it, or give --admin URL"))
        });
        let AdminConfig { address, certificate } = read?;
        let address = match address {
            ListenAddress::Unix(path) => return Ok(Self::Unix(path)),
            ListenAddress::Tcp(address) => address,
        };
        // Who listens everywhere is reached here too.
        let host = match address.ip() {
            ip if !ip.is_unspecified() => ip.to_string(),
            std::net::IpAddr::V4(_) => "127.0.0.1".to_owned(),
            std::net::IpAddr::V6(_) => "::1".to_owned(),
        };
        let ca_file = arguments.ca_file.as_ref().or(certificate.as_ref());
        Self::tcp(&host, address.port(), certificate.is_some(), ca_file)
    }

    /// By TCP, under TLS where `is_tls`, with the file of the authorities that are trusted too.
    fn tcp(
        host: &str,
        port: u16,
        is_tls: bool,
        ca_file: Option<&PathBuf>,
    ) -> Result<Self, Failure> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tls = is_tls.then(|| connector(bare, ca_file)).transpose();
        let tls = tls.map_err(Failure::Usage)?;
        let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        Ok(Self::Tcp { authority: format!("{host}:{port}"), tls })
    }

    /// The value of `Host`.
    fn host(&self) -> &str {
        match self {
            Self::Tcp { authority, .. } => authority,
            Self::Unix(_) => "localhost",
        }
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let no_answer = |place: &str| {
            format!("can't reach the admin API at {place}: see that the gateway runs, or --admin")
        };
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(stream.with_context(|| no_answer(&path.display().to_string()))?))
            }
            Self::Tcp { authority, tls } => {
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
