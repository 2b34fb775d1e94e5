//! Why the log can't be started, or can't take a record.

use super::keys::KeyError;
use super::store::StoreError;

/// The log can't take a record now.
#[derive(Debug, thiserror::Error)]
#[error("the audit store can't take the record")]
pub struct Unavailable {
    /// Why, for the gateway's own log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Whether the log's rules forbid this record, so that surely nothing was written.
    pub is_refused: bool,
}

/// A reason, beside a fault of the store, that keeps a record from it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Congestion {
    #[error("too many changes are open")]
    TooManyOpen,
    #[error("the store has not answered in time")]
    Late,
    #[error("the log is closed")]
    Closed,
}

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another gateway has it.
    #[error("{database} belongs to a running gateway ({holder}): stop that one first")]
    Held {
        /// The database.
        database: String,
        /// The holder, as the lock file names it.
        holder: String,
    },
    /// It is that of another key, or no log at all.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It can't be opened, read or migrated.
    #[error("can't use the audit database {database}")]
    Store {
        /// The database.
        database: String,
        /// The store's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<Congestion> for Unavailable {
    fn from(congestion: Congestion) -> Self {
        Self { source: Some(congestion.into()), is_refused: false }
    }
}

impl From<StoreError> for Unavailable {
    fn from(fault: StoreError) -> Self {
        let is_refused = matches!(fault, StoreError::Refused(_));
        Self { source: Some(fault.into()), is_refused }
    }
}

impl From<std::io::Error> for Unavailable {
    fn from(error: std::io::Error) -> Self {
        Self { source: Some(error.into()), is_refused: false }
    }
}
