//! SQLite's errors as those of any store.

use std::sync::Arc;

use sqlx::Error;
use sqlx::migrate::MigrateError;

use crate::audit::store::{Cause, StoreError};

/// The log's file is not where it was opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log's file is gone, or another one is in its place: move it back; to start with another \
     one, stop the gateway first and remove the -wal and -shm files beside it"
)]
pub(super) struct Moved;

/// The database that was opened again is damaged.
#[derive(Debug, thiserror::Error)]
#[error("the database is damaged ({0}): restore it from a backup")]
pub(super) struct DamagedFile(pub(super) String);

pub(super) fn moved() -> StoreError {
    StoreError::Gone(Arc::new(Moved))
}

pub(super) fn damaged(verdict: String) -> StoreError {
    StoreError::Gone(Arc::new(DamagedFile(verdict)))
}

pub(super) fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(Arc::new(error))
}

pub(super) fn ambiguous(error: Error) -> StoreError {
    StoreError::Ambiguous(Arc::new(error))
}

/// The error of a batch one of whose statements broke.
pub(super) fn of_statement(error: Error) -> StoreError {
    // SQLITE_TOOBIG, SQLITE_CONSTRAINT (a trigger's refusal too), SQLITE_MISMATCH.
    let refused =
        matches!(primary_code(&error), Some(18..=20)) || matches!(error, Error::Encode(_));
    if refused { StoreError::Refused(Arc::new(error)) } else { unavailable(error) }
}

/// Whether it may pass by itself: `SQLITE_BUSY`, `SQLITE_IOERR`, `SQLITE_FULL` or
/// `SQLITE_CANTOPEN`, for the companion files are opened as well.
pub(super) fn may_pass(error: &StoreError) -> bool {
    matches!(code(error), Some(5 | 10 | 13 | 14))
}

/// Whether the connection may still be trusted.
pub(super) fn spares_connection(error: &StoreError) -> bool {
    match error {
        StoreError::Refused(_) => true,
        StoreError::Gone(cause) => cause.is::<Moved>(),
        StoreError::Unavailable(_) | StoreError::Ambiguous(_) => false,
    }
}

/// Whether the file itself may have suffered: `SQLITE_IOERR`, `SQLITE_CORRUPT` or `SQLITE_NOTADB`.
pub(super) fn touches_file(error: &StoreError) -> bool {
    matches!(code(error), Some(10 | 11 | 26)) || cause(error).is::<DamagedFile>()
}

fn cause(error: &StoreError) -> &Cause {
    match error {
        StoreError::Refused(cause)
        | StoreError::Unavailable(cause)
        | StoreError::Ambiguous(cause)
        | StoreError::Gone(cause) => cause,
    }
}

fn code(error: &StoreError) -> Option<u32> {
    cause(error).downcast_ref().and_then(primary_code)
}

/// SQLite's primary result code, where the error is SQLite's.
pub(super) fn primary_code(error: &Error) -> Option<u32> {
    if let Error::Migrate(error) = error {
        return match &**error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                primary_code(error)
            }
            _otherwise => None,
        };
    }
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
