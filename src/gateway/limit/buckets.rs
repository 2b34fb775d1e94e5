//! Token buckets of one size, one for each key, bounded in number whatever keys are made up.
//!
//! governor does the arithmetic (GCRA, the generic cell rate algorithm): a bucket is one number,
//! the moment at which it is full again. One that is full need not be kept. Buckets lie in shards
//! with a lock each, and are looked through a shard at a time, so that no call waits for a look at
//! all of them.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::Share;
use crate::base::clock::Clock;
use crate::config::Rate;

const SHARDS: usize = 64;

/// The most buckets of a shard: with all shards, 262,144 keys, in some ten megabytes.
const SHARD_BUCKETS_MAX: usize = 4_096;

/// The fewest buckets of a shard that are looked through for full ones.
const SHARD_BUCKETS_MIN: usize = 64;

thread_local! {
    /// The moment of the draw at hand, in nanoseconds since its buckets were made.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// The clock that governor asks: the gateway reads its own once a call.
#[derive(Clone, Copy, Debug, Default)]
struct CallClock;

impl GovernorClock for CallClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(NOW.get())
    }
}

/// Buckets.
pub(super) struct Buckets<K: Copy + Eq + Hash + fmt::Debug, S: Clone + Default + BuildHasher> {
    limiter: RateLimiter<K, BoundedStore<K, S>, CallClock, StateInformationMiddleware>,
    started: Instant,
}

impl<K: Copy + Eq + Hash + fmt::Debug, S: Clone + Default + BuildHasher> Buckets<K, S> {
    pub(super) fn new(share: Share, clock: &Clock) -> Self {
        let budget = share.budget;
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let rate = match budget.rate {
            Rate::PerSecond(count) => Quota::per_second(number(count)),
            Rate::PerMinute(count) => Quota::per_minute(number(count)),
        };
        let interval = rate.replenish_interval().saturating_mul(share.nodes);
        let quota = Quota::with_period(interval).unwrap_or(rate);
        let quota = quota.allow_burst(number(share.burst()));
        NOW.set(0);
        let limiter = RateLimiter::new(quota, BoundedStore::new(quota), CallClock);
        Self { limiter, started: clock.instant() }
    }

    /// Takes one from the key's bucket: how many are left, or how long until there is one.
    pub(super) fn draw(&self, key: K, now: Instant) -> Result<u32, Duration> {
        let now = now.saturating_duration_since(self.started).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX / 2);
        NOW.set(now);
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(Nanos::from(now))),
        }
    }
}

/// Where governor keeps the buckets.
struct BoundedStore<K, S> {
    shards: Box<[Mutex<Shard<K, S>>]>,
    hasher: S,
    /// From one drop of a bucket to the next, in nanoseconds.
    interval: u64,
}

/// A part of the buckets. Moments are in nanoseconds since the start.
struct Shard<K, S> {
    full_at: HashMap<K, u64, S>,
    /// At so many buckets, those that are full again are forgotten.
    sweep_at: usize,
}

impl<K: Copy + Eq + Hash, S: Clone + Default + BuildHasher> BoundedStore<K, S> {
    fn new(quota: Quota) -> Self {
        let hasher = S::default();
        let shard = || {
            let full_at = HashMap::with_hasher(hasher.clone());
            Mutex::new(Shard { full_at, sweep_at: SHARD_BUCKETS_MIN })
        };
        let shards = (0..SHARDS).map(|_| shard()).collect();
        let interval = u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX);
        Self { shards, hasher, interval }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().full_at.len()).sum()
    }
}

impl<K: Copy + Eq + Hash, S: Clone + Default + BuildHasher> StateStore for BoundedStore<K, S> {
    type Key = K;

    /// Has `decide` make of a bucket's state an outcome and the next state, which is written where
    /// the draw is granted.
    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // The map within the shard goes by the lowest and the highest bits.
        let place = usize::try_from(self.hasher.hash_one(key) >> 40).unwrap_or(0) % SHARDS;
        let Some(shard) = self.shards.get(place) else { return decide(None).map(|(done, _)| done) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = shard.full_at.get_mut(key) {
            let (outcome, next) = decide(Some(Nanos::from(*full_at)))?;
            *full_at = next.as_u64();
            return Ok(outcome);
        }
        let (outcome, next) = decide(None)?;
        let full_at = next.as_u64();
        // A full bucket from which one drop was taken is full again an interval from now.
        shard.add(*key, full_at, full_at.saturating_sub(self.interval));
        Ok(outcome)
    }
}

