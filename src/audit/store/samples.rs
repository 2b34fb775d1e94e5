//! Rows for tests of stores, of whatever kind.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Preparation;
use crate::audit::document::seal;
use crate::audit::entry::{CompletionRow, Entry, IntentRow};
use crate::audit::record::{Event, EventKind, Outcome, Unkept};
use crate::audit::samples::intent;
use crate::audit::touched::touched;
use crate::base::clock::Timestamp;
use crate::base::key::KeyId;
use crate::deployment::diff::ChangedPlace;

pub(in crate::audit) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
pub(in crate::audit) const KEY: KeyId = KeyId::from_bytes([3; 8]);
pub(in crate::audit) const PREPARATION: Preparation = Preparation { key: Some(KEY), at: NOW };

/// An update of `dep_1`.
pub(in crate::audit) fn opening(patch: &Value) -> IntentRow {
    let intent = intent("dep_1", NOW);
    let request_id = intent.request_id.to_string();
    let patch = Some(Arc::new(seal(patch.to_string().as_bytes()).unwrap()));
    let unkept = Unkept::default();
    let (redacted, originals) = (Vec::new(), None);
    IntentRow { intent, request_id, patch, before: None, named: None, unkept, redacted, originals }
}

/// An update of `dep_1` that ended at once and changed these places.
pub(in crate::audit) fn whole(outcome: Outcome, paths: &[&str]) -> Entry {
    let opening = opening(&json!({"name": "n"}));
    let mut ending = CompletionRow::bare(opening.intent.id, outcome, NOW);
    let place = |path: &&str| ChangedPlace { path: (*path).to_owned(), is_whole: false };
    let places: Vec<ChangedPlace> = paths.iter().map(place).collect();
    ending.touch(touched(&places, None));
    Entry::Whole(Box::new(opening), Box::new(ending))
}

pub(in crate::audit) fn event() -> Entry {
    Entry::Happening(Box::new(Event {
        at: NOW,
        kind: EventKind::Reload,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: json!({}),
    }))
}
