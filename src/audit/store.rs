//! Where the log lies. Only what is below here speaks SQL, and only the room of a kind of store
//! names its driver.

mod lock;
mod sqlite;

use std::error::Error;
use std::sync::Arc;

pub(super) use self::lock::{Lock, LockError};
#[cfg(test)]
pub(super) use self::sqlite::interfere;
pub(super) use self::sqlite::{
    Beside, Documents, FindError, Found, Preparation, Reads, Unclear, Writes, find, parse,
};

/// Any error on the way of a question.
pub(super) type Boxed = Box<dyn Error + Send + Sync>;

/// A store's own error, shared by those who wait for one batch.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// Why something was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// A rule of a table forbids this record; others are not concerned.
    #[error("the log's rules forbid the record")]
    Refused(#[source] Cause),
    /// The store did not take it. Nothing was written.
    #[error("the store does not work")]
    Unavailable(#[source] Cause),
    /// The store failed while committing: it may hold the record or not.
    #[error("the store failed while writing")]
    Ambiguous(#[source] Cause),
    /// What was opened is not there any more, or can't be trusted.
    #[error(transparent)]
    Gone(Cause),
}
