//! Token buckets of one size, one for each key, bounded in number whatever keys are made up.
//!
//! A bucket is one number: the moment at which it is full again (GCRA, the generic cell rate
//! algorithm). One that is full again need not be kept. Buckets lie in shards with a lock each, and
//! are looked through a shard at a time, so that no call waits for a look at all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::Budget;

const SHARDS: usize = 64;

/// The most buckets of a shard: with all shards, 262,144 keys, in some ten megabytes.
const SHARD_BUCKETS_MAX: usize = 4_096;

/// The fewest buckets of a shard that are looked through for full ones.
const SHARD_BUCKETS_MIN: usize = 64;

/// Buckets.
pub(super) struct Buckets<K, S> {
    shards: Box<[Mutex<Shard<K, S>>]>,
    hasher: S,
    /// From one drop of a bucket to the next.
    interval: u64,
    /// From an empty bucket to a full one.
    filling: u64,
    started: Instant,
}

/// A part of the buckets. Moments are in nanoseconds since the start.
struct Shard<K, S> {
    full_at: HashMap<K, u64, S>,
    /// At so many buckets, those that are full again are forgotten.
    sweep_at: usize,
}

impl<K: Copy + Eq + Hash, S: Clone + Default + BuildHasher> Buckets<K, S> {
    pub(super) fn new(budget: Budget, clock: &Clock) -> Self {
        let interval = (1_000_000_000 / u64::from(budget.per_second.max(1))).max(1);
        let hasher = S::default();
        let shard = || {
            let full_at = HashMap::with_hasher(hasher.clone());
            Mutex::new(Shard { full_at, sweep_at: SHARD_BUCKETS_MIN })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher,
            interval,
            filling: interval.saturating_mul(u64::from(budget.burst.max(1))),
            started: clock.instant(),
        }
    }

    /// Takes one from the key's bucket: how many are left, or how long until there is one.
    pub(super) fn draw(&self, key: K, now: Instant) -> Result<u32, Duration> {
        let now = now.saturating_duration_since(self.started).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX / 2);
        // The map within the shard goes by the lowest and the highest bits.
        let place = usize::try_from(self.hasher.hash_one(key) >> 40).unwrap_or(0) % SHARDS;
        let Some(shard) = self.shards.get(place) else { return Ok(0) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.full_at.get_mut(&key);
        let full_at = known.as_ref().map_or(now, |full_at| now.max(**full_at)) + self.interval;
        let most = now + self.filling;
        if full_at > most {
            return Err(Duration::from_nanos(full_at - most));
        }
        match known {
            Some(known) => *known = full_at,
            None => shard.add(key, full_at, now),
        }
        Ok(u32::try_from((most - full_at) / self.interval).unwrap_or(u32::MAX))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().full_at.len()).sum()
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

impl<K, S> std::fmt::Debug for Buckets<K, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buckets(one in {} ns)", self.interval)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn buckets(per_second: u32, burst: u32) -> (ManualClock, Clock, Buckets<u64, RandomState>) {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let clock = Clock::Manual(manual.clone());
        let buckets = Buckets::new(Budget { per_second, burst }, &clock);
        (manual, clock, buckets)
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
        assert!(buckets.len() <= 10_000, "{} are kept", buckets.len());
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
        assert!(buckets.len() <= SHARDS * SHARD_BUCKETS_MAX, "{} are kept", buckets.len());
        assert!(buckets.draw(spent, clock.instant()).is_err(), "a spent budget stays spent");
        manual.advance(Duration::from_secs(1));
        assert_eq!(buckets.draw(spent, clock.instant()), Ok(0));
    }
}
