//! Which deployments have changes whose end is unclear, so that settling costs nothing where
//! there are none: nearly always.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most deployments that are remembered. Beyond, the log itself is asked every time.
pub(super) const DEPLOYMENTS_MAX: usize = 10_000;

/// How many unclear changes each deployment has.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    changes: HashMap<String, usize>,
    beyond: bool,
}

impl Unsettled {
    /// The state where the log could not be read: nothing is known.
    pub(super) fn unread() -> Self {
        let known = Known { beyond: true, ..Known::default() };
        Self { known: Mutex::new(known) }
    }

    /// Counts `changes` more unclear changes of a deployment.
    pub(super) fn add(&self, deployment_id: &str, changes: usize) {
        let mut known = self.known();
        if let Some(count) = known.changes.get_mut(deployment_id) {
            *count += changes;
        } else if known.changes.len() < DEPLOYMENTS_MAX {
            known.changes.insert(deployment_id.to_owned(), changes);
        } else {
            known.beyond = true;
        }
    }

    /// Whether there may be unclear changes of a deployment.
    pub(super) fn may_have(&self, deployment_id: &str) -> bool {
        let known = self.known();
        known.beyond || known.changes.contains_key(deployment_id)
    }

    /// Takes off `changes` that have been settled.
    pub(super) fn settled(&self, deployment_id: &str, changes: usize) {
        let mut known = self.known();
        if let Some(count) = known.changes.get_mut(deployment_id) {
            *count = count.saturating_sub(changes);
            if *count == 0 {
                known.changes.remove(deployment_id);
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

    #[test]
    fn beyond_its_bound_every_deployment_may_have_some() {
        let unsettled = Unsettled::default();
        (0..DEPLOYMENTS_MAX).for_each(|n| unsettled.add(&n.to_string(), 2));
        unsettled.settled("7", 1);
        assert!(unsettled.may_have("7"));
        unsettled.settled("7", 1);
        assert!(!unsettled.may_have("7"));
        unsettled.add("x", 1);
        unsettled.add("y", 1);
        assert!(unsettled.may_have("7"));
    }
}
