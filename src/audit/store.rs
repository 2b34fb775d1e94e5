//! Where the log lies. Only what is below here speaks SQL.

mod lock;
mod sqlite;

use std::sync::Arc;

pub(super) use self::lock::{Lock, LockError};
#[cfg(test)]
pub(super) use self::sqlite::interfere;
pub(super) use self::sqlite::{
    Beside, Documents, FindError, Found, Preparation, Reads, Unclear, Writes, find, parse,
};

/// Any error on the way of a question.
pub(super) type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not written. Those who wait for one batch share it.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// A rule of a table forbids this row; others are not concerned.
    #[error("the log's rules forbid the record")]
    Refused(#[source] Arc<sqlx::Error>),
    /// The store did not take it. Nothing was written.
    #[error("the store does not work")]
    Broken(#[source] Arc<sqlx::Error>),
    /// The store failed while committing: it may be on disk or not.
    #[error("the store failed while writing")]
    Unsure(#[source] Arc<sqlx::Error>),
    /// The log's file is not where it was opened.
    #[error(
        "the log's file is gone, or another one is in its place: move it back; to start with \
         another one, stop the gateway first and remove the -wal and -shm files beside it"
    )]
    Moved,
    /// The database that was opened again is damaged.
    #[error("the database is damaged ({0}): restore it from a backup")]
    Damaged(String),
}

impl Fault {
    fn broken(error: sqlx::Error) -> Self {
        Self::Broken(Arc::new(error))
    }

    fn unsure(error: sqlx::Error) -> Self {
        Self::Unsure(Arc::new(error))
    }

    /// The fault of a batch one of whose statements broke.
    fn of_statement(error: sqlx::Error) -> Self {
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT (a trigger's refusal too), SQLITE_MISMATCH.
        let refused = matches!(sqlite::primary_code(&error), Some(18..=20))
            || matches!(error, sqlx::Error::Encode(_));
        if refused { Self::Refused(Arc::new(error)) } else { Self::broken(error) }
    }

    /// Whether it may pass by itself: `SQLITE_BUSY`, `SQLITE_IOERR`, `SQLITE_FULL` or
    /// `SQLITE_CANTOPEN`, for the companion files are opened as well.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(error) | Self::Broken(error) | Self::Unsure(error) => {
                matches!(sqlite::primary_code(error), Some(5 | 10 | 13 | 14))
            }
            Self::Moved | Self::Damaged(_) => false,
        }
    }

    /// Whether the connection may still be trusted.
    fn spares_connection(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Moved)
    }

    /// Whether the file itself may have suffered: `SQLITE_IOERR`, `SQLITE_CORRUPT` or
    /// `SQLITE_NOTADB`.
    fn touches_file(&self) -> bool {
        match self {
            Self::Refused(error) | Self::Broken(error) | Self::Unsure(error) => {
                matches!(sqlite::primary_code(error), Some(10 | 11 | 26))
            }
            Self::Moved => false,
            Self::Damaged(_) => true,
        }
    }
}
