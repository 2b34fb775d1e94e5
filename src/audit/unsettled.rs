//! Which deployments have changes whose end is unclear, so that settling costs nothing where
//! there are none: nearly always; and since when, by a clock that nobody sets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::deployment::key::DeploymentKey;

/// The most deployments that are remembered. Beyond, the log itself is asked every time.
pub(super) const DEPLOYMENTS_MAX: usize = 10_000;

/// How many unclear changes each deployment has.
#[derive(Debug)]
pub(super) struct Unsettled {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    deployments: HashMap<DeploymentKey, Unclear>,
    /// Whether others have some as well.
    beyond: bool,
    /// Since when there may be unclear changes of those that are not remembered.
    since: Instant,
}

/// The unclear changes of one deployment.
#[derive(Debug)]
struct Unclear {
    changes: usize,
    /// When the newest of them ended, or was found by a start.
    since: Instant,
}

impl Unsettled {
    /// Nothing is unclear.
    pub(super) fn at_start(now: Instant) -> Self {
        let known = Known { deployments: HashMap::new(), beyond: false, since: now };
        Self { known: Mutex::new(known) }
    }

    /// The state where the log could not be read: nothing is known.
    pub(super) fn unread(now: Instant) -> Self {
        let unsettled = Self::at_start(now);
        unsettled.known().beyond = true;
        unsettled
    }

    /// Counts `changes` more unclear changes of a deployment.
    pub(super) fn add(&self, deployment: &DeploymentKey, changes: usize, now: Instant) {
        let mut known = self.known();
        if let Some(unclear) = known.deployments.get_mut(deployment) {
            unclear.changes += changes;
            unclear.since = now;
        } else if known.deployments.len() < DEPLOYMENTS_MAX {
            known.deployments.insert(deployment.clone(), Unclear { changes, since: now });
        } else {
            (known.beyond, known.since) = (true, now);
        }
    }

    /// Takes over how many unclear changes of a deployment the log has: other gateways settle, and
    /// leave some.
    pub(super) fn set(&self, deployment: &DeploymentKey, changes: usize, now: Instant) {
        let mut known = self.known();
        match known.deployments.get_mut(deployment) {
            Some(_) if changes == 0 => drop(known.deployments.remove(deployment)),
            Some(unclear) if unclear.changes >= changes => unclear.changes = changes,
            Some(unclear) => *unclear = Unclear { changes, since: now },
            None if changes == 0 => {}
            None => {
                drop(known);
                self.add(deployment, changes, now);
            }
        }
    }

    /// When the newest unclear change of a deployment ended, at the latest. Of those from before
    /// the start no more is known than that they had ended then.
    pub(super) fn since(&self, deployment: &DeploymentKey) -> Instant {
        let known = self.known();
        known.deployments.get(deployment).map_or(known.since, |unclear| unclear.since)
    }

    /// Whether there may be unclear changes of a deployment.
    pub(super) fn may_have(&self, deployment: &DeploymentKey) -> bool {
        let known = self.known();
        known.beyond || known.deployments.contains_key(deployment)
    }

    /// Takes off `changes` that have been settled.
    pub(super) fn settled(&self, deployment: &DeploymentKey, changes: usize) {
        let mut known = self.known();
        if let Some(unclear) = known.deployments.get_mut(deployment) {
            unclear.changes = unclear.changes.saturating_sub(changes);
            if unclear.changes == 0 {
                known.deployments.remove(deployment);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Clock;

    fn dep(id: &str) -> DeploymentKey {
        DeploymentKey::new(&"main".into(), id)
    }

    #[test]
    fn beyond_its_bound_every_deployment_may_have_some() {
        let now = Clock::System.instant();
        let unsettled = Unsettled::at_start(now);
        (0..DEPLOYMENTS_MAX).for_each(|n| unsettled.add(&dep(&n.to_string()), 2, now));
        unsettled.settled(&dep("7"), 1);
        assert!(unsettled.may_have(&dep("7")));
        unsettled.settled(&dep("7"), 1);
        assert!(!unsettled.may_have(&dep("7")));
        let later = now + Duration::from_secs(1);
        unsettled.add(&dep("x"), 1, now);
        unsettled.add(&dep("y"), 1, later);
        assert!(unsettled.may_have(&dep("7")));
        assert_eq!(unsettled.since(&dep("x")), now);
        assert_eq!(unsettled.since(&dep("y")), later);
    }
}
