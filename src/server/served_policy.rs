//! The policy that a log serves to the gateways that share it, for those without a `policy.file`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::audit::query::QueryError;
use crate::audit::record::{Event, EventKind};
use crate::config::policy_file;
use crate::gateway::Gateway;

/// How often the log is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The most complaints that the record of a policy that is at fault holds.
const COMPLAINTS_KEPT: usize = 10;

/// Why the policy that the log serves is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ServedPolicyError {
    /// The log can't be asked.
    #[error("can't read the policy that the log serves")]
    Query(#[from] QueryError),
    /// The text of this digest is not there.
    #[error("the log serves the policy {0} and does not have its text: push it again")]
    Missing(String),
    /// It is at fault, in these places.
    #[error(
        "the policy that the log serves is at fault: fix it and push it again: {}",
        .0.first().map_or("", String::as_str)
    )]
    Fault(Vec<String>),
}

/// The policy that the log served when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct ServedPolicy {
    /// Its digest, and the name of the provider that it was read for.
    seen: Option<(String, &'static str)>,
    kept_out: bool,
}

impl ServedPolicy {
    /// Puts the policy in force that the log serves now, if it serves another than before.
    pub(super) async fn look(&mut self, gateway: &Gateway) -> Result<(), ServedPolicyError> {
        let reader = gateway.audit.reader();
        let Some(digest) = reader.served_policy().await? else { return Ok(()) };
        let live = gateway.live();
        let provider = live.config.upstream.provider;
        if live.config.names_policy_file() {
            if !std::mem::replace(&mut self.kept_out, true) {
                tracing::warn!(digest, "the log serves a policy, and policy.file wins");
            }
            return Ok(());
        }
        let now = Some((digest.clone(), provider.name));
        if self.seen == now && !self.kept_out {
            return Ok(());
        }
        let text = reader.policy(&digest).await?;
        let text = text.ok_or_else(|| ServedPolicyError::Missing(digest.clone()))?;
        // Even one that is at fault is looked at once.
        (self.seen, self.kept_out) = (now, false);
        let reading = spawn_blocking(move || policy_file::of_log(&text, provider)).await;
        let read = reading.unwrap_or_else(|_panicked| Err(vec!["reading broke off".to_owned()]));
        let policy = Arc::new(read.map_err(ServedPolicyError::Fault)?);
        let former = gateway.policy().digest.clone();
        gateway.serve(Arc::clone(&policy));
        if former != policy.digest {
            tracing::info!(policy_digest = policy.digest, "the log serves another policy");
            note(gateway, json!({"policy_digest": policy.digest, "former_policy_digest": former}));
        }
        Ok(())
    }

    /// Looks until the server stops. What can't be put in force leaves the former in force.
    pub(super) async fn follow(mut self, gateway: Arc<Gateway>, stop: CancellationToken) {
        let mut told = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let fault = self.look(&gateway).await.err();
            let words = fault.as_ref().map(ToString::to_string);
            if let Some(fault) = fault.filter(|_| words != told) {
                let error = &fault as &dyn std::error::Error;
                tracing::error!(error, "the former policy stays in force");
                if let ServedPolicyError::Fault(complaints) = &fault {
                    let complaints = complaints.iter().take(COMPLAINTS_KEPT);
                    let complaints: Vec<&String> = complaints.collect();
                    let digest = gateway.policy().digest.clone();
                    let error = fault.to_string();
                    let detail = json!({
                        "policy_digest": digest, "error": error, "complaints": complaints,
                    });
                    note(&gateway, detail);
                }
            }
            told = words;
        }
    }
}

fn note(gateway: &Gateway, detail: serde_json::Value) {
    gateway.audit.note(Event {
        at: gateway.clock.now(),
        kind: EventKind::Reload,
        actor: None,
        client_ip: None,
        request_id: None,
        detail,
    });
}
