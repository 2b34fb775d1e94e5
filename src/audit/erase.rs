//! Erasing: the bodies of changes go for good, with everything that repeats them, and that there
//! were these changes stays. Step by step, each of them one transaction with an event that says
//! what it took, so that what is broken off goes on when it is asked for again.

mod before;
mod hand;
mod left;
mod plan;
mod standing;

use std::time::Duration;

use tokio::time::sleep;

use self::hand::Hand;
use self::plan::{Next, Planner};
pub use self::standing::{Erasure, erasures};
pub(super) use self::standing::{completed_by, waiting};
pub use super::erased::EraseTarget;
use super::erased::ErasureRecord;
use super::redact::Redaction;
use super::retention::HoldSubject;
use super::store::{Boxed, Preparation, Pruned, Reads, Store};
use super::{StartError, take};
use crate::base::clock::Clock;
use crate::base::database::Database;
use crate::base::ids::ChangeId;
use crate::base::key::DigestScope;
use crate::policy::approvals::REASON_BYTES_MAX;

/// How often a step is planned anew where others write meanwhile, and how long it waits before.
const ATTEMPTS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// The most changes beside the target that are told by name.
const BESIDE_TOLD_MAX: usize = 1_000;

/// A request to erase.
#[derive(Clone, Debug)]
pub struct EraseRequest {
    /// The change or deployment that loses its bodies.
    pub target: EraseTarget,
    /// Why, in words.
    pub reason: String,
    /// The login of who asks.
    pub by: Option<String>,
    /// Those that the configuration holds: none of their records is erased.
    pub holds: Vec<HoldSubject>,
}

/// The result of an erasure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many changes lost their bodies.
    pub changes: u64,
    /// How many others lost a document that they shared with those.
    pub beside: u64,
    /// The first of them.
    pub beside_named: Vec<ChangeId>,
    /// How many documents are gone.
    pub documents: u64,
    /// How many sealed originals are gone.
    pub originals: u64,
    /// The keys that these were sealed under.
    pub sealed_under: Vec<String>,
    /// Whether nothing of it is left in the log's own files. PostgreSQL's are its server's.
    pub is_scoured: bool,
}

/// Why nothing, or not all, was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The reason is none.
    #[error("write a reason of 1 to {REASON_BYTES_MAX} bytes without control characters")]
    BadReason,
    /// A gateway has the log.
    #[error(
        "{database} belongs to a running gateway ({holder}), which may build upon what would be \
         erased: stop it first"
    )]
    Running {
        /// The log.
        database: String,
        /// The holder, as the lock file names it.
        holder: String,
    },
    /// There is no such change or deployment.
    #[error("the log has no {0}: `audit list` shows which it has")]
    Unknown(EraseTarget),
    /// It is on its way.
    #[error("change {0} has not ended: erase it once it has")]
    NotEnded(ChangeId),
    /// Somebody is to decide on it, who needs to see it.
    #[error("an approval of change {0} is open, or a review: have it decided first")]
    Undecided(ChangeId),
    /// Somebody holds it.
    #[error(
        "change {change} is held, by its {by}: nothing is erased; remove the hold first \
         (`changegate audit hold list` tells them all)"
    )]
    OnHold {
        /// The change.
        change: ChangeId,
        /// What the hold is of.
        by: String,
    },
    /// Erasing it would hide that.
    #[error(
        "{0} is not what its leaf says, which erasing would hide: `changegate audit verify` tells \
         more"
    )]
    Altered(String),
    /// Others write what is erased.
    #[error("changes of it are made all the time, so that only a part was erased: try it again")]
    Busy,
    /// Rows are gone, and files may hold them.
    #[error(
        "the records are erased, and {database} still holds what they were: free as much room as \
         it takes, end what else reads it, and run this again"
    )]
    NotScoured {
        /// The log.
        database: String,
    },
    /// The log can't be used.
    #[error("can't use the audit database {database}")]
    Store {
        /// The log.
        database: String,
        /// The store's error.
        source: Boxed,
    },
}

