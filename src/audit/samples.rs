//! Calls for tests of the log.

use std::sync::Arc;

use super::intent::Intent;
use super::record::Client;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, Fingerprint, RequestId};
use crate::base::key::Token;
use crate::policy::{Actor, Decision, Policy};
use crate::provider::{Operation, Provider};

/// The policy in force.
pub(crate) fn policy() -> Arc<Policy> {
    let (digest, text) = ("p".to_owned(), "# none".to_owned());
    Arc::new(Policy { digest, text, ..Policy::default() })
}

/// An allowed update of a deployment, of which neither body nor before are there.
pub(crate) fn intent(deployment_id: &str, at: Timestamp) -> Intent {
    Intent {
        id: ChangeId::new(at),
        provider: Provider::named("qoder-cn").unwrap(),
        operation: Operation::Update,
        method: http::Method::POST,
        deployment_id: Some(deployment_id.to_owned()),
        actor: Actor {
            fingerprint: Fingerprint::from_bytes([1; 8]),
            name: None,
            team: None,
            person: None,
        },
        client: Client { ip: "127.0.0.1".to_owned(), user_agent: None, retry: None },
        request_id: RequestId::new(at),
        idempotency_key: None,
        fence: None,
        received_at: at,
        decided_at: Some(at),
        decision: Decision::Allow,
        violations: Vec::new(),
        standing: Vec::new(),
        findings_omitted: 0,
        patch: None,
        refused_body: None,
        before: None,
        policy: policy(),
        upstream: "main".into(),
        node: "main".into(),
        bytes: 0,
        is_kept: true,
        approval: None,
        reverts: None,
        token: Token::new("pt-0123456789"),
    }
}
