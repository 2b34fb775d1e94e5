//! How long records are kept: what is old goes step by step, each of them one transaction that
//! leaves nothing which names what is gone, and an event that says what it was.

mod boundary;
mod direct;
mod figures;
mod holding;
mod holds;
mod pass;
mod pruner;
mod run;
mod task;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::direct::{PruneError, look, prune};
pub(super) use self::figures::RetentionFigures;
pub use self::figures::RetentionStanding;
pub use self::holding::{HoldChange, change_hold, holds};
pub(super) use self::holds::Held;
pub(crate) use self::holds::SUBJECT_BYTES_MAX;
pub use self::holds::{Hold, HoldSubject};
pub use self::pruner::Survey;
pub use self::task::Pruning;

/// Nothing younger is pruned: idempotency keys are in force for so long, and a gateway may build
/// upon a document that it remembers for half of it.
pub const AGE_MIN: Duration = Duration::from_hours(24);

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// What is older goes.
    pub max_age: Option<Duration>,
    /// What is beyond the newest so many changes goes.
    pub max_changes: Option<u32>,
    /// Those whose records stay all the same.
    pub holds: Vec<HoldSubject>,
    /// The sinks that are to be sent a record before it goes, for a while.
    pub sinks: Vec<String>,
}
