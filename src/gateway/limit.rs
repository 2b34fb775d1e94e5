//! Budgets: per personal access token, and per address for credentials that upstream refuses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::Method;

use super::identify::Address;
use crate::clock::Clock;
use crate::config::{Budget, RateLimit};
use crate::ids::Fingerprint;

/// After so many checks, buckets that are full again are forgotten. A token that made one call
/// is full again after a fraction of a second, so this also bounds a flood of made-up tokens.
const CHECKS_PER_SWEEP: u32 = 8_192;

/// The most tokens remembered as good, and the most addresses remembered as blocked.
const REMEMBERED_MAX: usize = 65_536;

/// What an address may spend on credentials that upstream refuses.
const REFUSED: Budget = Budget { per_second: 1, burst: 20 };

/// What a call may do to what it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

impl Kind {
    pub(super) fn of(method: &Method) -> Self {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        if reads { Self::Read } else { Self::Write }
    }
}

/// What is left of a token's budget, for the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Unix seconds at which the bucket is full again.
    pub(super) reset: i64,
}

/// Over the budget: when the next call fits, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted {
    pub(super) standing: Standing,
    pub(super) retry_after: u64,
}

/// The two budgets of every token.
#[derive(Debug)]
pub(super) struct Limiter {
    read: Bucket<u64>,
    write: Bucket<u64>,
}

impl Limiter {
    pub(super) fn new(limits: RateLimit, clock: &Clock) -> Self {
        Self { read: Bucket::new(limits.read, clock), write: Bucket::new(limits.write, clock) }
    }

    /// Draws one call from the budget.
    pub(super) fn draw(&self, token: Fingerprint, kind: Kind) -> Result<Standing, Exhausted> {
        let bucket = match kind {
            Kind::Read => &self.read,
            Kind::Write => &self.write,
        };
        bucket.draw(&token.as_u64())
    }
}

/// Addresses from which refused credentials come.
#[derive(Debug)]
pub(super) struct RefusedCredentials {
    budget: Bucket<IpAddr>,
    clock: Clock,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Tokens that upstream took.
    good: HashMap<Fingerprint, Instant>,
    /// Addresses whose budget is spent, and until when.
    blocked: HashMap<IpAddr, Instant>,
}

impl RefusedCredentials {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { budget: Bucket::new(REFUSED, clock), clock: clock.clone(), seen: Mutex::default() }
    }

    /// Whether the address may still try this token: `Err` holds the seconds to wait. A token
    /// that upstream took lately may always.
    pub(super) fn admit(&self, address: Address, token: Fingerprint) -> Result<(), u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = seen.blocked.get(&address.network()) else { return Ok(()) };
        let left = until.saturating_duration_since(self.clock.instant());
        if left.is_zero() || seen.good.contains_key(&token) {
            return Ok(());
        }
        Err(whole_seconds(left))
    }

    /// Learns from upstream's answer whether it took the token.
    pub(super) fn learn(&self, address: Address, token: Fingerprint, refused: bool) {
        let now = self.clock.instant();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if refused {
            seen.good.remove(&token);
            if let Err(exhausted) = self.budget.draw(&address.network()) {
                make_room(&mut seen.blocked, |until| *until > now);
                let until = now + Duration::from_secs(exhausted.retry_after);
                seen.blocked.insert(address.network(), until);
            }
        } else if !seen.good.contains_key(&token) {
            let recent = now.checked_sub(Duration::from_mins(10)).unwrap_or(now);
            make_room(&mut seen.good, |at| *at > recent);
            seen.good.insert(token, now);
        }
    }
}

/// Keeps a map bounded: drops what is stale when it is full, and everything if nothing is.
fn make_room<K: Eq + std::hash::Hash>(
    map: &mut HashMap<K, Instant>,
    fresh: impl Fn(&Instant) -> bool,
) {
    if map.len() >= REMEMBERED_MAX {
        map.retain(|_, at| fresh(at));
        if map.len() >= REMEMBERED_MAX {
            map.clear();
        }
    }
}

type States<K> = RateLimiter<K, HashMapStateStore<K>, Ticking, StateInformationMiddleware>;

