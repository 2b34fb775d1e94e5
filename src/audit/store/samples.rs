//! Rows for tests of stores, of whatever kind.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Preparation;
use crate::audit::document::seal;
use crate::audit::entry::{CompletionRow, Entry, IntentRow};
use crate::audit::intent::Intent;
use crate::audit::record::{Client, Event, EventKind, Outcome, Unkept};
use crate::audit::touched::touched;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, Fingerprint, RequestId};
use crate::base::key::KeyId;
use crate::deployment::diff::ChangedPlace;
use crate::policy::{Actor, Decision, Policy};
use crate::provider::{Operation, Provider};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
pub(super) const KEY: KeyId = KeyId::from_bytes([3; 8]);
pub(super) const PREPARATION: Preparation = Preparation { key: Some(KEY), at: NOW };

/// The policy in force.
fn policy() -> Arc<Policy> {
    Arc::new(Policy { digest: "p".to_owned(), text: "# none".to_owned(), rules: Vec::new() })
}

/// An update of `dep_1`.
pub(super) fn opening(patch: &Value) -> IntentRow {
    let intent = Intent {
        id: ChangeId::new(NOW),
        provider: Provider::named("qoder-cn").unwrap(),
        operation: Operation::Update,
        method: http::Method::POST,
        deployment_id: Some("dep_1".to_owned()),
        actor: Actor { fingerprint: Fingerprint::from_bytes([1; 8]), name: None, team: None },
        client: Client { ip: "::1".to_owned(), user_agent: None, retry: None },
        request_id: RequestId::new(NOW),
        received_at: NOW,
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
        token: crate::base::key::Token::new("pt-0123456789"),
    };
    let request_id = intent.request_id.to_string();
    let patch = Some(seal(patch.to_string().as_bytes()).unwrap());
    let unkept = Unkept::default();
    IntentRow { intent, request_id, patch, before: None, unkept, redacted: Vec::new() }
}

/// An update of `dep_1` that ended at once and changed these places.
pub(super) fn whole(outcome: Outcome, paths: &[&str]) -> Entry {
    let opening = opening(&json!({"name": "n"}));
    let mut ending = CompletionRow::bare(opening.intent.id, outcome, NOW);
    let place = |path: &&str| ChangedPlace { path: (*path).to_owned(), is_whole: false };
    let places: Vec<ChangedPlace> = paths.iter().map(place).collect();
    ending.touched = touched(&places);
    Entry::Whole(Box::new(opening), Box::new(ending))
}

pub(super) fn event() -> Entry {
    Entry::Happening(Box::new(Event {
        at: NOW,
        kind: EventKind::Reload,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: json!({}),
    }))
}
