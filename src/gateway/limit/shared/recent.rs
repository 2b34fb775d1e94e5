//! What the backend said last of each token's reads. While much is left, reads pass on that and
//! are charged afterwards.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::ids::Fingerprint;
use crate::gateway::limit::local::AsItIs;

/// How long an answer is gone by.
const FRESH_FOR: Duration = Duration::from_millis(100);

const SHARDS: usize = 64;

/// The most answers of a shard: with all shards, 65,536.
const SHARD_ANSWERS_MAX: usize = 1_024;

type Shard = HashMap<u64, Answered, BuildHasherDefault<AsItIs>>;

/// The last answers on tokens' reads.
#[derive(Debug)]
pub(super) struct RecentAnswers(Box<[Mutex<Shard>]>);

#[derive(Clone, Copy, Debug)]
struct Answered {
    at: Instant,
    /// What was left then, without what was taken since.
    left: u32,
    /// What was taken and is not charged yet.
    uncharged: u32,
}

impl Answered {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < FRESH_FOR
    }
}

impl RecentAnswers {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    fn shard(&self, token: Fingerprint) -> Option<std::sync::MutexGuard<'_, Shard>> {
        // The map within the shard goes by the lowest and the highest bits.
        let place = usize::try_from(token.as_u64() >> 40).unwrap_or(0) % SHARDS;
        Some(self.0.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes one of the token's reads, where more than half of the burst was left a moment ago;
    /// how many are left now.
    pub(super) fn take(&self, token: Fingerprint, burst: u32, now: Instant) -> Option<u32> {
        let mut shard = self.shard(token)?;
        let answered = shard.get_mut(&token.as_u64())?;
        if !answered.is_fresh(now) || answered.left <= burst / 2 {
            return None;
        }
        answered.left -= 1;
        answered.uncharged = answered.uncharged.saturating_add(1);
        Some(answered.left)
    }

    /// Learns that so many are charged, or never will be.
    pub(super) fn charged(&self, token: Fingerprint, count: u32) {
        let Some(mut shard) = self.shard(token) else { return };
        if let Some(answered) = shard.get_mut(&token.as_u64()) {
            answered.uncharged = answered.uncharged.saturating_sub(count);
        }
    }

    /// Learns how many are left at the backend, which does not know what is not charged yet.
    pub(super) fn learn(&self, token: Fingerprint, left: u32, now: Instant) {
        let Some(mut shard) = self.shard(token) else { return };
        if shard.len() >= SHARD_ANSWERS_MAX && !shard.contains_key(&token.as_u64()) {
            shard.retain(|_, answered| answered.is_fresh(now));
            if shard.len() >= SHARD_ANSWERS_MAX {
                // Who is not remembered asks, no more.
                return;
            }
        }
        let fresh = Answered { at: now, left: 0, uncharged: 0 };
        let answered = shard.entry(token.as_u64()).or_insert(fresh);
        answered.at = now;
        answered.left = left.saturating_sub(answered.uncharged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, ManualClock, Timestamp};

    #[test]
    fn reads_pass_on_a_fresh_answer_while_more_than_half_is_left() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let clock = Clock::Manual(manual.clone());
        let recent = RecentAnswers::new();
        let token = Fingerprint::from_bytes([1; 8]);
        let take = || recent.take(token, 10, clock.instant());
        assert_eq!(take(), None, "nothing is known yet");
        recent.learn(token, 7, clock.instant());
        assert_eq!([take(), take(), take()], [Some(6), Some(5), None]);
        // Of the two, one is charged by now.
        recent.charged(token, 1);
        recent.learn(token, 8, clock.instant());
        assert_eq!([take(), take(), take()], [Some(6), Some(5), None]);
        recent.learn(token, 10, clock.instant());
        manual.advance(FRESH_FOR);
        assert_eq!(take(), None, "it was long ago");
    }

    #[test]
    fn made_up_tokens_leave_few_answers() {
        let clock = Clock::Manual(ManualClock::at(Timestamp::from_millis(0)));
        let recent = RecentAnswers::new();
        for n in 0..200_000_u64 {
            let token =
                Fingerprint::from_bytes(n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
            recent.learn(token, 9, clock.instant());
        }
        let kept: usize = recent.0.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * SHARD_ANSWERS_MAX, "{kept} are kept");
    }
}
