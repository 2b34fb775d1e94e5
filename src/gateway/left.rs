//! Deployments as the last changes left them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::audit::WeakShown;
use crate::deployment::key::DeploymentKey;

/// The most deployments that are remembered. Of a forgotten one the log is asked.
const DEPLOYMENTS_MAX: usize = 32_768;

/// The most looks on their way beside calls; beyond, a call waits for its own.
const LOOKS_MAX: usize = 64;

/// How the last change left each deployment.
#[derive(Debug)]
pub(super) struct DriftWatch {
    left: Mutex<HashMap<DeploymentKey, Left>>,
    pub(super) looks: Arc<Semaphore>,
}

/// A deployment as a change left it.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) shown: WeakShown,
    /// The digest of its entity tag, where it is known.
    pub(super) digest: Option<[u8; 16]>,
}

impl Default for DriftWatch {
    fn default() -> Self {
        Self { left: Mutex::default(), looks: Arc::new(Semaphore::new(LOOKS_MAX)) }
    }
}

impl DriftWatch {
    /// Remembers the deployment as a call leaves it; forgets it where that is not known.
    pub(super) fn learn(&self, deployment: &DeploymentKey, left: Option<Left>) {
        let mut all = self.left();
        let Some(left) = left else { return drop(all.remove(deployment)) };
        if let Some(former) = all.get_mut(deployment) {
            *former = left;
            return;
        }
        if all.len() >= DEPLOYMENTS_MAX {
            all.clear();
        }
        all.insert(deployment.clone(), left);
    }

    /// How each was left.
    pub(super) fn left(&self) -> MutexGuard<'_, HashMap<DeploymentKey, Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
