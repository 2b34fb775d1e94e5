//! Calls through the gateway, with the operator's own token.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use super::log::LogFile;
use super::place::{Listener, Place};
use super::{Environment, Failure};
use crate::base::visible::plain;
use crate::deployment;
use crate::provider::{Operation, Provider};

/// How long a call may take: upstream may be slow, and the deployment's turn may not have come.
const CALL_WAIT: Duration = Duration::from_mins(2);

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The gateway, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct ViaArgs {
    /// The gateway, such as `http://127.0.0.1:8080`; by default where the configuration listens.
    #[arg(long, value_name = "URL")]
    via: Option<String>,
    /// PEM file of certificate authorities trusted beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl ViaArgs {
    /// The authorities that are trusted beside the system's.
    pub(super) fn ca_file(&self) -> Option<&PathBuf> {
        self.ca_file.as_ref()
    }
}

/// A client of the gateway.
pub(super) struct ProxyClient {
    place: Place,
    token: String,
}

/// The answer to a call: its status, its header fields, and its body where that is JSON.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// A deployment as the gateway shows it.
pub(super) struct Shown {
    pub(super) document: Value,
    pub(super) etag: Option<String>,
}

impl ProxyClient {
    /// The client of the gateway at `via`, by the token in the environment's `token_env`.
    pub(super) fn of(
        via: &ViaArgs,
        token_env: &str,
        file: &LogFile,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let token = std::env::var(token_env).ok().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            let name = plain(token_env);
            Failure::Usage(anyhow!(
                "--token-env: {name} holds no token: export it, or name another"
            ))
        })?;
        let ca_file = via.ca_file.as_ref();
        let place = match (&via.via, file.config()) {
            (Some(url), _) => Place::of_url(Listener::Proxy, url, ca_file)?,
            (None, Some(config)) => {
                Place::configured(Listener::Proxy, config, ca_file, environment)?
            }
            (None, None) => {
                return Err(Failure::Usage(anyhow!(
                    "--database does not say where the gateway is: give --via URL"
                )));
            }
        };
        Ok(Self { place, token })
    }

    /// The deployment as it is now.
    pub(super) async fn read(
        &self,
        provider: &Provider,
        deployment_id: &str,
    ) -> Result<Shown, Failure> {
        let path = path(provider, deployment_id, Operation::Update);
        let answer = self.call(Method::GET, &path, &[], None).await?;
        let status = answer.status;
        if status.is_success() && deployment::id_of(&answer.body) == Some(deployment_id) {
            return Ok(Shown { etag: answer.field("etag"), document: answer.body });
        }
        let why = answer.message().unwrap_or_else(|| format!("the gateway answered {status}"));
        let why = anyhow!("{} is not shown: {}", plain(deployment_id), plain(&why));
        Err(if status.is_client_error() {
            Failure::NotHeld(why)
        } else {
            Failure::NotCarriedOut(why)
        })
    }

    /// Makes a call, and waits for its whole answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answered, Failure> {
        let answered = timeout(CALL_WAIT, self.exchange(method, path, fields, body)).await;
        let late = || anyhow!("the gateway did not answer in {} s", CALL_WAIT.as_secs());
        let answered = answered.map_err(|_elapsed| Failure::NotCarriedOut(late()))?;
        answered.map_err(Failure::NotCarriedOut)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answered> {
        let stream = TokioIo::new(self.place.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.place.host())
            .header(header::USER_AGENT, concat!("changegate/", env!("CARGO_PKG_VERSION")))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.context("the token can't stand in a header")?;
        let answer = sender.send_request(request).await.context("the gateway did not answer")?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!(error)).context("the answer broke off")?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answered { status: head.status, headers: head.headers, body })
    }
}

impl Answered {
    /// The text of a header field.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// The message of an error.
    pub(super) fn message(&self) -> Option<String> {
        self.body.pointer("/error/message").and_then(Value::as_str).map(str::to_owned)
    }
}

/// The path of an operation.
pub(super) fn path(provider: &Provider, deployment_id: &str, operation: Operation) -> String {
    let path = format!("{}/deployments/{deployment_id}", provider.base_path);
    if operation == Operation::Update { path } else { format!("{path}/{operation}") }
}
