//! The newest snapshot of each deployment, as far as it is remembered: the before of the next
//! change is nearly always that one, and is then neither compressed nor written again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::document::{Document, Stored};
use crate::deployment::key::DeploymentKey;

/// The most deployments that are remembered. A forgotten one is stored whole again.
const DEPLOYMENTS_MAX: usize = 32_768;

/// The newest snapshot in the log of each deployment.
#[derive(Debug, Default)]
pub(super) struct Latest {
    known: Mutex<HashMap<DeploymentKey, Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    digest: [u8; 32],
    stored: Stored,
}

impl Latest {
    /// Where `document` lies, if it is the newest snapshot of that deployment.
    pub(super) fn find(&self, deployment: &DeploymentKey, document: &Document) -> Option<Stored> {
        let known = self.known();
        let newest = known.get(deployment)?;
        (newest.digest == document.digest).then_some(newest.stored)
    }

    /// Remembers a snapshot that is durable now.
    pub(super) fn learn(&self, deployment: &DeploymentKey, digest: [u8; 32], stored: Stored) {
        let mut known = self.known();
        let newest = Known { digest, stored };
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
        latest.learn(&dep("dep_1"), one.digest, stored);
        assert_eq!(latest.find(&dep("dep_1"), &one), Some(stored));
        latest.learn(&dep("dep_1"), two.digest, stored);
        assert_eq!(
            (latest.find(&dep("dep_1"), &one), latest.find(&dep("dep_2"), &two)),
            (None, None)
        );
        for n in 0..DEPLOYMENTS_MAX {
            latest.learn(&dep(&n.to_string()), one.digest, stored);
        }
        assert!(latest.known().len() <= DEPLOYMENTS_MAX);
    }
}
