//! The two halves of a change as the gateway hands them to the log.

use std::sync::Arc;

use http::Method;

use super::approval::ApprovalPart;
use super::idempotency::IdempotencyKey;
use super::lease::Fence;
use super::record::{Client, Outcome, Reason, RefusedBody, UpstreamAnswer};
use super::shown::Shown;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, RequestId};
use crate::base::key::Token;
use crate::deployment::diff::Effect;
use crate::deployment::key::DeploymentKey;
use crate::deployment::patch::Patch;
use crate::policy::{Actor, Decision, Policy, Violation};
use crate::provider::{Operation, Provider};

/// The record written before anything is forwarded. Bodies are as the client and upstream sent
/// them: the audit redacts them before they leave the caller's hands.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The change's id.
    pub id: ChangeId,
    /// The provider.
    pub provider: &'static Provider,
    /// The operation that is asked for.
    pub operation: Operation,
    /// The call's method: an update by PUT may remove what it leaves out.
    pub method: Method,
    /// The id of the deployment; `None` on create.
    pub deployment_id: Option<String>,
    /// The actor that asks.
    pub actor: Actor,
    /// The token it was asked with: never stored, but concealed wherever a body repeats it.
    pub token: Token,
    /// From where.
    pub client: Client,
    /// The request's id.
    pub request_id: RequestId,
    /// The key under which no other call is forwarded, where the client sent one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The turn within which it is opened; `None` where the log has one gateway alone, and on a
    /// create.
    pub fence: Option<Fence>,
    /// When its head was read.
    pub received_at: Timestamp,
    /// The moment that the policy's rules took for now; `None` where they were not asked.
    pub decided_at: Option<Timestamp>,
    /// The gateway's decision.
    pub decision: Decision,
    /// Rules broken.
    pub violations: Vec<Violation>,
    /// Rules that were broken before and still are.
    pub standing: Vec<Violation>,
    /// How many findings there are beside these.
    pub findings_omitted: usize,
    /// The body, where it was one strict object.
    pub patch: Option<Arc<Patch>>,
    /// The body, where it was not.
    pub refused_body: Option<RefusedBody>,
    /// The deployment before.
    pub before: Option<Shown>,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// The name of the gateway.
    pub node: Arc<str>,
    /// How long the texts of the bodies are, in bytes.
    pub bytes: usize,
    /// Whether the bodies are kept; else their sizes and digests are.
    pub is_kept: bool,
    /// The approval that it asks for, or passes by.
    pub approval: Option<ApprovalPart>,
    /// The recorded change of the same deployment that it says to take back.
    pub reverts: Option<ChangeId>,
}

impl Intent {
    /// The deployment that it is about; `None` on create.
    #[must_use]
    pub fn deployment(&self) -> Option<DeploymentKey> {
        let id = self.deployment_id.as_deref()?;
        Some(DeploymentKey::new(&self.upstream, id))
    }
}

/// The record that is written when the call has ended.
#[derive(Clone, Debug)]
pub struct Completion {
    /// When.
    pub completed_at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Upstream's answer; `None` where nothing was forwarded.
    pub upstream: Option<UpstreamAnswer>,
    /// Why it was not applied; `None` where it was, or where there is no answer to tell of.
    pub reason: Option<Reason>,
    /// The new deployment's id, on create.
    pub deployment_id: Option<String>,
    /// The deployment after.
    pub after: Option<Shown>,
    /// How after compares with what was predicted.
    pub effect: Option<Effect>,
    /// Rules that the deployment breaks after the change, did not break before it, and was not
    /// predicted to break.
    pub after_violations: Vec<Violation>,
}
