//! What was pruned, and what is overdue.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Timestamp;

/// How far pruning has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionStanding {
    /// How many changes this gateway has pruned.
    pub changes: u64,
    /// How many events.
    pub events: u64,
    /// When it last pruned any.
    pub pruned_at: Option<Timestamp>,
    /// For how long what could go has been due at the last look; zero where nothing was.
    pub overdue: Duration,
}

/// The same, as it comes about.
#[derive(Debug, Default)]
pub(in crate::audit) struct RetentionFigures(Mutex<RetentionStanding>);

impl RetentionFigures {
    pub(super) fn add(&self, changes: usize, events: usize, at: Timestamp) {
        let mut standing = self.lock();
        standing.changes += u64::try_from(changes).unwrap_or(0);
        standing.events += u64::try_from(events).unwrap_or(0);
        standing.pruned_at = Some(at);
    }

    pub(super) fn note_overdue(&self, overdue: Duration) {
        self.lock().overdue = overdue;
    }

    pub(super) fn standing(&self) -> RetentionStanding {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, RetentionStanding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
