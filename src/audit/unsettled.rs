//! Which deployments have changes whose end is unclear, so that settling costs nothing where
//! there are none: nearly always.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::deployment::key::DeploymentKey;

/// The most deployments that are remembered. Beyond, the log itself is asked every time.
pub(super) const DEPLOYMENTS_MAX: usize = 10_000;

/// How many unclear changes each deployment has.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    changes: HashMap<DeploymentKey, usize>,
    beyond: bool,
}

impl Unsettled {
    /// The state where the log could not be read: nothing is known.
    pub(super) fn unread() -> Self {
        let known = Known { beyond: true, ..Known::default() };
        Self { known: Mutex::new(known) }
    }

    /// Counts `changes` more unclear changes of a deployment.
    pub(super) fn add(&self, deployment: &DeploymentKey, changes: usize) {
        let mut known = self.known();
        if let Some(count) = known.changes.get_mut(deployment) {
            *count += changes;
        } else if known.changes.len() < DEPLOYMENTS_MAX {
            known.changes.insert(deployment.clone(), changes);
        } else {
            known.beyond = true;
        }
    }

    /// Whether there may be unclear changes of a deployment.
    pub(super) fn may_have(&self, deployment: &DeploymentKey) -> bool {
        let known = self.known();
        known.beyond || known.changes.contains_key(deployment)
    }

    /// Takes off `changes` that have been settled.
    pub(super) fn settled(&self, deployment: &DeploymentKey, changes: usize) {
        let mut known = self.known();
        if let Some(count) = known.changes.get_mut(deployment) {
            *count = count.saturating_sub(changes);
            if *count == 0 {
                known.changes.remove(deployment);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dep(id: &str) -> DeploymentKey {
        DeploymentKey::new(&"main".into(), id)
    }

    #[test]
    fn beyond_its_bound_every_deployment_may_have_some() {
        let unsettled = Unsettled::default();
        (0..DEPLOYMENTS_MAX).for_each(|n| unsettled.add(&dep(&n.to_string()), 2));
        unsettled.settled(&dep("7"), 1);
        assert!(unsettled.may_have(&dep("7")));
        unsettled.settled(&dep("7"), 1);
        assert!(!unsettled.may_have(&dep("7")));
        unsettled.add(&dep("x"), 1);
        unsettled.add(&dep("y"), 1);
        assert!(unsettled.may_have(&dep("7")));
    }
}
