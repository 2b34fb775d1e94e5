//! The log: what is about to happen, what came of it, and every question about it later.
//!
//! Redaction happens in here, on the way in: no caller can forget it.

pub mod query;
pub mod record;
pub mod redact;
mod store;
pub mod writer;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use self::query::Reader;
use self::record::{Completion, Event, Intent};
use crate::clock::Clock;
use crate::ids::ChangeId;
use crate::key::Key;
use crate::provider::Provider;

/// What the log needs to know to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file.
    pub database: PathBuf,
    /// Whose deployments.
    pub provider: &'static Provider,
    /// JSON Pointers below a deployment whose values are concealed, beside the provider's own.
    pub redact: Vec<String>,
}

/// The log of one gateway. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit {}

/// An open record: its intent is durable, and a place for its completion is reserved. It must be
/// finished; where it is dropped instead (a panic), the next start sweeps it up as `unknown`.
#[must_use = "an open record must be finished"]
#[derive(Debug)]
pub struct Ticket {}

/// How finishing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The completion is durable.
    Durable,
    /// It could not be written in time; it stays queued and is retried until the store is back.
    Deferred,
}

/// The log can't take a record now.
#[derive(Debug, thiserror::Error)]
#[error("the audit store can't take the record")]
pub struct Unavailable {
    /// Why, for the gateway's own log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another gateway has it.
    #[error("{database} belongs to a running gateway ({holder}): stop that one first")]
    Held {
        /// The database.
        database: String,
        /// What the lock file says of the holder.
        holder: String,
    },
    /// It can't be opened, read or migrated.
    #[error("can't use the audit database {database}")]
    Store {
        /// The database.
        database: String,
        /// What the store said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Whether the log can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Writable,
    /// It can't, and why.
    Failing(String),
}

impl Audit {
    /// Takes the log for this process (one gateway a log), migrates it, marks intents that a
    /// crash left open as `unknown`, and starts the one writer.
    pub async fn start(settings: Settings, key: Key, clock: Clock) -> Result<Self, StartError> {
        let _ = (settings, key, clock);
        todo!()
    }

    /// Makes an intent durable. Nothing that may change a deployment is forwarded before.
    pub async fn open(&self, intent: Intent) -> Result<Ticket, Unavailable> {
        let _ = intent;
        todo!()
    }

    /// Makes the record of a call that ended without being forwarded durable, whole.
    pub async fn record(&self, intent: Intent, end: Completion) -> Result<ChangeId, Unavailable> {
        let _ = (intent, end);
        todo!()
    }

    /// Keeps an event beside the call: never waits; what does not fit the queue is counted, and
    /// the count is recorded.
    pub fn note(&self, event: Event) {
        let _ = event;
        todo!()
    }

    /// Settles what is unsettled of that deployment by a snapshot of it. Costs nothing where
    /// there is nothing to settle. `by` names the change whose snapshot it is.
    pub async fn settle(&self, deployment_id: &str, snapshot: &Value, by: ChangeId) {
        let _ = (deployment_id, snapshot, by);
        todo!()
    }

    /// Whether the log can be written.
    #[must_use]
    pub fn health(&self) -> Health {
        todo!()
    }

    /// The asking side.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        todo!()
    }

    /// Waits until everything queued is durable, at most `wait`; then no record is taken.
    pub async fn close(&self, wait: Duration) {
        let _ = wait;
        todo!()
    }
}

impl Ticket {
    /// The change's id.
    #[must_use]
    pub fn change(&self) -> ChangeId {
        todo!()
    }

    /// Makes the completion durable, waiting at most `wait` for it.
    pub async fn finish(self, completion: Completion, wait: Duration) -> Finished {
        let _ = (completion, wait);
        todo!()
    }
}
