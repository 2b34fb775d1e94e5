//! Why the log can't take a record.

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

impl From<Congestion> for Unavailable {
    fn from(congestion: Congestion) -> Self {
        Self { source: Some(congestion.into()), is_refused: false }
    }
}

impl From<std::io::Error> for Unavailable {
    fn from(error: std::io::Error) -> Self {
        Self { source: Some(error.into()), is_refused: false }
    }
}
