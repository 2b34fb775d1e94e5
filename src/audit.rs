//! The log: what is about to happen, what came of it, and every question about it later.
//!
//! Redaction happens in here, on the way in: no caller can forget it.

mod document;
mod entry;
mod latest;
pub mod query;
mod queue;
pub mod record;
pub mod redact;
mod settle;
mod store;
mod ticket;
mod unsettled;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::entry::{Ending, Entry, Opening, Written};
use self::latest::Latest;
use self::query::Reader;
use self::queue::{Queued, Queues};
use self::record::{Completion, Event, EventKind, Intent};
use self::redact::{Redacted, Redaction, Redactor};
pub use self::settle::Look;
use self::store::{Boxed, Fault, Lock, LockError, Writes};
pub use self::ticket::{Finished, Ticket};
use self::unsettled::Unsettled;
use crate::clock::Clock;
use crate::ids::ChangeId;
use crate::ids::Fingerprint;
use crate::key::{Key, Scope, Token};
use crate::provider::Provider;

/// How long a record waits for the store. A store that hangs must not hang its callers.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

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
pub struct Audit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    redaction: ArcSwap<Redaction>,
    key: Key,
    clock: Clock,
    queues: Queues,
    unsettled: Unsettled,
    latest: Arc<Latest>,
    reader: Reader,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The log can't take a record now.
