mod durability;
mod pages;
mod questions;
mod scopes;
mod secrets;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::intent::Completion;
use super::query::{EventFilter, Filter, Page, PageRequest};
use super::question::Unclear;
use super::record::{Change, Outcome, UpstreamAnswer, UpstreamCall};
use super::*;
use crate::base::clock::{ManualClock, Timestamp};
use crate::base::ids::ChangeId;
use crate::base::ids::{Fingerprint, RequestId};
use crate::deployment::key::DeploymentKey;
use crate::deployment::patch::Patch;
use crate::policy::{Actor, Decision};
use crate::provider::{Operation, Provider};

/// Long enough for any store that works.
const LONG: Duration = Duration::from_secs(30);

/// A log in a folder of its own.
struct World {
    folder: TempDir,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    async fn start(&self) -> Audit {
        self.try_start().await.unwrap()
    }

    async fn try_start(&self) -> Result<Audit, StartError> {
        let settings = Settings {
            database: self.database().into(),
            node: "main".into(),
            provider: Provider::named("qoder-cn").unwrap(),
            redact: vec!["/metadata/customer".to_owned()],
            policy_digest: String::new(),
            sealing: None,
        };
        Audit::start(settings, Key::from_bytes([7; 32]), Clock::Manual(self.clock.clone())).await
    }
}

/// The key of a deployment.
fn dep(id: &str) -> DeploymentKey {
    DeploymentKey::new(&"main".into(), id)
}

fn intent(deployment_id: &str) -> Intent {
    Intent {
        patch: Some(asked(&json!({"name": "new"}))),
        before: Some(json!({"id": deployment_id, "name": "old"}).into()),
        ..samples::intent(deployment_id, Timestamp::from_millis(1_000_000))
    }
}

/// The patch of a call, as its intent holds it.
fn asked(patch: &Value) -> Arc<Patch> {
    Arc::new(Patch { object: patch.as_object().cloned().unwrap_or_default() })
}

fn ended(outcome: Outcome) -> Completion {
    Completion {
        completed_at: Timestamp::from_millis(1_000_500),
        outcome,
        upstream: Some(UpstreamAnswer {
            call: UpstreamCall::Change,
            status: None,
            request_id: None,
        }),
        reason: None,
        deployment_id: None,
        after: None,
        effect: None,
        after_violations: Vec::new(),
    }
}

async fn changes(reader: &Reader, filter: &Filter) -> Vec<Change> {
    let page = PageRequest { limit: 1_000, cursor: None };
    reader.changes(filter, page, false).await.unwrap().data
}

async fn events(reader: &Reader, kind: EventKind) -> Vec<Event> {
    let page = PageRequest { limit: 1_000, cursor: None };
    let events: Page<Event> = reader.events(&EventFilter::default(), page).await.unwrap();
    events.data.into_iter().filter(|event| event.kind == kind).collect()
}

/// Whether any file in the folder holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
