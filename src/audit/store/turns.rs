//! Deployments' turns among the gateways that share a log, by its kind.

use std::time::{Duration, Instant};

use super::StoreError;
use crate::audit::lease::{Fence, Gateways, Taken};
use crate::deployment::key::DeploymentKey;

/// Takes turns and gives them on. Clones share the line.
#[derive(Clone, Debug)]
pub(in crate::audit) enum Turns {
    /// The log has one gateway, whose own line is all there is.
    Alone,
}

/// Why a turn did not come.
#[derive(Debug)]
pub(in crate::audit) enum NoTurn {
    /// Others had it all the while.
    Late,
    /// The log can't be asked.
    Unavailable(StoreError),
}

impl Turns {
    /// Waits at most `wait` for the turn of a deployment; `None` where it needs no fence.
    pub(in crate::audit) async fn take(
        &self,
        _deployment: &DeploymentKey,
        _wait: Duration,
    ) -> Result<Option<Taken>, NoTurn> {
        match self {
            Self::Alone => Ok(None),
        }
    }

    /// The gateways of the log, as they stand `now`.
    pub(in crate::audit) fn gateways(&self, _now: Instant) -> Gateways {
        match self {
            Self::Alone => Gateways { nodes: 1, lease: None },
        }
    }

    /// Gives a turn on, in its time: nobody waits for that.
    pub(in crate::audit) fn give(&self, _deployment: &DeploymentKey, _fence: &Fence) {
        match self {
            Self::Alone => {}
        }
    }
}