#[derive(Debug, thiserror::Error)]
#[error("the audit store can't take the record")]
pub struct Unavailable {
    /// Why, for the gateway's own log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What keeps a record from the store, where it is not the store itself.
#[derive(Debug, thiserror::Error)]
enum Congestion {
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

/// What the log has done and has before it, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions committed.
    pub commits: u64,
    /// Records, completions, settlements and events written.
    pub rows: u64,
    /// Events that could not be kept.
    pub events_dropped: u64,
    /// Records that wait for the writer.
    pub commands_waiting: usize,
    /// Changes that are open, or whose completion waits for the writer.
    pub changes_open: usize,
    /// Completions that the store has refused to take and that are tried again.
    pub endings_kept: u64,
}

impl Audit {
    /// Takes the log for this process (one gateway a log), migrates it, marks intents that a
    /// crash left open as `unknown`, and starts the one writer.
    pub async fn start(settings: Settings, key: Key, clock: Clock) -> Result<Self, StartError> {
        let database = settings.database.display().to_string();
        let now = clock.now();
        let lock = Lock::take(&settings.database, now).map_err(|error| match error {
            LockError::Held(holder) => StartError::Held { database: database.clone(), holder },
            LockError::Io(error) => {
                StartError::Store { database: database.clone(), source: error.into() }
            }
        })?;
        let unusable = |source: Boxed| StartError::Store { database: database.clone(), source };
        let mut store = Writes::open(&settings.database).await.map_err(unusable)?;
        let swept = store.sweep(now).await.map_err(unusable)?;
        let reader = Reader::beside_the_writer(&settings.database);
        let unsettled = settle::unsettled(&reader).await.map_err(unusable)?;
        let latest = Arc::<Latest>::default();
        let (queues, writer) = writer::start(store, lock, clock.clone(), Arc::clone(&latest))
            .map_err(|error| unusable(error.into()))?;
        queues.note(Event {
            at: now,
            kind: EventKind::Start,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({"version": env!("CARGO_PKG_VERSION"), "unknown": swept}),
        });
        let shared = Shared {
            redaction: ArcSwap::from_pointee(Redaction::new(
                key.clone(),
                settings.provider,
                &settings.redact,
            )),
            key,
            clock,
            queues,
            unsettled,
            latest,
            reader,
            writer: Mutex::new(Some(writer)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes another configuration: what is concealed in records made from now on.
    pub fn adopt(&self, provider: &'static Provider, redact: &[String]) {
        let redaction = Redaction::new(self.shared.key.clone(), provider, redact);
        self.shared.redaction.store(Arc::new(redaction));
    }

    /// What conceals the secrets of the call that asks for this.
    fn redactor_of(&self, intent: &Intent) -> Redactor {
        let deployment_id = intent.deployment_id.as_deref();
        let scope = Scope::of_call(deployment_id, intent.actor.fingerprint);
        self.shared.redaction.load().within(scope).knowing(&intent.token)
    }

    /// Makes the record of a call that ended without being forwarded durable, whole.
    pub async fn record(&self, intent: Intent, end: Completion) -> Result<ChangeId, Unavailable> {
        let (change, operation) = (intent.id, intent.operation);
        let provider = Provider::named(intent.provider);
        let redactor = self.redactor_of(&intent);
        let (opening, before) = Opening::of(intent, &redactor, &self.shared.latest)?;
        let ending = Ending::of(change, end, &redactor, (provider, operation), before.as_ref());
        self.submit(Entry::Whole(Box::new(opening), Box::new(ending))).await?;
        Ok(change)
    }

    /// Keeps an event beside the call: never waits; what does not fit the queue is counted, and
    /// the count is recorded.
    pub fn note(&self, event: Event) {
        let redactor = self.redactor_of_event(&event);
        self.keep(event, &redactor);
    }

    /// The same for an event of a call that was made with `token`.
    pub fn note_of(&self, event: Event, token: &Token) {
        let redactor = self.redactor_of_event(&event).knowing(token);
        self.keep(event, &redactor);
    }

    fn redactor_of_event(&self, event: &Event) -> Redactor {
        let actor = event.actor.as_ref();
        let scope = actor.map_or(Scope::Gateway, |actor| Scope::Actor(actor.fingerprint));
        self.shared.redaction.load().within(scope)
    }

    fn keep(&self, mut event: Event, redactor: &Redactor) {
        redactor.conceal(&mut event.detail, "", &mut Redacted::default());
        if let Some(text) = &mut event.request_id {
            redactor.scrub_in_place(text);
        }
        self.shared.queues.note(event);
    }

    /// The id of the deployment that a call made with `token` is about, fit for the diagnostic
    /// log: as it is in the record.
    #[must_use]
    pub fn scrub(&self, deployment_id: &str, token: &Token) -> String {
        let redactor = self.shared.redaction.load().within(Scope::Gateway).knowing(token);
        redactor.deployment_id(deployment_id)
    }

    /// `text` of a call by `actor`, made with `token`, for an event: without credentials, and cut
    /// to `bytes_max` bytes only then.
    #[must_use]
    pub fn scrub_and_cut(
        &self,
        text: &str,
        bytes_max: usize,
        caller: Option<(Fingerprint, &Token)>,
    ) -> String {
        let scope = caller.map_or(Scope::Gateway, |(actor, _)| Scope::Actor(actor));
        let mut redactor = self.shared.redaction.load().within(scope);
        if let Some((_, token)) = caller {
            redactor = redactor.knowing(token);
        }
        redactor.scrub_and_cut(text, bytes_max)
    }

    /// Whether the log can be written.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.queues.health(self.shared.clock.now())
    }

    /// What the log has done and has before it.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.queues.counters()
    }

    /// The asking side.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Takes no new record, and waits until what is open has ended and everything queued is
    /// durable, at most `wait`.
    pub async fn close(&self, wait: Duration) {
        self.shared.queues.close();
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut writer) = writer else { return };
        if timeout(wait, &mut writer).await.is_err() {
            writer.abort();
            let _aborted = writer.await;
            let lost = self.counters().changes_open;
            tracing::error!(lost, "the log was closed before every completion was durable");
        }
    }

    /// Hands `entry` to the writer and waits until it is durable.
    async fn submit(&self, entry: Entry) -> Result<Written, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let queued = Queued { entry, answer: Some(answer) };
        let written = async {
            let sent = self.shared.queues.commands.send(queued).await;
            sent.map_err(|_closed| Congestion::Closed)?;
            let written = answered.await.map_err(|_closed| Congestion::Closed)?;
            written.map_err(Unavailable::from)
        };
        timeout(ANSWER_WAIT, written).await.map_err(|_elapsed| Congestion::Late)?
    }
}

impl From<Congestion> for Unavailable {
    fn from(congestion: Congestion) -> Self {
        Self { source: Some(congestion.into()) }
    }
}

impl From<Fault> for Unavailable {
    fn from(fault: Fault) -> Self {
        Self { source: Some(fault.into()) }
    }
}

impl From<std::io::Error> for Unavailable {
    fn from(error: std::io::Error) -> Self {
        Self { source: Some(error.into()) }
    }
}

#[cfg(test)]
mod tests;
