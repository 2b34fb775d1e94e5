//! What a pass takes by what is to be kept, and the places that it ends at.

use std::time::Duration;

use super::boundary::Boundary;
use super::holds::Held;
use super::pruner::{Pruner, Scope};
use super::{AGE_MIN, Retention};
use crate::audit::pruned::PruneReason;
use crate::audit::store::{Boxed, PruneBounds, Reads};
use crate::base::clock::Timestamp;

/// How far the clocks of a gateway and of the log's server may be apart before a step is refused.
const SERVER_CLOCK_SLACK: Duration = Duration::from_mins(10);

/// A pass through changes behind the place `after`, by what is to be kept `now`, of a log of which
/// somebody still needs what lies from the leaf `spared` on.
pub(super) async fn begin(
    reads: Reads,
    retention: &Retention,
    now: Timestamp,
    (after, spared): (i64, Option<u64>),
    boundary: &mut Boundary,
) -> Result<Pruner, Boxed> {
    // The server of a shared log goes by a clock of its own.
    let slack = if reads.are_shared() { SERVER_CLOCK_SLACK } else { Duration::ZERO };
    let settled = now.minus(AGE_MIN).minus(slack);
    let never = Timestamp::from_millis(i64::MIN);
    let by_age = retention.max_age.map_or(never, |age| now.minus(age.max(AGE_MIN)));
    let aged = match retention.max_age {
        Some(_) => reads.changes_before(by_age).await?,
        None => 0,
    };
    let by_count = match retention.max_changes {
        Some(newest) => boundary.find(&reads, newest, now).await?,
        None => 0,
    };
    let until = aged.max(by_count).min(reads.counted_until().await?);
    // Without changes of their time, events say little.
    let counted = match by_count {
        0 => never,
        seq => Timestamp::from_millis(reads.came_at(seq).await?),
    };
    let events_before = by_age.max(counted).min(settled);
    let bounds = PruneBounds { by_count, by_age, settled, now, spared };
    let scope = Scope { bounds, changes: (after, until), events_before, reason: None };
    let held = Held::of(&reads, &retention.holds).await?;
    Ok(Pruner::begin(reads, held, scope))
}

/// A pass by the word of a command: everything that is older.
pub(super) async fn by_command(
    reads: Reads,
    retention: &Retention,
    older_than: Duration,
    now: Timestamp,
) -> Result<Pruner, Boxed> {
    let kept = Retention { max_age: Some(older_than), max_changes: None, ..retention.clone() };
    let pruner = begin(reads, &kept, now, (0, None), &mut Boundary::default()).await?;
    Ok(pruner.at_once(PruneReason::Command))
}
