//! A governed call that has begun: everything its exchange needs, owned.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};
use http::{Method, Version};
use serde_json::Value;

use super::body::{Judged, Unfit};
use super::identify::Caller;
use super::{Scene, Visit};
use crate::audit::record::{Client, Intent, RefusedBody, Ruling};
use crate::ids::ChangeId;
use crate::policy::Violation;
use crate::policy::decide::Decision;
use crate::provider::{Operation, Provider};

/// A governed call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) scene: Arc<Scene>,
    pub(super) visit: Visit,
    pub(super) change: ChangeId,
    pub(super) caller: Arc<Caller>,
    pub(super) client: Client,
    pub(super) operation: Operation,
    /// None on create.
    pub(super) deployment_id: Option<String>,
    pub(super) method: Method,
    pub(super) query: Option<String>,
    pub(super) version: Version,
    /// The client's header, made ready for upstream.
    pub(super) headers: HeaderMap,
    /// `If-Match`, every value of it.
    pub(super) if_match: Vec<HeaderValue>,
    pub(super) body: CallBody,
}

/// What became of a call's body.
#[derive(Debug)]
pub(super) enum CallBody {
    /// One strict object.
    Judged(Judged),
    /// Refused for its form.
    Unfit(Unfit),
    /// Not looked at: the caller may not change anything.
    Denied(Violation),
}

impl Call {
    /// The path that was matched, built anew.
    pub(super) fn route_path(&self, provider: &Provider) -> String {
        let mut path = format!("{}/deployments", provider.base_path);
        if let Some(id) = &self.deployment_id {
            path.push('/');
            path.push_str(id);
        }
        if !matches!(self.operation, Operation::Create | Operation::Update) {
            path.push('/');
            path.push_str(self.operation.name());
        }
        path
    }

    /// What is written down of the call before it goes on, or instead of going on.
    pub(super) fn intent(
        &self,
        ruling: Ruling,
        decision: Decision,
        before: Option<Arc<Value>>,
    ) -> Intent {
        let (patch, refused_body) = match &self.body {
            CallBody::Judged(judged) => (Some(judged.patch.object.clone().into()), None),
            CallBody::Unfit(unfit) => (None, Some(unfit.body.clone())),
            CallBody::Denied(_) => (None, Some(RefusedBody { bytes: 0, digest: None })),
        };
        let config = &self.scene.live.config;
        Intent {
            id: self.change,
            provider: config.upstream.provider.name,
            operation: self.operation,
            deployment_id: self.deployment_id.clone(),
            actor: self.caller.actor.clone(),
            token: self.caller.token.clone(),
            client: self.client.clone(),
            request_id: self.visit.request_id.clone(),
            received_at: self.visit.received_at,
            ruling,
            violations: decision.violations,
            standing: decision.standing,
            patch,
            refused_body,
            before,
            policy_digest: config.policy.digest.clone(),
        }
    }
}
