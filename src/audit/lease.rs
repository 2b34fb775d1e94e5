//! The right of a gateway to act among others that share its log, as it knows of it itself.
//!
//! A lease is renewed by the log's clock; whoever holds it counts its life by a clock of their own
//! that nobody sets, from before the renewal was asked for, and so never trusts it for too long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::ids::Hex;

/// The lease of one gateway, from its start on. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Lease(Arc<LeaseState>);

#[derive(Debug)]
struct LeaseState {
    id: [u8; 16],
    trusted_until: Mutex<Instant>,
}

/// The gateways of a log, as one of them knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gateways {
    /// How many live: this one, and the others whose leases have not run out.
    pub nodes: u64,
    /// The lease of this one; null where the log has one gateway alone.
    #[schema(required)]
    pub lease: Option<LeaseStanding>,
}

/// The lease of a gateway as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeaseStanding {
    /// Its name in the log, in hex.
    pub id: String,
    /// For how many more seconds changes are sent under it, if it is not renewed.
    pub seconds_left: u64,
}

/// The proof of a turn that others in the log's line wait for: the log takes no change under one
/// that is not, or no longer, the newest of its deployment.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The turn's name in the log.
    pub(super) turn: [u8; 16],
    pub(super) token: i64,
    pub(super) lease: Lease,
}

/// A turn that came, and what the log knows of its deployment.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) fence: Fence,
    /// The moment at which the log's answer was here.
    pub(super) at: Instant,
    /// For how long nobody had the turn before; `None` where nobody ever had it.
    pub(super) rested: Option<Duration>,
    /// How many changes of the deployment are unclear.
    pub(super) unclear: usize,
}

impl Lease {
    /// A lease that is trusted until then, unless it is renewed.
    pub(super) fn new(id: [u8; 16], trusted_until: Instant) -> Self {
        Self(Arc::new(LeaseState { id, trusted_until: Mutex::new(trusted_until) }))
    }

    /// The lease's name in the log.
    pub(super) fn id(&self) -> [u8; 16] {
        self.0.id
    }

    /// Trusts it until then, now that it is renewed.
    pub(super) fn extend(&self, trusted_until: Instant) {
        let mut until = self.0.trusted_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = trusted_until.max(*until);
    }

    /// The lease as it stands `now`.
    pub(super) fn standing(&self, now: Instant) -> LeaseStanding {
        let until = *self.0.trusted_until.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds_left = until.saturating_duration_since(now).as_secs();
        LeaseStanding { id: Hex(&self.0.id).to_string(), seconds_left }
    }

    /// Whether nobody else can have been given what is held under it.
    #[must_use]
    pub(super) fn is_trusted(&self, now: Instant) -> bool {
        now < *self.0.trusted_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Whether nobody else has had the turn since `then`.
    pub(super) fn rested_since(&self, then: Instant) -> bool {
        self.rested.is_none_or(|rested| rested >= self.at.saturating_duration_since(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_is_trusted_until_its_time_is_over_and_never_for_less_once_renewed() {
        let now = Clock::System.instant();
        let lease = Lease::new([1; 16], now + SECOND);
        assert!(lease.is_trusted(now) && !lease.is_trusted(now + SECOND));
        lease.extend(now + 3 * SECOND);
        lease.extend(now + 2 * SECOND);
        assert!(lease.is_trusted(now + 2 * SECOND) && !lease.is_trusted(now + 3 * SECOND));
    }

    #[test]
    fn a_look_holds_where_the_turn_has_rested_for_longer_than_it_is_old() {
        let at = Clock::System.instant();
        let fence = Fence { turn: [2; 16], token: 1, lease: Lease::new([1; 16], at) };
        let taken = |rested| Taken { fence: fence.clone(), at: at + SECOND, rested, unclear: 0 };
        assert!(taken(None).rested_since(at));
        assert!(taken(Some(SECOND)).rested_since(at));
        assert!(!taken(Some(SECOND / 2)).rested_since(at));
    }
}
