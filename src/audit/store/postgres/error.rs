//! PostgreSQL's errors as those of any store.

use std::io;
use std::sync::Arc;

use sqlx::Error;

use crate::audit::store::{Boxed, LostDocument, StoreError};

/// The word of the log's rules that a record is refused.
const REFUSED: &str = "CG001";

/// The word of the functions that a record names a document which is gone.
const LOST_DOCUMENT: &str = "CG007";

/// The word of the functions that a deployment's turn was lost.
pub(super) const TURN_LOST: &str = "CG002";

/// The word of the functions that a lease is over.
pub(super) const LEASE_OVER: &str = "CG003";

/// The word on a server that lagged behind the one whose place it has taken.
pub(super) const LOST_RECORDS: &str = "the server has lost records that were durable: it is \
    another one than before, which lagged behind; let a commit wait for a standby \
    (synchronous_standby_names)";

/// A server, or a database of it, that can't hold a log.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnfitServer {
    #[error("the server is of version {0}: PostgreSQL 15 or later is needed")]
    Old(i32),
    #[error(
        "the server runs with fsync = off, so that a power cut takes records back: set fsync = on \
         in its configuration"
    )]
    NotDurable,
    #[error(
        "the server is a standby, which takes no records: name the primary, or what leads there"
    )]
    Standby,
    #[error(
        "row security hides rows of the log from this role: switch it off for the tables of the \
         schema changegate, or log in as the role changegate"
    )]
    RowSecurity,
    #[error(
        "the tables of the log are not there, or not for this role: run `changegate migrate \
         --database URL` with the URL of the database's owner"
    )]
    NoTables,
    #[error(
        "the tables of the log are of version {found}, and this program needs {needed}: run \
         `changegate migrate --database URL` with the URL of the database's owner"
    )]
    OldTables { found: i32, needed: i32 },
    #[error(
        "the tables of the log are of version {found}, and this program knows {known} only: run a \
         newer one"
    )]
    NewTables { found: i32, known: i32 },
    #[error("a log is being copied into it: let `changegate audit copy` come to its end first")]
    Copying,
    #[error("the server did not answer in time")]
    Silent,
    #[error("the server does not answer: {0}")]
    Unanswered(String),
}

/// The five letters by which the server says what is wrong; `None` where it is not the server that
/// says it.
pub(super) fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the server is not there, or not as it should be, for now: what was asked may have been
/// done, or not.
pub(super) fn is_lost(error: &Error) -> bool {
    match code(error) {
        // Connection exceptions, too many connections, and a server that shuts down, crashes or
        // starts.
        Some(code) => {
            matches!(code.get(..2), Some("08" | "53" | "57" | "58" | "XX")) || code == "25006"
        }
        None => !matches!(error, Error::Encode(_) | Error::Configuration(_)),
    }
}

/// Whether it was taken back for others' sake, and goes well when it is done again.
pub(super) fn is_overtaken(error: &Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01" | "55P03"))
}

/// An error that the server told of a batch, which was taken back.
pub(super) fn of_batch(error: Error) -> StoreError {
    let is_refused = match code(&error) {
        // Values that a column can't hold, and rows that a constraint forbids.
        Some(code) => {
            matches!(code.get(..2), Some("22" | "23"))
                || [REFUSED, TURN_LOST, LEASE_OVER].contains(&code.as_str())
        }
        None => matches!(error, Error::Encode(_)),
    };
    if code(&error).as_deref() == Some(LOST_DOCUMENT) {
        return StoreError::Refused(Arc::new(LostDocument));
    }
    if is_refused { StoreError::Refused(told(error).into()) } else { unavailable(error) }
}

pub(super) fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(told(error).into())
}

pub(super) fn ambiguous(error: Error) -> StoreError {
    StoreError::Ambiguous(told(error).into())
}

/// An error for those who read it: of the server's no more than its words, for it repeats rows
/// beside them.
pub(super) fn told(error: Error) -> Boxed {
    match error {
        Error::Configuration(fault) => fault,
        Error::Database(error) => ServerFault(error.message().to_owned()).into(),
        other => other.into(),
    }
}

/// The words of the server.
#[derive(Debug, thiserror::Error)]
#[error("the server says: {0}")]
struct ServerFault(String);

/// A server that did not answer in time: what was asked may have been done, and the connection is
/// at that still.
pub(super) fn silent() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, UnfitServer::Silent))
}

/// A fault of the server as an error of the driver.
pub(super) fn unfit(fault: UnfitServer) -> Error {
    Error::Configuration(fault.into())
}
