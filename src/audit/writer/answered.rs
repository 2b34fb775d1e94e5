//! The store's answer to an entry: what is told of it, and remembered.

use crate::audit::document::{SnapshotRef, Stored};
use crate::audit::entry::{Entry, Written};
use crate::audit::latest::Latest;
use crate::audit::store::StoreError;
use crate::base::clock::Timestamp;
use crate::base::visible::chain;
use crate::deployment::key::DeploymentKey;

/// A line for an entry that the tables have refused.
pub(super) fn tell_of_refusal(entry: &Entry, fault: &StoreError) {
    let (change, error) = (entry.id().map(tracing::field::display), chain(fault));
    if entry.contends() {
        tracing::debug!(change, error, "others were faster");
    } else {
        tracing::error!(change, error, "a record is refused");
    }
}

/// Remembers what an entry that is durable now shows of its deployment.
pub(super) fn remember(latest: &Latest, entry: &Entry, written: Written, now: Timestamp) {
    let learn = |deployment: Option<&DeploymentKey>,
                 filed: Option<&SnapshotRef>,
                 stored: Option<Stored>| {
        if let (Some(deployment), Some(SnapshotRef::New(new)), Some(stored)) =
            (deployment, filed, stored)
        {
            latest.learn(deployment, (new.digest, stored), now);
        }
    };
    match entry {
        Entry::Intent(opening) | Entry::Whole(opening, _) => {
            let deployment = opening.intent.deployment();
            learn(deployment.as_ref(), opening.before.as_ref(), written.before);
        }
        Entry::Completion(ending) => {
            learn(ending.deployment.as_ref(), ending.after.as_ref(), written.after);
        }
        _beside => {}
    }
}