impl<K: Copy + Eq + Hash, S: BuildHasher> Shard<K, S> {
    fn add(&mut self, key: K, full_at: u64, now: u64) {
        if self.full_at.len() >= self.sweep_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() > SHARD_BUCKETS_MAX / 4 * 3 {
                self.drop_fullest();
            }
            // Twice as many as are in use: so a look costs each new key a few steps at most.
            self.sweep_at = (2 * self.full_at.len()).clamp(SHARD_BUCKETS_MIN, SHARD_BUCKETS_MAX);
            self.full_at.shrink_to(self.sweep_at);
        }
        self.full_at.insert(key, full_at);
    }

    /// Forgets the quarter of the buckets that is nearest to being full. Their keys gain the little
    /// that they had drawn; who has drawn the most can't be rid of that by making up other keys.
    fn drop_fullest(&mut self) {
        let mut left = self.full_at.len() / 4;
        let mut moments: Vec<u64> = self.full_at.values().copied().collect();
        let (_, bound, _) = moments.select_nth_unstable(left);
        let bound = *bound;
        self.full_at.retain(|_, full_at| {
            let keeps = left == 0 || *full_at > bound;
            left -= usize::from(!keeps);
            keeps
        });
    }
}

impl<K, S> fmt::Debug for Buckets<K, S>
where
    K: Copy + Eq + Hash + fmt::Debug,
    S: Clone + Default + BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::base::clock::{ManualClock, Timestamp};
    use crate::config::Budget;

    fn buckets(per_second: u32, burst: u32) -> (ManualClock, Clock, Buckets<u64, RandomState>) {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let clock = Clock::Manual(manual.clone());
        let buckets = Buckets::new(Share::whole(Budget::per_second(per_second, burst)), &clock);
        (manual, clock, buckets)
    }

    #[test]
    fn every_draw_is_as_from_a_plain_bucket() {
        let (manual, clock, buckets) = buckets(50, 100);
        let (started, interval, burst) = (clock.instant(), 20_000_000, 100);
        let mut full_at = [0_u64; 8];
        let (mut seed, mut refused) = (1_u64, 0);
        for _ in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            manual.advance(Duration::from_nanos((seed >> 40) % 300_000));
            let key = seed >> 61;
            let now = u64::try_from((clock.instant() - started).as_nanos()).unwrap();
            let own = &mut full_at[usize::try_from(key).unwrap()];
            let (next, most) = (now.max(*own) + interval, now + burst * interval);
            let expected = if next > most {
                refused += 1;
                Err(Duration::from_nanos(next - most))
            } else {
                *own = next;
                Ok(u32::try_from((most - next) / interval).unwrap())
            };
            assert_eq!(buckets.draw(key, clock.instant()), expected);
        }
        assert!(refused > 1_000, "{refused}");
    }

    #[test]
    fn made_up_keys_leave_few_buckets() {
        let (manual, clock, buckets) = buckets(50, 100);
        for n in 0_u64..200_000 {
            buckets.draw(n, clock.instant()).unwrap();
            if n.is_multiple_of(20) {
                manual.advance(Duration::from_millis(1));
            }
        }
        let kept = buckets.limiter.into_state_store().len();
        assert!(kept <= 10_000, "{kept} are kept");
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_frees_nobody() {
        let (manual, clock, buckets) = buckets(1, 4);
        let spent = 7;
        while buckets.draw(spent, clock.instant()).is_ok() {}
        for n in 1_000_u64..1_501_000 {
            // None of them is full again within the test's half a second.
            buckets.draw(n, clock.instant()).unwrap();
            if n.is_multiple_of(3_000) {
                manual.advance(Duration::from_millis(1));
            }
        }
        assert!(buckets.draw(spent, clock.instant()).is_err(), "a spent budget stays spent");
        manual.advance(Duration::from_secs(1));
        assert_eq!(buckets.draw(spent, clock.instant()), Ok(0));
        let kept = buckets.limiter.into_state_store().len();
        assert!(kept <= SHARDS * SHARD_BUCKETS_MAX, "{kept} are kept");
    }
}
