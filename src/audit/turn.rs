//! A deployment's turn among all gateways of the log, beside the gateway's own line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::lease::{Fence, Taken};
use super::store::{NoTurn, Turns};
use super::{Audit, Unavailable};
use crate::base::key::DigestScope;
use crate::deployment::key::DeploymentKey;

/// A deployment's turn, which no other gateway of the log has meanwhile. It ends with the change
/// that is opened within it; where none is, it is given on when this is dropped.
#[derive(Debug)]
pub struct LogTurn {
    turns: Turns,
    /// `None` where the log has one gateway alone.
    taken: Option<Taken>,
    ends_with_change: AtomicBool,
}

/// Why a turn among the gateways was not taken.
#[derive(Debug)]
pub enum TakeError {
    /// Other gateways had it all the while.
    Late,
    /// The log can't be asked.
    Unavailable(Unavailable),
}

impl Audit {
    /// Waits at most `wait` for the deployment's turn among the gateways of the log. What the log
    /// tells of its unclear changes is taken over.
    pub async fn take_turn(
        &self,
        deployment: &DeploymentKey,
        wait: Duration,
    ) -> Result<LogTurn, TakeError> {
        let shared = &self.shared;
        let scope = DigestScope::Deployment(deployment.id.as_str().into());
        let stored = shared.redaction.load().within(scope).deployment_id(&deployment.id);
        let stored = DeploymentKey::new(&deployment.upstream, stored);
        let taken = shared.turns.take(&stored, wait).await?;
        if let Some(taken) = &taken {
            shared.unsettled.set(deployment, taken.unclear, shared.clock.instant());
        }
        let turns = shared.turns.clone();
        Ok(LogTurn { turns, taken, ends_with_change: AtomicBool::new(false) })
    }
}

impl LogTurn {
    /// The proof that a change is opened within this turn; `None` where there is nobody to hold it
    /// against.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.taken.as_ref().map(|taken| taken.fence.clone())
    }

    /// Whether no other gateway has had the turn since `then`.
    #[must_use]
    pub fn rested_since(&self, then: Instant) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken.rested_since(then))
    }

    /// Leaves the turn to the end of a change that may have been opened within it.
    pub fn ends_with_change(&self) {
        self.ends_with_change.store(true, Ordering::Relaxed);
    }
}

impl Drop for LogTurn {
    fn drop(&mut self) {
        if let (Some(taken), false) = (&self.taken, self.ends_with_change.load(Ordering::Relaxed)) {
            self.turns.give(&taken.fence);
        }
    }
}

impl From<NoTurn> for TakeError {
    fn from(none: NoTurn) -> Self {
        match none {
            NoTurn::Late => Self::Late,
            NoTurn::Unavailable(fault) => Self::Unavailable(fault.into()),
        }
    }
}
