//! The budget of an address for credentials that upstream refuses. It is each gateway's own.

use std::collections::HashMap;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::buckets::Buckets;
use super::{REMEMBERED_MAX, Share, whole_seconds};
use crate::base::clock::Clock;
use crate::base::ids::Fingerprint;
use crate::config::Budget;
use crate::gateway::identify::{Address, Caller};

/// The budget of an address for credentials that upstream refuses.
const REFUSED: Budget = Budget::per_second(1, 20);

/// Addresses from which refused credentials come.
#[derive(Debug)]
pub(in crate::gateway) struct RefusedCredentials {
    budget: Buckets<IpAddr, RandomState>,
    clock: Clock,
    seen: Mutex<Seen>,
    started: Instant,
    /// From when on no address is blocked, in nanoseconds since the start: until one is, and
    /// nearly always none is, nobody has to look.
    calm_from: AtomicU64,
    /// Changes whenever a token is no longer known as good. A caller that was learned of as good
    /// since the last change need not be learned of again.
    edition: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    /// Tokens that upstream took.
    good: HashMap<Fingerprint, Instant>,
    /// Addresses whose budget is spent, and until when.
    blocked: HashMap<IpAddr, Instant>,
}

impl RefusedCredentials {
    pub(in crate::gateway) fn new(clock: &Clock) -> Self {
        Self {
            budget: Buckets::new(Share::whole(REFUSED), clock),
            clock: clock.clone(),
            seen: Mutex::default(),
            started: clock.instant(),
            calm_from: AtomicU64::new(0),
            edition: AtomicU64::new(1),
        }
    }

    /// Whether the address may still try this token: `Err` holds the seconds to wait. A token
    /// that upstream took lately may always.
    pub(in crate::gateway) fn admit(
        &self,
        address: Address,
        token: Fingerprint,
        now: Instant,
    ) -> Result<(), u64> {
        if self.nanos(now) >= self.calm_from.load(Ordering::Acquire) {
            return Ok(());
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = seen.blocked.get(&address.network()) else { return Ok(()) };
        let left = until.saturating_duration_since(now);
        if left.is_zero() || seen.good.contains_key(&token) {
            return Ok(());
        }
        Err(whole_seconds(left))
    }

    /// Learns from upstream's answer whether it took the caller's token.
    pub(in crate::gateway) fn learn(&self, address: Address, caller: &Caller, refused: bool) {
        let edition = self.edition.load(Ordering::Acquire);
        if !refused && caller.taken.load(Ordering::Relaxed) == edition {
            return;
        }
        let now = self.clock.instant();
        let token = caller.token_fingerprint;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if refused {
            if seen.good.remove(&token).is_some() {
                self.edition.fetch_add(1, Ordering::AcqRel);
            }
            if let Err(wait) = self.budget.draw(address.network(), now) {
                make_room(&mut seen.blocked, |until| *until > now);
                let until = now + Duration::from_secs(whole_seconds(wait));
                seen.blocked.insert(address.network(), until);
                self.calm_from.fetch_max(self.nanos(until), Ordering::AcqRel);
            }
            return;
        }
        if !seen.good.contains_key(&token) {
            let recent = now.checked_sub(Duration::from_mins(10)).unwrap_or(now);
            if make_room(&mut seen.good, |at| *at > recent) {
                self.edition.fetch_add(1, Ordering::AcqRel);
            }
            seen.good.insert(token, now);
        }
        // Read under the lock: what another forgets from now on changes it.
        caller.taken.store(self.edition.load(Ordering::Acquire), Ordering::Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Keeps a map bounded: drops what is stale when it is full, and everything if nothing is. Tells
/// whether it dropped anything.
fn make_room<K: Eq + std::hash::Hash>(
    map: &mut HashMap<K, Instant>,
    fresh: impl Fn(&Instant) -> bool,
) -> bool {
    let full = map.len() >= REMEMBERED_MAX;
    if full {
        map.retain(|_, at| fresh(at));
        if map.len() >= REMEMBERED_MAX {
            map.clear();
        }
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ManualClock, Timestamp};
    use crate::base::key::Token;
    use crate::policy::Actor;

    fn token(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 8])
    }

    fn caller(n: u8) -> Caller {
        let actor = Actor { fingerprint: token(n), name: None, team: None, person: None };
        let taken = AtomicU64::new(0);
        {
            let (token, token_fingerprint) = (Token::new("pt-any"), actor.fingerprint);
            Caller { actor, token, token_fingerprint, claims: None, listed: false, taken }
        }
    }

    #[test]
    fn an_address_that_only_brings_refused_credentials_is_slowed_down() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let clock = Clock::Manual(manual.clone());
        let refused = RefusedCredentials::new(&clock);
        let address = Address("192.0.2.1".parse().unwrap());
        let admit = |address, n| refused.admit(address, token(n), clock.instant());
        let good = caller(0);
        refused.learn(address, &good, false);
        for n in 1..=21 {
            assert!(admit(address, n).is_ok());
            refused.learn(address, &caller(n), true);
        }
        assert_eq!(admit(address, 99), Err(1));
        assert!(admit(address, 0).is_ok(), "a good token is not held up");
        // Not even where it was refused once between: upstream may have been mistaken.
        refused.learn(address, &caller(0), true);
        assert!(admit(address, 0).is_err());
        refused.learn(address, &good, false);
        assert!(admit(address, 0).is_ok(), "it is learned of anew");
        let elsewhere = Address("192.0.2.2".parse().unwrap());
        assert!(admit(elsewhere, 99).is_ok());
        manual.advance(Duration::from_secs(2));
        assert!(admit(address, 99).is_ok());
    }
}
