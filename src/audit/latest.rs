//! The newest snapshot of each deployment, as far as it is remembered: the before of the next
//! change is nearly always that one, and is then neither compressed nor written again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::document::{Document, Stored};
use crate::base::clock::Timestamp;
use crate::deployment::key::DeploymentKey;

/// The most deployments that are remembered. A forgotten one is stored whole again.
const DEPLOYMENTS_MAX: usize = 32_768;

/// How long a snapshot that nobody has named is taken for one that is there. Another gateway may
/// have changed the deployment meanwhile; what no change of the last day names may be pruned.
const TRUSTED_FOR: Duration = Duration::from_hours(12);

/// The newest snapshot in the log of each deployment.
#[derive(Debug, Default)]
pub(super) struct Latest {
    known: Mutex<HashMap<DeploymentKey, Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    digest: [u8; 32],
    stored: Stored,
    /// When a change named it last.
    named_at: Timestamp,
}

impl Latest {
    /// Where `document` lies, if it is the newest snapshot of that deployment, for a change that
    /// names it.
    pub(super) fn find(
        &self,
        deployment: &DeploymentKey,
        document: &Document,
        now: Timestamp,
    ) -> Option<Stored> {
        let mut known = self.known();
        let newest = known.get_mut(deployment)?;
        let is_trusted = newest.named_at.plus(TRUSTED_FOR) > now;
        let found = newest.digest == document.digest && is_trusted;
        found.then(|| {
            newest.named_at = now;
            newest.stored
        })
    }

    /// Remembers a snapshot that is durable now.
    pub(super) fn learn(
        &self,
        deployment: &DeploymentKey,
        (digest, stored): ([u8; 32], Stored),
        now: Timestamp,
    ) {
        let mut known = self.known();
        let newest = Known { digest, stored, named_at: now };
        if let Some(former) = known.get_mut(deployment) {
            *former = newest;
            return;
        }
        if known.len() >= DEPLOYMENTS_MAX {
            known.clear();
        }
        known.insert(deployment.clone(), newest);
    }

    /// Forgets what is known of a deployment.
    pub(super) fn forget(&self, deployment: &DeploymentKey) {
        self.known().remove(deployment);
    }

    /// Forgets everything: some of it was erased, or lost.
    pub(super) fn clear(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DeploymentKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dep(id: &str) -> DeploymentKey {
        DeploymentKey::new(&"main".into(), id)
    }

    #[test]
    fn only_the_newest_is_found_and_the_memory_is_bounded() {
        let latest = Latest::default();
        let (one, two) = (Document::of(&json!({"n": 1})), Document::of(&json!({"n": 2})));
        let stored = Stored { number: 1, depth: 0 };
        let now = Timestamp::from_millis(1);
        let find = |id, document| latest.find(&dep(id), document, now);
        latest.learn(&dep("dep_1"), (one.digest, stored), now);
        assert_eq!(find("dep_1", &one), Some(stored));
        latest.learn(&dep("dep_1"), (two.digest, stored), now);
        assert_eq!((find("dep_1", &one), find("dep_2", &two)), (None, None));
        for n in 0..DEPLOYMENTS_MAX {
            latest.learn(&dep(&n.to_string()), (one.digest, stored), now);
        }
        assert!(latest.known().len() <= DEPLOYMENTS_MAX);
    }

    #[test]
    fn what_nobody_has_named_for_long_is_not_built_upon() {
        let latest = Latest::default();
        let one = Document::of(&json!({"n": 1}));
        let stored = Stored { number: 1, depth: 0 };
        let at = |hours| Timestamp::from_millis(0).plus(Duration::from_hours(hours));
        latest.learn(&dep("dep_1"), (one.digest, stored), at(0));
        // Each time that it is named, it is trusted again.
        for (hours, is_found) in [(11, true), (22, true), (34, false)] {
            let found = latest.find(&dep("dep_1"), &one, at(hours));
            assert_eq!(found.is_some(), is_found, "{hours}");
        }
    }
}