/// Token buckets of one size, one for each key.
struct Bucket<K: std::hash::Hash + Eq + Clone> {
    states: States<K>,
    budget: Budget,
    clock: Clock,
    checks: AtomicU32,
}

impl<K: std::hash::Hash + Eq + Clone> Bucket<K> {
    fn new(budget: Budget, clock: &Clock) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(budget.per_second))
            .allow_burst(at_least_one(budget.burst));
        let ticking = Ticking(clock.clone());
        let states = States::new(quota, HashMapStateStore::default(), ticking);
        Self { states, budget, clock: clock.clone(), checks: AtomicU32::new(0) }
    }

    fn draw(&self, key: &K) -> Result<Standing, Exhausted> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.states.retain_recent();
            self.states.shrink_to_fit();
        }
        match self.states.check_key(key) {
            Ok(snapshot) => Ok(self.standing(snapshot.remaining_burst_capacity())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(Ticking(self.clock.clone()).now());
                Err(Exhausted { standing: self.standing(0), retry_after: whole_seconds(wait) })
            }
        }
    }

    fn standing(&self, remaining: u32) -> Standing {
        let missing = u64::from(self.budget.burst.saturating_sub(remaining));
        let full_in = Duration::from_millis(missing * 1000 / u64::from(self.budget.per_second));
        // Rounded up: a client that waits until then finds the bucket full.
        let reset = self.clock.now().plus(full_in + Duration::from_millis(999)).unix_seconds();
        Standing { limit: self.budget.burst, remaining, reset }
    }
}

impl<K: std::hash::Hash + Eq + Clone> std::fmt::Debug for Bucket<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({:?})", self.budget)
    }
}

/// Whole seconds to wait, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The gateway's clock, as governor wants it.
#[derive(Clone, Debug)]
struct Ticking(Clock);

impl governor::clock::Clock for Ticking {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.instant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn token(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 8])
    }

    #[test]
    fn a_budget_empties_refills_and_is_kept_per_token() {
        let manual = ManualClock::at(Timestamp::from_millis(1_000_000));
        let budget = Budget { per_second: 2, burst: 3 };
        let limits = RateLimit { read: budget, write: budget };
        let limiter = Limiter::new(limits, &Clock::Manual(manual.clone()));
        let left: Vec<_> =
            (0..3).map(|_| limiter.draw(token(1), Kind::Read).unwrap().remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let over = limiter.draw(token(1), Kind::Read).unwrap_err();
        assert_eq!((over.retry_after, over.standing.limit, over.standing.reset), (1, 3, 1_002));
        assert!(limiter.draw(token(1), Kind::Write).is_ok());
        assert!(limiter.draw(token(2), Kind::Read).is_ok());
        manual.advance(Duration::from_millis(500));
        assert!(limiter.draw(token(1), Kind::Read).is_ok());
        assert!(limiter.draw(token(1), Kind::Read).is_err());
    }

    #[test]
    fn made_up_tokens_leave_the_limiter_small() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let budget = Budget { per_second: 50, burst: 100 };
        let bucket = Bucket::new(budget, &Clock::Manual(manual.clone()));
        for n in 0_u64..200_000 {
            bucket.draw(&n).unwrap();
            if n.is_multiple_of(20) {
                manual.advance(Duration::from_millis(1));
            }
        }
        assert!(bucket.states.len() <= 10_000, "{} are kept", bucket.states.len());
    }

    #[test]
    fn an_address_that_only_brings_refused_credentials_is_slowed_down() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let refused = RefusedCredentials::new(&Clock::Manual(manual.clone()));
        let address = Address("192.0.2.1".parse().unwrap());
        refused.learn(address, token(0), false);
        for n in 1..=21 {
            assert!(refused.admit(address, token(n)).is_ok());
            refused.learn(address, token(n), true);
        }
        assert_eq!(refused.admit(address, token(99)), Err(1));
        assert!(refused.admit(address, token(0)).is_ok(), "a good token is not held up");
        let elsewhere = Address("192.0.2.2".parse().unwrap());
        assert!(refused.admit(elsewhere, token(99)).is_ok());
        manual.advance(Duration::from_secs(1));
        assert!(refused.admit(address, token(99)).is_ok());
    }
}
