//! The limits that gateways share in a Redis or Valkey.
//!
//! A call asks first, but for reads of a token that has more than half of its burst left: they pass
//! on the last answer, and are charged a moment later. What is charged so may be owed, and is
//! paid by what comes after.

mod connection;
mod link;
mod recent;
mod route;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::connection::{AskError, Drawn, Taking};
use self::link::Link;
use self::recent::RecentAnswers;
use super::{
    DrawError, LiveNodes, LocalLimiter, RateLimitStatus, RateLimited, RequestKind, Share,
    whole_seconds,
};
use crate::base::clock::{Clock, Moment};
use crate::base::ids::Fingerprint;
use crate::config::{Budget, LimitBackend, RateLimit, SharedLimits, WhileAway};
use crate::upstream::trust::TrustError;

/// The most calls that wait to be charged; those beyond ask first.
const CHARGES_MAX: usize = 16_384;

/// How long charges are gathered, so that one question is about many.
const GATHERED_FOR: Duration = Duration::from_millis(5);

/// The most charges on their way at once.
const CHARGING_MAX: usize = 64;

/// Limits that gateways share.
#[derive(Debug)]
pub(in crate::gateway) struct SharedLimiter {
    limits: RateLimit,
    shared: SharedLimits,
    link: Arc<Link>,
    recent: Arc<RecentAnswers>,
    charges: mpsc::Sender<Charge>,
    _charging: AbortOnDropHandle<()>,
    alone: Mutex<Option<(u32, Arc<LocalLimiter>)>>,
    nodes: LiveNodes,
    clock: Clock,
}

/// A call that passes and is charged later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Charge {
    token: Fingerprint,
    is_read: bool,
    taking: Taking,
}

impl SharedLimiter {
    pub(super) fn new(
        limits: RateLimit,
        (backend, shared): (&LimitBackend, &SharedLimits),
        nodes: &LiveNodes,
        clock: &Clock,
        former: Option<&Self>,
    ) -> Result<Self, TrustError> {
        let is_same = |former: &&Self| {
            let (old, new) = (&former.shared, shared);
            // What a file holds may have changed.
            old.backend == new.backend && old.ca_file.is_none() && new.ca_file.is_none()
        };
        let link = match former.filter(is_same) {
            Some(former) => Arc::clone(&former.link),
            None => Arc::new(Link::open(backend, shared, nodes)?),
        };
        let (charges, taken) = mpsc::channel(CHARGES_MAX);
        let recent = Arc::new(RecentAnswers::new());
        let charger = Charger {
            limits,
            link: Arc::clone(&link),
            recent: Arc::clone(&recent),
            clock: clock.clone(),
        };
        let charging = AbortOnDropHandle::new(tokio::spawn(charger.run(taken)));
        Ok(Self {
            limits,
            shared: shared.clone(),
            link,
            recent,
            charges,
            _charging: charging,
            alone: Mutex::default(),
            nodes: nodes.clone(),
            clock: clock.clone(),
        })
    }

    pub(super) fn is_away(&self) -> bool {
        self.link.is_away()
    }

    /// Draws without a wait, where that is possible.
    pub(super) fn draw_at_once(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Option<Result<RateLimitStatus, DrawError>> {
        if self.link.is_away() {
            return Some(self.alone(token, kind, now));
        }
        if kind == RequestKind::Write {
            return None;
        }
        let read = self.limits.read;
        let left = self.recent.take(token, read.burst, now.instant)?;
        let charge = Charge { token, is_read: true, taking: Taking::Owe };
        if self.charges.try_send(charge).is_err() {
            self.recent.charged(token, 1);
            return None;
        }
        Some(Ok(RateLimitStatus::of(Share::whole(read), left, now.at)))
    }

    /// Draws by asking.
    pub(super) async fn draw(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Result<RateLimitStatus, DrawError> {
        let budget = budget(self.limits, kind);
        let Ok(drawn) = self.link.draw((token, kind), budget, 1, Taking::Ask).await else {
            return self.alone(token, kind, now);
        };
        if kind == RequestKind::Read {
            self.recent.learn(token, drawn.left, self.clock.instant());
        }
        let share = Share::whole(budget);
        let rate_limit = RateLimitStatus::of(share, drawn.left, self.clock.now());
        if drawn.is_taken {
            return Ok(rate_limit);
        }
        let retry_after = whole_seconds(drawn.wait);
        Err(DrawError::Exhausted(RateLimited { rate_limit, retry_after, share }))
    }

    /// Has a call charged that passes in any case.
    pub(super) fn charge(&self, token: Fingerprint, kind: RequestKind) {
        let is_read = kind == RequestKind::Read;
        // Where too many wait already, it is not charged: nobody is held up by it.
        let _ = self.charges.try_send(Charge { token, is_read, taking: Taking::Fit });
    }

    /// Draws without the others.
    fn alone(
        &self,
        token: Fingerprint,
        kind: RequestKind,
        now: Moment,
    ) -> Result<RateLimitStatus, DrawError> {
        match self.shared.away {
            WhileAway::Deny => Err(DrawError::Away),
            WhileAway::Share => {
                self.own_share().draw(token, kind, now).map_err(DrawError::Exhausted)
            }
        }
    }

    /// This gateway's share of the budgets, by the number of gateways that are alive.
    fn own_share(&self) -> Arc<LocalLimiter> {
        let nodes = self.nodes.count();
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        match &*alone {
            Some((among, limiter)) if *among == nodes => Arc::clone(limiter),
            _ => {
                let limiter = Arc::new(LocalLimiter::new(self.limits, nodes, &self.clock));
                *alone = Some((nodes, Arc::clone(&limiter)));
                limiter
            }
        }
    }
}

fn budget(limits: RateLimit, kind: RequestKind) -> Budget {
    match kind {
        RequestKind::Read => limits.read,
        RequestKind::Write => limits.write,
    }
}

/// Charges what has passed.
struct Charger {
    limits: RateLimit,
    link: Arc<Link>,
    recent: Arc<RecentAnswers>,
    clock: Clock,
}

impl Charger {
    async fn run(self, mut taken: mpsc::Receiver<Charge>) {
        let mut charges = Vec::new();
        while taken.recv_many(&mut charges, CHARGES_MAX).await > 0 {
            let mut counted = BTreeMap::<Charge, u32>::new();
            for charge in charges.drain(..) {
                *counted.entry(charge).or_default() += 1;
            }
            let charging = stream::iter(counted).map(|(charge, count)| self.charge(charge, count));
            charging.buffer_unordered(CHARGING_MAX).collect::<()>().await;
            tokio::time::sleep(GATHERED_FOR).await;
        }
    }

    async fn charge(&self, charge: Charge, count: u32) {
        let Charge { token, is_read, taking } = charge;
        let kind = if is_read { RequestKind::Read } else { RequestKind::Write };
        let drawn: Result<Drawn, AskError> =
            self.link.draw((token, kind), budget(self.limits, kind), count, taking).await;
        if taking == Taking::Owe {
            self.recent.charged(token, count);
        }
        if let Ok(drawn) = drawn
            && is_read
        {
            self.recent.learn(token, drawn.left, self.clock.instant());
        }
    }
}
