//! The log's condition and work, as probes and metrics tell of them.

use std::sync::PoisonError;

use serde::Serialize;
use utoipa::ToSchema;

use super::Audit;
use crate::base::ids::ChangeId;

/// Whether the log can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Writable,
    /// It can't, and why.
    Failing(String),
}

/// Changes after which a rule was found broken, though that was not predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundAfter {
    /// How many there were since the start.
    pub changes: u64,
    /// The newest of them.
    pub last: ChangeId,
}

/// The work that the log has done and has before it, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions committed.
    pub commits: u64,
    /// Records, completions, settlements and events written.
    pub rows: u64,
    /// Events that could not be kept.
    pub events_dropped: u64,
    /// Records that wait for the writer.
    pub commands_waiting: usize,
    /// Changes that are open, or whose completion waits for the writer.
    pub changes_open: usize,
    /// Changes that a crash had left open and that the start has ended as `unknown`.
    pub changes_left_open: u64,
    /// Completions that the store has refused to take and that are tried again.
    pub endings_kept: u64,
}

impl Audit {
    /// Notes that a rule was found broken after `change`, though that was not predicted.
    pub fn found_after(&self, change: ChangeId) {
        let mut found = self.shared.found_after.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = found.map_or(0, |found| found.changes) + 1;
        *found = Some(FoundAfter { changes, last: change });
    }

    /// Changes since the start after which a rule was found broken though that was not predicted.
    #[must_use]
    pub fn after_violations(&self) -> Option<FoundAfter> {
        *self.shared.found_after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
