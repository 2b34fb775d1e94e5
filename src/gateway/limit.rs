//! Budgets: per personal access token, and per address for credentials that upstream refuses.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method};

use self::buckets::Buckets;
pub(super) use self::kept::KeptBytes;
use super::identify::{Address, Caller};
use crate::base::clock::{Clock, Moment, Timestamp};
use crate::base::ids::Fingerprint;
use crate::config::{Budget, RateLimit};

mod buckets;
mod kept;

/// The most tokens remembered as good, and the most addresses remembered as blocked.
const REMEMBERED_MAX: usize = 65_536;

/// The budget of an address for credentials that upstream refuses.
const REFUSED: Budget = Budget::per_second(1, 20);

/// The effect that a call may have on what it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Read,
    Write,
}

impl RequestKind {
    pub(super) fn of(method: &Method) -> Self {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        if reads { Self::Read } else { Self::Write }
    }
}

/// The rest of a token's budget, for the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimitStatus {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Unix seconds at which the bucket is full again.
    pub(super) reset: i64,
}

impl RateLimitStatus {
    fn of(budget: Budget, remaining: u32, now: Timestamp) -> Self {
        let missing = u64::from(budget.burst.saturating_sub(remaining));
        let period = budget.rate.period().as_secs() * 1_000;
        let full_in = Duration::from_millis(missing * period / u64::from(budget.rate.count()));
        // Rounded up: a client that waits until then finds the bucket full.
        let reset = now.plus(full_in + Duration::from_millis(999)).unix_seconds();
        Self { limit: budget.burst, remaining, reset }
    }
}

/// The header values that a connection's client got last, ready to be sent again: the limit stays,
/// and the rest often does from one call to the next.
#[derive(Debug, Default)]
pub(super) struct RateLimitFields(Mutex<[(u64, Option<HeaderValue>); 3]>);

impl RateLimitFields {
    /// The limit, what remains of it, and when it is whole again, as headers say it.
    pub(super) fn values(&self, status: RateLimitStatus) -> [HeaderValue; 3] {
        let reset = u64::try_from(status.reset).unwrap_or(0);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [limit, remaining, whole] = &mut *told;
        let say = |told: &mut (u64, Option<HeaderValue>), number| {
            if told.0 != number {
                *told = (number, None);
            }
            told.1.get_or_insert_with(|| HeaderValue::from(number)).clone()
        };
        [
            say(limit, status.limit.into()),
            say(remaining, status.remaining.into()),
            say(whole, reset),
        ]
    }
}

/// Over the budget: when the next call fits, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimited {
    pub(super) rate_limit: RateLimitStatus,
    pub(super) retry_after: u64,
    budget: Budget,
}

impl RateLimited {
    /// The words for a client whose call of that kind was one too many.
    pub(super) fn message(&self, kind: RequestKind) -> String {
        let calls = match kind {
            RequestKind::Read => "reads",
            RequestKind::Write => "writes",
        };
        let Budget { rate, burst } = self.budget;
        let (count, unit, seconds) = (rate.count(), rate.unit(), self.retry_after.max(1));
        format!(
            "too many {calls} with this token ({count} a {unit}, burst {burst}): try again in \
             {seconds} s"
        )
    }
}

/// The two budgets of every token.
#[derive(Debug)]
pub(super) struct Limiter {
    read: (Budget, Tokens),
    write: (Budget, Tokens),
}

/// A token's fingerprint is a keyed digest, which nobody can choose: it is hash enough.
type Tokens = Buckets<u64, BuildHasherDefault<AsItIs>>;

/// Hashes a number to itself.
#[derive(Default)]
struct AsItIs(u64);

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

impl Limiter {
    pub(super) fn new(limits: RateLimit, clock: &Clock) -> Self {
        let tokens = |budget| (budget, Buckets::new(budget, clock));
        Self { read: tokens(limits.read), write: tokens(limits.write) }
    }

    /// Draws one call from the budget.
    pub(super) fn draw(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Result<RateLimitStatus, RateLimited> {
        let (budget, tokens) = match kind {
            RequestKind::Read => &self.read,
            RequestKind::Write => &self.write,
        };
        match tokens.draw(token.as_u64(), now.instant) {
            Ok(remaining) => Ok(RateLimitStatus::of(*budget, remaining, now.at)),
            Err(wait) => {
                let rate_limit = RateLimitStatus::of(*budget, 0, now.at);
                Err(RateLimited { rate_limit, retry_after: whole_seconds(wait), budget: *budget })
            }
        }
    }
}

/// Addresses from which refused credentials come.
#[derive(Debug)]
pub(super) struct RefusedCredentials {
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
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            budget: Buckets::new(REFUSED, clock),
            clock: clock.clone(),
            seen: Mutex::default(),
            started: clock.instant(),
            calm_from: AtomicU64::new(0),
            edition: AtomicU64::new(1),
        }
    }

    /// Whether the address may still try this token: `Err` holds the seconds to wait. A token
    /// that upstream took lately may always.
    pub(super) fn admit(
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
    pub(super) fn learn(&self, address: Address, caller: &Caller, refused: bool) {
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

/// Whole seconds to wait, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
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
    fn a_budget_empties_refills_and_is_kept_per_token() {
        let manual = ManualClock::at(Timestamp::from_millis(1_000_000));
        let budget = Budget::per_second(2, 3);
        let limits = RateLimit { read: budget, write: budget };
        let clock = Clock::Manual(manual.clone());
        let limiter = Limiter::new(limits, &clock);
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
