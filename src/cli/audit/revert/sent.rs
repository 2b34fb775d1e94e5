//! The call that takes a change back.

use http::{Method, StatusCode};

use super::Work;
use crate::cli::Failure;
use crate::cli::proxy::{ProxyClient, path};
use crate::provider::Operation;

/// The end of a call that changes something.
pub(super) struct Sent {
    pub(super) status: StatusCode,
    /// The record of it.
    pub(super) change: Option<String>,
    pub(super) decision: Option<String>,
    /// Why it was not done.
    pub(super) message: Option<String>,
}

/// Makes the call that takes a change back.
pub(super) async fn send(client: &ProxyClient, work: &Work) -> Result<Sent, Failure> {
    let operation = work.reverting.operation;
    let path = path(work.provider, &work.deployment_id, operation);
    let reverts = work.change.id.to_string();
    let mut fields = vec![("changegate-reverts", reverts.as_str())];
    let is_update = operation == Operation::Update;
    if let Some(etag) = work.now.etag.as_deref().filter(|_| is_update) {
        fields.push(("if-match", etag));
    }
    let body = is_update.then(|| work.body());
    let answer = client.call(Method::POST, &path, &fields, body.as_ref()).await?;
    Ok(Sent {
        status: answer.status,
        change: answer.field("changegate-change"),
        decision: answer.field("changegate-decision"),
        message: answer.message().filter(|_| !answer.status.is_success()),
    })
}
