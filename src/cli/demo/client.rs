//! The client of the story: one that any team could have.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::base::ids::ChangeId;
use crate::simulator::DEPLOYMENT_ID;

/// Calls the gateway, or its admin API, each time over a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Client {
    gateway: SocketAddr,
}

/// The answer that a client of the gateway sees.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) decision: Option<String>,
    pub(super) change: Option<ChangeId>,
    /// The approval that it waits for, or passed by.
    pub(super) approval: Option<String>,
    pub(super) retry_after: Option<u64>,
    /// The error's message, where it is one.
    pub(super) message: Option<String>,
}

impl Client {
    pub(super) fn new(gateway: SocketAddr) -> Self {
        Self { gateway }
    }

    /// `POST /deployments/{id}` of the simulator's deployment.
    pub(super) async fn update(&self, token: &str, patch: &Value) -> anyhow::Result<Answer> {
        self.post(&format!("/api/v1/cloud/deployments/{DEPLOYMENT_ID}"), token, patch).await
    }

    /// `POST` of JSON to a path.
    pub(super) async fn post(
        &self,
        path: &str,
        token: &str,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect(self.gateway).await.context("can't reach the gateway")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post(path)
            .header(header::HOST, self.gateway.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "changegate-demo")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let response = sender.send_request(request).await.context("the gateway did not answer")?;
        let text = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (decision, change) = (text("changegate-decision"), text("changegate-change"));
        let approval = text("changegate-approval");
        let retry_after = text("retry-after").and_then(|seconds| seconds.parse().ok());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body)?;
        let message = body.pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
        let change = change.and_then(|id| id.parse().ok());
        Ok(Answer { status, decision, change, approval, retry_after, message })
    }
}

/// Makes calls at once and waits for all answers.
pub(super) async fn all<F>(calls: impl Iterator<Item = F>) -> anyhow::Result<Vec<Answer>>
where
    F: Future<Output = anyhow::Result<Answer>> + Send + 'static,
{
    let mut waiting: JoinSet<_> = calls.collect();
    let mut answers = Vec::new();
    while let Some(joined) = waiting.join_next().await {
        answers.push(joined.context("a call broke")??);
    }
    Ok(answers)
}
