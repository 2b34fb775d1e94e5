//! Deployments' turns among the gateways that share a log, by its kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Boxed, Hold, StoreError, postgres};
use crate::audit::lease::{Fence, Gateways, Taken};
use crate::base::clock::Clock;
use crate::deployment::key::DeploymentKey;

/// Takes turns and gives them on. Clones share the line.
#[derive(Clone, Debug)]
pub(in crate::audit) enum Turns {
    /// The log has one gateway, whose own line is all there is.
    Alone,
    /// The log has a line of its own, for all gateways.
    Postgres(Arc<postgres::Turns>),
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
    /// Starts taking turns of the log of that hold, before it is opened: who has a lease keeps
    /// others from putting another key in force.
    pub(in crate::audit) async fn start(
        hold: &Hold,
        policy_digest: &str,
        clock: &Clock,
    ) -> Result<Self, Boxed> {
        match hold {
            Hold::Sqlite(_) => Ok(Self::Alone),
            Hold::Postgres(writer) => {
                let turns = postgres::Turns::start(writer.clone(), policy_digest, clock.clone());
                Ok(Self::Postgres(Arc::new(turns.await?)))
            }
        }
    }

    /// Waits at most `wait` for the turn of a deployment; `None` where it needs no fence.
    pub(in crate::audit) async fn take(
        &self,
        deployment: &DeploymentKey,
        wait: Duration,
    ) -> Result<Option<Taken>, NoTurn> {
        match self {
            Self::Alone => Ok(None),
            Self::Postgres(turns) => turns.take(deployment, wait).await.map(Some),
        }
    }

    /// The gateways of the log, as they stand `now`.
    pub(in crate::audit) fn gateways(&self, now: Instant) -> Gateways {
        match self {
            Self::Alone => Gateways { nodes: 1, lease: None },
            Self::Postgres(turns) => turns.gateways(now),
        }
    }

    /// Gives a turn on, in its time: nobody waits for that.
    pub(in crate::audit) fn give(&self, fence: &Fence) {
        match self {
            Self::Alone => {}
            Self::Postgres(turns) => turns.give(fence),
        }
    }

    /// Tells the other gateways which policy is in force here.
    pub(in crate::audit) fn tell_policy(&self, digest: &str) {
        match self {
            Self::Alone => {}
            Self::Postgres(turns) => turns.tell_policy(digest),
        }
    }

    /// Gives on what was taken, and takes no more.
    pub(in crate::audit) async fn close(&self) {
        match self {
            Self::Alone => {}
            Self::Postgres(turns) => turns.close().await,
        }
    }
}
