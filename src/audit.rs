//! The log: what is about to happen, what came of it, and every question about it later.
//!
//! Redaction happens in here, on the way in: no caller can forget it.

pub mod approval;
mod approve;
mod call_facts;
mod chore;
mod condition;
pub mod copy;
pub mod count;
mod document;
mod entry;
pub mod erase;
mod erased;
pub(crate) mod evidence;
mod fault;
mod hashes;
pub mod idempotency;
pub mod intent;
pub(crate) mod judged;
pub mod keys;
mod latest;
mod lease;
pub mod migrate;
mod originals;
pub mod prove;
mod pruned;
pub mod query;
mod question;
mod queue;
pub mod record;
pub mod redact;
pub mod retention;
#[cfg(test)]
pub(crate) mod samples;
mod sealed;
mod sealer;
mod served;
mod settle;
mod shown;
mod sink;
pub mod sinks;
mod store;
mod ticket;
mod touched;
mod turn;
mod unrecorded;
pub mod unseal;
mod unsettled;
pub mod verify;
pub mod witness;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::approve::UndecidedError;
pub use self::condition::{Counters, FoundAfter, Health};
use self::entry::{Entry, Written};
use self::fault::Congestion;
pub use self::fault::Unavailable;
use self::intent::Intent;
use self::keys::KeyError;
use self::latest::Latest;
pub use self::lease::Gateways;
pub use self::originals::{SealingKey, UnsealError};
use self::query::Reader;
use self::queue::{Queued, Queues};
use self::record::{Event, EventKind};
use self::redact::{Redacted, Redaction, Redactor};
pub use self::sealer::{EvidenceSettings, EvidenceStanding, Sealer};
pub use self::served::push_policy;
pub use self::settle::Look;
pub use self::shown::{Shown, WeakShown};
use self::store::{Boxed, Hold, HoldError, Preparation, Store, StoreError, Turns};
pub use self::ticket::{Finished, Ticket};
pub use self::turn::{LogTurn, TakeError};
use self::unsettled::Unsettled;
use crate::base::clock::{Clock, Timestamp};
use crate::base::database::Database;
use crate::base::ids::Fingerprint;
use crate::base::key::{DigestScope, Key, Token};
use crate::provider::Provider;

/// How long a record waits for the store. A store that hangs must not hang its callers.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The settings that the log starts with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the log lies.
    pub database: Database,
    /// The provider whose deployments they are.
    pub provider: &'static Provider,
    /// JSON Pointers below a deployment whose values are concealed, beside the provider's own.
    pub redact: Vec<String>,
    /// The name of this gateway.
    pub node: Arc<str>,
    /// The digest of the policy that is in force at the start.
    pub policy_digest: String,
    /// The key that originals of what is concealed are sealed under; without one none are kept.
    pub sealing: Option<SealingKey>,
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
    sealing: Option<SealingKey>,
    clock: Clock,
    queues: Queues,
    turns: Turns,
    unsettled: Unsettled,
    latest: Arc<Latest>,
    reader: Reader,
    found_after: Mutex<Option<FoundAfter>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    sealer: sealer::SealerFigures,
    retention: retention::RetentionFigures,
    verification: verify::VerificationFigures,
    witnesses: witness::Witnesses,
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

