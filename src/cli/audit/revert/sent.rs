//! Calls through the gateway, with the operator's own token.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use super::{RevertArgs, Work, plain};
use crate::cli::place::{Listener, Place};
use crate::cli::{Environment, Failure};
use crate::deployment;
use crate::provider::{Operation, Provider};

/// How long a call may take: upstream may be slow, and the deployment's turn may not have come.
const CALL_WAIT: Duration = Duration::from_mins(2);

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A client of the gateway.
pub(super) struct ProxyClient {
    place: Place,
    token: String,
    provider: &'static Provider,
}

/// A deployment as the gateway shows it.
pub(super) struct Shown {
    pub(super) document: Value,
    pub(super) etag: Option<String>,
}

/// The end of a call that changes something.
pub(super) struct Sent {
    pub(super) status: StatusCode,
    /// The record of it.
    pub(super) change: Option<String>,
    pub(super) decision: Option<String>,
    /// Why it was not done.
    pub(super) message: Option<String>,
}

impl ProxyClient {
    /// The client that the arguments and the environment ask for.
    pub(super) fn of(
        arguments: &RevertArgs,
        environment: &Environment,
        provider: &'static Provider,
    ) -> Result<Self, Failure> {
        let name = &arguments.token_env;
        let token = std::env::var(name).ok().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            let name = plain(name);
            Failure::Usage(anyhow!(
                "--token-env: {name} holds no token: export it, or name another"
            ))
        })?;
        let ca_file = arguments.ca_file.as_ref();
        let place = match (&arguments.via, arguments.file.config()) {
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
        Ok(Self { place, token, provider })
    }

    /// The deployment as it is now.
    pub(super) async fn read(&self, deployment_id: &str) -> Result<Shown, Failure> {
        let path = self.path(deployment_id, Operation::Update);
        let (status, headers, answer) = self.call(Method::GET, &path, &[], None).await?;
        if status.is_success() && deployment::id_of(&answer) == Some(deployment_id) {
            let etag = text(&headers, "etag");
            return Ok(Shown { document: answer, etag });
        }
        let why = message(&answer).unwrap_or_else(|| format!("the gateway answered {status}"));
        let why = anyhow!("{} is not shown: {}", plain(deployment_id), plain(&why));
        Err(if status.is_client_error() {
            Failure::NotHeld(why)
        } else {
            Failure::NotCarriedOut(why)
        })
    }

    /// Makes the call that takes a change back.
    pub(super) async fn write(&self, work: &Work) -> Result<Sent, Failure> {
        let operation = work.reverting.operation;
        let path = self.path(&work.deployment_id, operation);
        let reverts = work.change.id.to_string();
        let mut fields = vec![("changegate-reverts", reverts.as_str())];
        let is_update = operation == Operation::Update;
        if let Some(etag) = work.now.etag.as_deref().filter(|_| is_update) {
            fields.push(("if-match", etag));
        }
        let body = is_update.then(|| work.body());
        let (status, headers, answer) =
            self.call(Method::POST, &path, &fields, body.as_ref()).await?;
        Ok(Sent {
            status,
            change: text(&headers, "changegate-change"),
            decision: text(&headers, "changegate-decision"),
            message: message(&answer).filter(|_| !status.is_success()),
        })
    }

    fn path(&self, deployment_id: &str, operation: Operation) -> String {
        let path = format!("{}/deployments/{deployment_id}", self.provider.base_path);
        if operation == Operation::Update { path } else { format!("{path}/{operation}") }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(StatusCode, HeaderMap, Value), Failure> {
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
    ) -> anyhow::Result<(StatusCode, HeaderMap, Value)> {
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
        Ok((head.status, head.headers, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn message(answer: &Value) -> Option<String> {
    answer.pointer("/error/message").and_then(Value::as_str).map(str::to_owned)
}
