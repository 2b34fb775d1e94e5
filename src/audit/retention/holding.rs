//! Holds that are added and removed by a command.

use super::direct::PruneError;
use super::holds::{HOLDS_MAX, Hold, HoldSubject, in_force};
use crate::audit::entry::Entry;
use crate::audit::query::{QueryError, Reader};
use crate::audit::redact::Redaction;
use crate::audit::store::{Boxed, Preparation, Reads, Store};
use crate::audit::{StartError, take};
use crate::base::clock::Clock;
use crate::base::database::Database;
use crate::base::key::DigestScope;
use crate::policy::approvals::REASON_BYTES_MAX;

/// What is to become of a hold.
#[derive(Clone, Debug)]
pub struct HoldChange {
    /// Whose records it is of.
    pub subject: HoldSubject,
    /// Whether it is in force from now on.
    pub is_added: bool,
    /// Why.
    pub reason: Option<String>,
}

/// More holds than there may be.
#[derive(Debug, thiserror::Error)]
#[error("the log has {HOLDS_MAX} holds, and takes no more: remove some, or hold their team")]
struct TooMany;

/// The holds that are in force by the log's own word, the oldest first.
pub async fn holds(database: &Database) -> Result<Vec<Hold>, PruneError> {
    let failed = |source| PruneError::Store { database: database.to_string(), source };
    let reads = Reads::open(database).await.map_err(failed)?;
    Ok(in_force(&reads).await.map_err(failed)?.0)
}

impl Reader {
    /// The holds that are in force by the log's own word, the oldest first.
    pub async fn holds(&self) -> Result<Vec<Hold>, QueryError> {
        Ok(in_force(self.reads()).await.map_err(QueryError::Store)?.0)
    }
}

/// Records that a hold is in force from now on, or no longer, secrets in its reason concealed.
/// Tells whether that is another word than the last.
pub async fn change_hold(
    database: &Database,
    change: &HoldChange,
    redaction: &Redaction,
    clock: &Clock,
) -> Result<bool, PruneError> {
    let failed = |source: Boxed| PruneError::Store { database: database.to_string(), source };
    let reads = Reads::open(database).await.map_err(failed)?;
    let (holds, _newest) = in_force(&reads).await.map_err(failed)?;
    if holds.iter().any(|hold| hold.subject == change.subject) == change.is_added {
        return Ok(false);
    }
    if change.is_added && holds.len() >= HOLDS_MAX {
        return Err(failed(TooMany.into()));
    }
    let redactor = redaction.within(DigestScope::Gateway);
    let reason = change.reason.as_deref();
    let reason = reason.map(|reason| redactor.scrub_and_cut(reason, REASON_BYTES_MAX));
    let event = change.subject.event(change.is_added, reason.as_deref(), clock.now());
    if let Reads::Postgres(reads) = &reads {
        reads.hold(&event).await.map_err(failed)?;
        return Ok(true);
    }
    drop(reads);
    let hold = take(database, clock.now()).map_err(|error| match error {
        StartError::Held { database, holder } => PruneError::Running { database, holder },
        other => failed(other.into()),
    })?;
    let opened = Store::open_alone(hold, Preparation { key: None, at: clock.now() }).await;
    let mut store = opened.map_err(failed)?;
    let written = store.write_each(&[&Entry::Happening(Box::new(event))]).await;
    let closed = store.close().await;
    written.map_err(|fault| failed(fault.into()))?;
    closed.map_err(|fault| failed(fault.into()))?;
    Ok(true)
}