impl Audit {
    /// Takes the log for this process (one gateway a log), migrates it, marks intents that a
    /// crash left open as `unknown`, and starts the one writer. Where the log can be read and not
    /// written, such as on a full disk, it starts all the same, and the rest is made up for.
    pub async fn start(settings: Settings, key: Key, clock: Clock) -> Result<Self, StartError> {
        let now = clock.now();
        let hold = take(&settings.database, now)?.named(&settings.node);
        keys::hold(&settings.database, key.id()).await?;
        let unusable = |source: Boxed| {
            let database = settings.database.to_string();
            StartError::Store { database, source }
        };
        let turns = Turns::start(&hold, &settings.policy_digest, &clock);
        let turns = turns.await.map_err(unusable)?;
        let preparation = Preparation { key: Some(key.id()), at: now };
        let opened = Store::open(hold, preparation).await;
        let (store, fault) = opened.map_err(unusable)?;
        let swept = fault.is_none().then(|| store.swept());
        let reader = Reader::beside_the_writer(store.reads());
        if let Some(sealing) = &settings.sealing
            && let Some(expected) = store.reads().sealed_under().await.map_err(unusable)?
            && expected != sealing.id()
        {
            let (database, found) = (settings.database, sealing.id());
            return Err(KeyError::Sealing { database, expected, found }.into());
        }
        let unsettled = match fault {
            None => settle::unsettled(&reader, clock.instant()).await.map_err(unusable)?,
            Some(_) => Unsettled::unread(clock.instant()),
        };
        let latest = Arc::<Latest>::default();
        let started = writer::start((store, fault), clock.clone(), Arc::clone(&latest));
        let (queues, writer) = started.map_err(|error| unusable(error.into()))?;
        let version = env!("CARGO_PKG_VERSION");
        queues.note(Event {
            at: now,
            kind: EventKind::Start,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({
                "version": version,
                "unknown": swept,
                "key": key.id().to_string(),
                "policy_digest": settings.policy_digest,
            }),
        });
        let shared = Shared {
            redaction: ArcSwap::from_pointee(
                Redaction::new(key.clone(), settings.provider, &settings.redact)
                    .sealing_under(settings.sealing.clone()),
            ),
            key,
            sealing: settings.sealing,
            clock,
            queues,
            turns,
            unsettled,
            latest,
            reader,
            found_after: Mutex::default(),
            writer: Mutex::new(Some(writer)),
            sealer: sealer::SealerFigures::default(),
            retention: retention::RetentionFigures::default(),
            verification: verify::VerificationFigures::default(),
            witnesses: witness::Witnesses::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes another configuration: what is concealed in records made from now on.
    pub fn adopt(&self, provider: &'static Provider, redact: &[String]) {
        let redaction = Redaction::new(self.shared.key.clone(), provider, redact)
            .sealing_under(self.shared.sealing.clone());
        self.shared.redaction.store(Arc::new(redaction));
    }

    /// The redactor for the secrets of a call.
    fn redactor_of(&self, intent: &Intent) -> Redactor {
        let deployment_id = intent.deployment_id.as_deref();
        let scope = DigestScope::of_call(deployment_id, intent.actor.fingerprint);
        self.shared.redaction.load().within(scope).knowing(&intent.token)
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
        let scope =
            actor.map_or(DigestScope::Gateway, |actor| DigestScope::Actor(actor.fingerprint));
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
        let redactor = self.shared.redaction.load().within(DigestScope::Gateway).knowing(token);
        redactor.deployment_id(deployment_id)
    }

    /// `text` of a call by `actor`, made with `token`, for an event: without credentials, and cut
    /// to `bytes_max` bytes only then.
    #[must_use]
    pub fn scrub_and_cut(
        &self,
        text: &str,
        bytes_max: usize,
        (actor, token): (Fingerprint, &Token),
    ) -> String {
        let redactor =
            self.shared.redaction.load().within(DigestScope::Actor(actor)).knowing(token);
        redactor.scrub_and_cut(text, bytes_max)
    }

    /// Words of an operator's, without credentials and cut to `bytes_max` bytes.
    fn gateway_words(&self, text: &str, bytes_max: usize) -> String {
        let redactor = self.shared.redaction.load().within(DigestScope::Gateway);
        redactor.scrub_and_cut(text, bytes_max)
    }

    /// Whether the log can be written.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.queues.health(self.shared.clock.instant())
    }

    /// The gateways that share the log.
    #[must_use]
    pub fn gateways(&self) -> Gateways {
        self.shared.turns.gateways(self.shared.clock.instant())
    }

    /// Tells the other gateways of the log which policy is in force here.
    pub fn tell_policy(&self, digest: &str) {
        self.shared.turns.tell_policy(digest);
    }

    /// The work that the log has done and has before it.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.queues.counters()
    }

    /// HMAC-SHA-256 of `content` under the installation's key, in the role that `label` names: the
    /// same at every gateway of the log.
    #[must_use]
    pub fn sign(&self, label: &str, content: &[u8]) -> [u8; 32] {
        self.shared.key.digest(label, content)
    }

    /// The asking side.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Resolves once the log's writer has ended, or takes nothing any more.
    pub async fn writer_ended(&self) {
        self.shared.queues.commands.closed().await;
    }

    /// Ends the writer as a bug of its own would: for tests.
    #[cfg(test)]
    pub(crate) fn break_writer(&self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.as_ref().unwrap().abort();
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
        self.shared.turns.close().await;
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

/// Takes the hold of a log.
fn take(database: &Database, now: Timestamp) -> Result<Hold, StartError> {
    let name = || database.to_string();
    Hold::take(database, now).map_err(|error| match error {
        HoldError::Held(holder) => StartError::Held { database: name(), holder },
        HoldError::Io(error) => StartError::Store { database: name(), source: error.into() },
    })
}

impl From<StoreError> for Unavailable {
    fn from(fault: StoreError) -> Self {
        let is_refused = matches!(fault, StoreError::Refused(_));
        Self { source: Some(fault.into()), is_refused }
    }
}

#[cfg(test)]
mod tests;
