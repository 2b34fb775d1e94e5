//! The limits that a gateway keeps by itself.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, OnceLock};

use super::buckets::Buckets;
use super::{RateLimitStatus, RateLimited, RequestKind, Share, whole_seconds};
use crate::audit::Audit;
use crate::base::clock::{Clock, Moment};
use crate::base::ids::Fingerprint;
use crate::config::RateLimit;

/// The number of gateways that live and share a log: between them the budgets are divided while
/// what they share is away.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveNodes(Arc<OnceLock<Audit>>);

impl LiveNodes {
    /// The most that are told apart.
    const MAX: u32 = 1_000;

    /// Has them counted by the log that they share; until then there is one.
    pub(in crate::gateway) fn count_by(&self, audit: &Audit) {
        self.0.get_or_init(|| audit.clone());
    }

    pub(super) fn count(&self) -> u32 {
        let nodes = self.0.get().map_or(1, |audit| audit.gateways().nodes);
        u32::try_from(nodes).unwrap_or(Self::MAX).clamp(1, Self::MAX)
    }
}

/// The two budgets of every token.
#[derive(Debug)]
pub(in crate::gateway) struct LocalLimiter {
    read: (Share, Tokens),
    write: (Share, Tokens),
}

/// A token's fingerprint is a keyed digest, which nobody can choose: it is hash enough.
type Tokens = Buckets<u64, BuildHasherDefault<AsItIs>>;

/// Hashes a number to itself.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

impl LocalLimiter {
    /// Full ones: a share of `limits`, of which there are so many.
    pub(in crate::gateway) fn new(limits: RateLimit, nodes: u32, clock: &Clock) -> Self {
        let tokens = |budget| {
            let share = Share { budget, nodes: nodes.clamp(1, LiveNodes::MAX) };
            (share, Buckets::new(share, clock))
        };
        Self { read: tokens(limits.read), write: tokens(limits.write) }
    }

    /// Draws one call from the budget.
    pub(in crate::gateway) fn draw(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Result<RateLimitStatus, RateLimited> {
        let (share, tokens) = match kind {
            RequestKind::Read => &self.read,
            RequestKind::Write => &self.write,
        };
        match tokens.draw(token.as_u64(), now.instant) {
            Ok(remaining) => Ok(RateLimitStatus::of(*share, remaining, now.at)),
            Err(wait) => {
                let rate_limit = RateLimitStatus::of(*share, 0, now.at);
                Err(RateLimited { rate_limit, retry_after: whole_seconds(wait), share: *share })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::{ManualClock, Timestamp};
    use crate::config::Budget;

    fn token(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 8])
    }

    #[test]
    fn a_budget_empties_refills_and_is_kept_per_token() {
        let manual = ManualClock::at(Timestamp::from_millis(1_000_000));
        let budget = Budget::per_second(2, 3);
        let limits = RateLimit { read: budget, write: budget };
        let clock = Clock::Manual(manual.clone());
        let limiter = LocalLimiter::new(limits, 1, &clock);
        let draw = |n, kind| limiter.draw(token(n), kind, clock.moment());
        let left: Vec<_> = (0..3).map(|_| draw(1, RequestKind::Read).unwrap().remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let over = draw(1, RequestKind::Read).unwrap_err();
        assert_eq!((over.retry_after, over.rate_limit.limit, over.rate_limit.reset), (1, 3, 1_002));
        assert!(draw(1, RequestKind::Write).is_ok());
        assert!(draw(2, RequestKind::Read).is_ok());
        manual.advance(Duration::from_millis(500));
        assert!(draw(1, RequestKind::Read).is_ok());
        assert!(draw(1, RequestKind::Read).is_err());
    }

    #[test]
    fn a_share_is_a_part_of_the_rate_and_of_the_burst() {
        let manual = ManualClock::at(Timestamp::from_millis(1_000_000));
        let budget = Budget::per_second(2, 7);
        let limits = RateLimit { read: budget, write: Budget::per_second(1, 1) };
        let clock = Clock::Manual(manual.clone());
        let limiter = LocalLimiter::new(limits, 3, &clock);
        let draw = |kind| limiter.draw(token(1), kind, clock.moment());
        let left: Vec<_> = (0..2).map(|_| draw(RequestKind::Read).unwrap().remaining).collect();
        assert_eq!(left, [1, 0]);
        let over = draw(RequestKind::Read).unwrap_err();
        assert_eq!((over.retry_after, over.rate_limit.limit, over.rate_limit.reset), (2, 2, 1_003));
        let message = over.message(RequestKind::Read);
        assert!(message.contains("(2 a second, burst 7; 1/3 of that at this gateway"), "{message}");
        manual.advance(Duration::from_millis(1_499));
        assert!(draw(RequestKind::Read).is_err());
        manual.advance(Duration::from_millis(1));
        assert!(draw(RequestKind::Read).is_ok());
        assert!(draw(RequestKind::Write).is_ok(), "one call passes in any case");
        manual.advance(Duration::from_millis(2_999));
        assert!(draw(RequestKind::Write).is_err());
    }
}
