//! Budgets: per personal access token, and per address for credentials that upstream refuses.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method};

pub(super) use self::kept::KeptBytes;
pub(super) use self::local::{LiveNodes, LocalLimiter};
pub(super) use self::refused::RefusedCredentials;
use self::shared::SharedLimiter;
use crate::base::clock::{Clock, Moment, Timestamp};
use crate::base::ids::Fingerprint;
use crate::config::{Budget, RateLimit, SharedLimits};
use crate::upstream::trust::TrustError;

mod buckets;
mod kept;
mod local;
mod refused;
mod shared;

/// The most tokens remembered as good, and the most addresses remembered as blocked.
const REMEMBERED_MAX: usize = 65_536;

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
    fn of(share: Share, remaining: u32, now: Timestamp) -> Self {
        let (rate, burst) = (share.budget.rate, share.burst());
        let missing = u64::from(burst.saturating_sub(remaining));
        let period = rate.period().as_secs() * 1_000 * u64::from(share.nodes);
        let full_in = missing.saturating_mul(period) / u64::from(rate.count());
        let full_in = Duration::from_millis(full_in);
        // Rounded up: a client that waits until then finds the bucket full.
        let reset = now.plus(full_in + Duration::from_millis(999)).unix_seconds();
        Self { limit: burst, remaining, reset }
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
    share: Share,
}

impl RateLimited {
    /// The words for a client whose call of that kind was one too many.
    pub(super) fn message(&self, kind: RequestKind) -> String {
        let calls = match kind {
            RequestKind::Read => "reads",
            RequestKind::Write => "writes",
        };
        let Share { budget: Budget { rate, burst }, nodes } = self.share;
        let (count, unit, seconds) = (rate.count(), rate.unit(), self.retry_after.max(1));
        let part = match nodes {
            1 => String::new(),
            _ => format!("; 1/{nodes} of that at this gateway, while rate_limit.backend is away"),
        };
        format!(
            "too many {calls} with this token ({count} a {unit}, burst {burst}{part}): try again \
             in {seconds} s"
        )
    }
}

/// A gateway's share of a budget, which so many gateways have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    budget: Budget,
    nodes: u32,
}

impl Share {
    fn whole(budget: Budget) -> Self {
        Self { budget, nodes: 1 }
    }

    /// The most calls that may come at once: one in any case.
    fn burst(self) -> u32 {
        (self.budget.burst / self.nodes).max(1)
    }
}

/// Why a call does not pass.
#[derive(Debug)]
pub(super) enum DrawError {
    Exhausted(RateLimited),
    /// The limits are shared, and can't be asked (`rate_limit.away = "deny"`).
    Away,
}

/// The two budgets of every token.
#[derive(Debug)]
pub(super) enum Limiter {
    /// This gateway's own.
    Local(LocalLimiter),
    /// Those of all gateways that have one backend.
    Shared(SharedLimiter),
}

impl Limiter {
    /// The budgets as they are configured; a backend that `former` has a connection to is not
    /// called anew.
    pub(super) fn new(
        limits: RateLimit,
        shared: &SharedLimits,
        nodes: &LiveNodes,
        clock: &Clock,
        former: Option<&Self>,
    ) -> Result<Self, TrustError> {
        let Some(backend) = &shared.backend else {
            return Ok(Self::Local(LocalLimiter::new(limits, 1, clock)));
        };
        let former = former.and_then(|former| match former {
            Self::Local(_) => None,
            Self::Shared(former) => Some(former),
        });
        SharedLimiter::new(limits, (backend, shared), nodes, clock, former).map(Self::Shared)
    }

    /// Draws one call from the budget; `None` where the gateways' common one has to be asked.
    pub(super) fn draw_at_once(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Option<Result<RateLimitStatus, DrawError>> {
        match self {
            Self::Local(local) => Some(local.draw(token, kind, now).map_err(DrawError::Exhausted)),
            Self::Shared(shared) => shared.draw_at_once(token, kind, now),
        }
    }

    /// Draws one call from the budget.
    pub(super) async fn draw(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Result<RateLimitStatus, DrawError> {
        match self {
            Self::Local(local) => local.draw(token, kind, now).map_err(DrawError::Exhausted),
            Self::Shared(shared) => shared.draw(token, kind, now).await,
        }
    }

    /// Draws one call that nothing waits for, where there is one.
    pub(super) fn charge(&self, token: Fingerprint, kind: RequestKind, now: Moment) {
        match self {
            Self::Local(local) => drop(local.draw(token, kind, now)),
            Self::Shared(shared) => shared.charge(token, kind),
        }
    }

    /// Whether the gateways' common budgets can't be asked.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Shared(shared) if shared.is_away())
    }
}

/// Whole seconds to wait, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