/// Erases what is asked for. Where it was erased before, nothing is done but to look whether
/// anything of it is left in the files.
pub async fn erase(
    database: &Database,
    request: &EraseRequest,
    redaction: &Redaction,
    clock: &Clock,
) -> Result<Erased, EraseError> {
    let bad =
        |reason: &str| reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control);
    if request.reason.trim().is_empty() || bad(&request.reason) {
        return Err(EraseError::BadReason);
    }
    let redactor = redaction.within(DigestScope::Gateway);
    let reason = redactor.scrub_and_cut(request.reason.trim(), REASON_BYTES_MAX);
    let request = &EraseRequest { reason, ..request.clone() };
    let failed = |source: Boxed| EraseError::Store { database: database.to_string(), source };
    if let Database::Postgres(_) = database {
        let reads = Reads::open(database).await.map_err(failed)?;
        return all(&reads, &mut Hand::Shared(&reads), request, clock).await.map_err(told(&failed));
    }
    let hold = take(database, clock.now()).map_err(|error| match error {
        StartError::Held { database, holder } => EraseError::Running { database, holder },
        other => failed(other.into()),
    })?;
    let opened = Store::open_alone(hold, Preparation { key: None, at: clock.now() }).await;
    let mut store = opened.map_err(failed)?;
    let reads = store.reads();
    let erased = all(&reads, &mut Hand::Alone(&mut store), request, clock).await;
    drop(reads);
    let scoured = if erased.is_ok() { store.scour().await } else { Ok(false) };
    let closed = store.close().await;
    let erased = erased.map_err(told(&failed))?;
    let unscoured = || EraseError::NotScoured { database: database.to_string() };
    let is_scoured = scoured.map_err(|fault| {
        tracing::error!(error = %crate::base::visible::chain(&fault), "the log is not compacted");
        unscoured()
    })?;
    closed.map_err(|fault| failed(fault.into()))?;
    if is_scoured { Ok(Erased { is_scoured, ..erased }) } else { Err(unscoured()) }
}

/// An error of a plan as one of the whole.
fn told(failed: &impl Fn(Boxed) -> EraseError) -> impl Fn(Boxed) -> EraseError {
    move |error| match error.downcast::<EraseError>() {
        Ok(known) => *known,
        Err(source) => failed(source),
    }
}

/// Carries out steps until nothing is left to erase.
async fn all(
    reads: &Reads,
    hand: &mut Hand<'_>,
    request: &EraseRequest,
    clock: &Clock,
) -> Result<Erased, Boxed> {
    hand.seal(reads).await?;
    let mut planner = Planner::begin(reads, request).await?;
    let (mut erased, mut attempts) = (Erased::default(), 0);
    loop {
        let done = match planner.next(clock.now()).await? {
            Next::Nothing => {
                // So that the erasure itself is in the tree.
                hand.seal(reads).await?;
                return Ok(erased);
            }
            Next::Waits => Pruned::Overtaken,
            Next::Step(step, record) => {
                let done = hand.erase(&step).await?;
                if matches!(done, Pruned::Done(_)) {
                    erased.add(&record);
                }
                done
            }
        };
        if matches!(done, Pruned::Done(_)) {
            attempts = 0;
            continue;
        }
        attempts += 1;
        if attempts > ATTEMPTS_MAX {
            return Err(EraseError::Busy.into());
        }
        sleep(PAUSE).await;
        hand.seal(reads).await?;
        planner.refresh().await?;
    }
}

impl Erased {
    fn add(&mut self, record: &ErasureRecord) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.changes += count(record.changes.len());
        self.beside += count(record.beside.len());
        let room = BESIDE_TOLD_MAX.saturating_sub(self.beside_named.len());
        self.beside_named.extend(record.beside.iter().take(room));
        self.documents += count(record.documents);
        self.originals += count(record.originals);
        for key in record.sealed_under.iter().map(ToString::to_string) {
            if !self.sealed_under.contains(&key) {
                self.sealed_under.push(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
