//! Callers that upstream is known to serve, and the deployments that each has been shown.
//!
//! A token costs nothing to make up. So nothing dear is done for one, and nothing of it is kept,
//! until upstream has taken it: has answered it otherwise than 401 on a path of the deployments
//! API. That is remembered for ten minutes.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::base::ids::Fingerprint;
use crate::deployment::key::DeploymentKey;

/// How long an answer of upstream's is remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);

/// How long it is remembered whose a token is: as long as the longest-lived ones hold.
const CONFIRMED_FOR: Duration = Duration::from_hours(12);

/// The most tokens remembered as taken, and the most deployments remembered as shown to somebody.
const REMEMBERED_MAX: usize = 65_536;

/// The tokens that upstream has taken lately, and the deployments that it has shown them.
#[derive(Debug, Default)]
pub(super) struct KnownCallers {
    seen: Mutex<Recent>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Recent {
    /// When upstream took each token last.
    taken: HashMap<Fingerprint, Instant>,
    /// When upstream first answered 2xx to each token that names a service account: what it says
    /// is true from then on.
    confirmed: HashMap<Fingerprint, Instant>,
    /// When upstream showed each caller a deployment last, by the hash of its key: a collision
    /// costs a place in line.
    shown: HashMap<(Fingerprint, u64), Instant>,
}

impl KnownCallers {
    /// Whether upstream has taken the token lately.
    pub(super) fn is_taken(&self, token: Fingerprint, now: Instant) -> bool {
        self.seen().taken.get(&token).is_some_and(|at| is_recent(*at, now))
    }

    /// Whether upstream has taken the token lately and has shown it the deployment.
    pub(super) fn is_shown(
        &self,
        token: Fingerprint,
        deployment: &DeploymentKey,
        now: Instant,
    ) -> bool {
        let key = (token, self.hasher.hash_one(deployment));
        let seen = self.seen();
        seen.taken.get(&token).is_some_and(|at| is_recent(*at, now))
            && seen.shown.get(&key).is_some_and(|at| is_recent(*at, now))
    }

    /// Learns from the status of upstream's answer to a call below `/deployments`.
    pub(super) fn learn(&self, token: Fingerprint, status: StatusCode, now: Instant) {
        if is_of_the_message(status) {
            return;
        }
        let mut seen = self.seen();
        if status == StatusCode::UNAUTHORIZED {
            seen.taken.remove(&token);
            seen.confirmed.remove(&token);
        } else {
            remember(&mut seen.taken, token, now, |at| is_recent(at, now));
        }
    }

    /// Whether upstream has answered 2xx to the token, which names a service account.
    pub(super) fn is_confirmed(&self, token: Fingerprint, now: Instant) -> bool {
        let seen = self.seen();
        let at = seen.confirmed.get(&token);
        at.is_some_and(|at| now.saturating_duration_since(*at) < CONFIRMED_FOR)
    }

    /// Keeps that upstream has answered 2xx to a token that names a service account.
    pub(super) fn confirm(&self, token: Fingerprint, now: Instant) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < CONFIRMED_FOR;
        remember(&mut self.seen().confirmed, token, now, is_recent);
    }

    /// Learns from upstream's answer to `GET /deployments/{id}` whether the caller may see it.
    pub(super) fn learn_shown(
        &self,
        token: Fingerprint,
        deployment: &DeploymentKey,
        status: StatusCode,
        now: Instant,
    ) {
        let key = (token, self.hasher.hash_one(deployment));
        let mut seen = self.seen();
        if status.is_success() {
            remember(&mut seen.shown, key, now, |at| is_recent(at, now));
        } else if status.is_client_error() {
            seen.shown.remove(&key);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Recent> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a status is about a message's form or length: what stands before upstream answers so
/// before anybody has looked at the credential, and a caller can bring it about.
pub(super) fn is_of_the_message(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 408 | 413 | 414 | 417 | 431 | 494)
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < REMEMBERED_FOR
}

/// Keeps the map bounded: where it is full, what is old goes, and where nothing is old, everything.
/// Whoever is forgotten is asked for once more.
fn remember<K: Eq + Hash>(
    seen: &mut HashMap<K, Instant>,
    key: K,
    now: Instant,
    is_recent: impl Fn(Instant) -> bool,
) {
    if let Some(at) = seen.get_mut(&key) {
        *at = now;
        return;
    }
    if seen.len() >= REMEMBERED_MAX {
        seen.retain(|_, at| is_recent(*at));
    }
    if seen.len() >= REMEMBERED_MAX {
        seen.clear();
    }
    seen.insert(key, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, ManualClock, Timestamp};

    fn dep(id: &str) -> DeploymentKey {
        DeploymentKey::new(&"main".into(), id)
    }

    fn token(n: u64) -> Fingerprint {
        Fingerprint::from_bytes(n.to_be_bytes())
    }

    #[test]
    fn a_token_is_known_for_ten_minutes_after_any_answer_but_401() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let clock = Clock::Manual(manual.clone());
        let known = KnownCallers::default();
        assert!(!known.is_taken(token(1), clock.instant()));
        known.learn(token(1), StatusCode::NOT_FOUND, clock.instant());
        assert!(known.is_taken(token(1), clock.instant()));
        assert!(!known.is_shown(token(1), &dep("dep_1"), clock.instant()));
        known.learn_shown(token(1), &dep("dep_1"), StatusCode::OK, clock.instant());
        assert!(known.is_shown(token(1), &dep("dep_1"), clock.instant()));
        assert!(!known.is_shown(token(2), &dep("dep_1"), clock.instant()));
        known.learn_shown(token(1), &dep("dep_1"), StatusCode::FORBIDDEN, clock.instant());
        assert!(!known.is_shown(token(1), &dep("dep_1"), clock.instant()));
        manual.advance(REMEMBERED_FOR);
        assert!(!known.is_taken(token(1), clock.instant()));
        known.learn(token(1), StatusCode::URI_TOO_LONG, clock.instant());
        assert!(!known.is_taken(token(1), clock.instant()), "nobody has looked at the token");
        known.learn(token(1), StatusCode::OK, clock.instant());
        known.learn(token(1), StatusCode::UNAUTHORIZED, clock.instant());
        assert!(!known.is_taken(token(1), clock.instant()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = KnownCallers::default();
        let now = Clock::System.instant();
        for n in 0..2 * REMEMBERED_MAX as u64 {
            known.learn(token(n), StatusCode::OK, now);
            known.learn_shown(token(7), &dep(&n.to_string()), StatusCode::OK, now);
        }
        assert!(known.seen().taken.len() <= REMEMBERED_MAX);
        assert!(known.seen().shown.len() <= REMEMBERED_MAX);
    }
}
