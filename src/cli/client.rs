//! The client of the admin API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::place::{Listener, Place};
use crate::cli::{ConfigFile, Environment, Failure};

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

impl Client {
    /// The client that the arguments and the environment ask for.
    pub(super) fn of(arguments: &ClientArgs, environment: &Environment) -> Result<Self, Failure> {
        let ca_file = arguments.ca_file.as_ref();
        Self::at(arguments.admin.as_deref(), ca_file, Some(&arguments.config), environment)
    }

    /// The client of the API at `admin`, or of the one that a configuration names.
    pub(super) fn at(
        admin: Option<&str>,
        ca_file: Option<&PathBuf>,
        config: Option<&ConfigFile>,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let place = match (admin, config) {
            (Some(url), _) => Place::of_url(Listener::Admin, url, ca_file)?,
            (None, Some(config)) => {
                Place::configured(Listener::Admin, config, ca_file, environment)?
            }
            (None, None) => {
                return Err(Failure::Usage(anyhow!("no admin API is named: give --admin URL")));
            }
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
