//! Figures of the task that seals.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the evidence is kept up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceStanding {
    /// How many leaves are in the tree.
    pub leaves: u64,
    /// For how long there may be records that are not in it.
    pub behind: Duration,
    /// How old the newest checkpoint is; `None` where this gateway has made none.
    pub checkpoint_age: Option<Duration>,
}

/// How long a record may wait for its leaf before that is told as a fault.
const BEHIND_MAX: Duration = Duration::from_secs(30);

impl EvidenceStanding {
    /// Whether records wait for longer than they should.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind > BEHIND_MAX
    }
}

/// The figures of the task, which others read.
#[derive(Debug, Default)]
pub(in crate::audit) struct SealerFigures(Mutex<Figures>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) leaves: u64,
    pub(super) caught_up: Option<Instant>,
    pub(super) signed: Option<Instant>,
}

impl SealerFigures {
    pub(super) fn note(&self, note: impl FnOnce(&mut Figures)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn standing(&self, now: Instant) -> EvidenceStanding {
        let figures = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        EvidenceStanding {
            leaves: figures.leaves,
            behind: since(figures.caught_up).unwrap_or_default(),
            checkpoint_age: since(figures.signed),
        }
    }
}
