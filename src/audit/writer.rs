//! The one task that writes: it takes whatever is waiting and commits it together, so that many
//! calls share one sync of the disk and none waits for a timer.
//!
//! ```text
//! open, record ─▶ commands ─┐                              ┌▶ answers
//! finish ───────▶ endings ──┼▶ one batch ▶ one transaction ┤
//! note ─────────▶ events ───┘      ▲                       └▶ endings that failed ─┐
//!                                  └───────────────────────────────────────────────┘
//! ```
//!
//! Each queue is bounded. An ending has its place reserved before its change is opened, so it
//! always finds one; while the store fails, endings are kept and tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::entry::{Ending, Entry};
use super::record::{Event, EventKind, Outcome};
use super::store::{Fault, Lock, Writes};
use super::{Counters, Health};
use crate::clock::{Clock, Timestamp};
use crate::ids::ChangeId;

/// The most commands that wait for the writer.
const COMMANDS_MAX: usize = 1_024;

/// The most changes that are open at a time.
const OPEN_MAX: usize = 4_096;

/// The most events that wait for the writer.
const EVENTS_MAX: usize = 8_192;

/// The most commands in one transaction, and the most endings beside them.
const BATCH_MAX: usize = 256;

/// The most events in one transaction.
const BATCH_EVENTS_MAX: usize = 512;

/// How long the writer rests where nothing is asked of it. Then it writes events, tries again
/// what failed, or tidies up.
const REST: Duration = Duration::from_millis(200);

/// The most rows between two checkpoints.
const UNCHECKPOINTED_MAX: usize = 2_000;

/// Something to write, and who waits for it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) entry: Entry,
    pub(super) answer: Option<oneshot::Sender<Result<(), Fault>>>,
}

/// The ways to the writer.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) commands: mpsc::Sender<Queued>,
    pub(super) endings: mpsc::Sender<Queued>,
    events: mpsc::Sender<Event>,
    closing: watch::Sender<bool>,
    health: watch::Receiver<Health>,
    shared: Arc<Shared>,
}

/// What both sides know.
#[derive(Debug, Default)]
struct Shared {
    commits: AtomicU64,
    rows: AtomicU64,
    dropped: AtomicU64,
    kept: AtomicU64,
    gap: Mutex<Option<Gap>>,
}

/// Events that were dropped and not told of yet.
#[derive(Clone, Copy, Debug)]
struct Gap {
    count: u64,
    since: Timestamp,
    until: Timestamp,
}

/// The task itself.
struct Writer {
    store: Writes,
    commands: mpsc::Receiver<Queued>,
    endings: mpsc::Receiver<Queued>,
    events: mpsc::Receiver<Event>,
    closing: watch::Receiver<bool>,
    health: watch::Sender<Health>,
    shared: Arc<Shared>,
    clock: Clock,
    /// Endings that the store did not take: at most [`BATCH_MAX`].
    kept: Vec<Queued>,
    uncheckpointed: usize,
    closed: bool,
    /// Given back when the last row is written.
    _lock: Lock,
}

/// Starts the writer, and tells how it is reached and waited for.
pub(super) fn start(store: Writes, lock: Lock, clock: Clock) -> (Queues, JoinHandle<()>) {
    let (commands, commands_taken) = mpsc::channel(COMMANDS_MAX);
    let (endings, endings_taken) = mpsc::channel(OPEN_MAX);
    let (events, events_taken) = mpsc::channel(EVENTS_MAX);
    let (closing, closing_seen) = watch::channel(false);
    let (health_told, health) = watch::channel(Health::Writable);
    let shared = Arc::new(Shared::default());
    let writer = Writer {
        store,
        commands: commands_taken,
        endings: endings_taken,
        events: events_taken,
        closing: closing_seen,
        health: health_told,
        shared: Arc::clone(&shared),
        clock,
        kept: Vec::new(),
        uncheckpointed: 0,
        closed: false,
        _lock: lock,
    };
    let task = tokio::spawn(writer.run());
    (Queues { commands, endings, events, closing, health, shared }, task)
}

impl Queued {
    /// Whether it is to be written: what nobody waits for any more will not be forwarded either.
    fn is_wanted(&self) -> bool {
        let awaited = self.answer.as_ref().is_none_or(|answer| !answer.is_closed());
        awaited || matches!(self.entry, Entry::Ending(_))
    }
}

impl Queues {
    /// Queues an event, or counts it as dropped.
    pub(super) fn note(&self, event: Event) {
        if let Err(error) = self.events.try_send(event) {
            let (mpsc::error::TrySendError::Full(event)
            | mpsc::error::TrySendError::Closed(event)) = error;
            self.shared.drop_event(event.at);
        }
    }

    pub(super) fn health(&self) -> Health {
        if self.commands.is_closed() {
            return Health::Failing("the writer has ended".to_owned());
        }
        self.health.borrow().clone()
    }

    pub(super) fn counters(&self) -> Counters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waiting = self.commands.max_capacity() - self.commands.capacity();
        let open = self.endings.max_capacity() - self.endings.capacity();
        Counters {
            commits: count(&self.shared.commits),
            rows: count(&self.shared.rows),
            events_dropped: count(&self.shared.dropped),
            commands_waiting: waiting,
            changes_open: open,
            endings_kept: count(&self.shared.kept),
        }
    }

    /// Asks the writer to end once everything queued is written.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    #[cfg(test)]
    pub(super) fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

impl Shared {
    fn drop_event(&self, at: Timestamp) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        let mut gap = self.gap();
        let so_far = gap.unwrap_or(Gap { count: 0, since: at, until: at });
        *gap = Some(Gap {
            count: so_far.count + 1,
            since: so_far.since.min(at),
            until: so_far.until.max(at),
        });
    }

    fn gap(&self) -> MutexGuard<'_, Option<Gap>> {
        self.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    async fn run(mut self) {
        loop {
            let first = self.wait().await;
            let batch = self.gather(first);
            if !batch.is_empty() {
                self.write(batch).await;
            } else if self.closed {
                break;
            } else {
                self.rest().await;
            }
        }
        if let Err(fault) = self.store.close().await {
            tracing::warn!(error = %chain(&fault), "the audit database was not closed cleanly");
        }
    }

    /// Waits for something to write, or for a time to rest.
    async fn wait(&mut self) -> Option<Queued> {
        let has_room = self.kept.len() < BATCH_MAX;
        if self.closed {
            if !self.kept.is_empty() {
                sleep(REST).await;
            }
            return None;
        }
        tokio::select! {
            biased;
            _closing = self.closing.changed() => {
                self.commands.close();
                self.endings.close();
                self.events.close();
                self.closed = true;
                None
            }
            Some(ending) = self.endings.recv(), if has_room => Some(ending),
            Some(command) = self.commands.recv() => Some(command),
            () = sleep(REST) => None,
        }
    }

    /// Everything that waits, as far as one transaction takes it: what failed before comes first.
    fn gather(&mut self, first: Option<Queued>) -> Vec<Queued> {
        let mut batch = std::mem::take(&mut self.kept);
        batch.extend(first);
        let endings_max = BATCH_MAX.saturating_sub(batch.len());
        batch.extend(std::iter::from_fn(|| self.endings.try_recv().ok()).take(endings_max));
        batch.extend(std::iter::from_fn(|| self.commands.try_recv().ok()).take(BATCH_MAX));
        batch.retain(Queued::is_wanted);
        // Events are the first to wait while the store fails: their queue may overflow.
        if self.is_healthy() {
            let gap = self.shared.gap().take().map(Gap::event);
            let events = std::iter::from_fn(|| self.events.try_recv().ok());
            let events = gap.into_iter().chain(events.take(BATCH_EVENTS_MAX));
            batch.extend(events.map(|event| Queued {
                entry: Entry::Happening(Box::new(event)),
                answer: None,
            }));
        }
        batch
    }

    async fn write(&mut self, batch: Vec<Queued>) {
        let entries: Vec<&Entry> = batch.iter().map(|queued| &queued.entry).collect();
        match self.store.write(&entries).await {
            Ok(answers) => {
                let rows = answers.iter().filter(|answer| answer.is_ok()).count();
                for (queued, answer) in batch.into_iter().zip(answers) {
                    self.answer(queued, answer);
                }
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                self.shared.rows.fetch_add(u64::try_from(rows).unwrap_or(0), Ordering::Relaxed);
                self.uncheckpointed += rows;
                self.recover();
            }
            Err(fault) => {
                self.fail(&fault);
                batch.into_iter().for_each(|queued| self.take_back(queued, &fault));
            }
        }
        self.shared.kept.store(u64::try_from(self.kept.len()).unwrap_or(0), Ordering::Relaxed);
        if self.uncheckpointed >= UNCHECKPOINTED_MAX {
            self.checkpoint().await;
        }
    }

    /// Hands out the answer of the store. An intent for which nobody waits any more was not
    /// forwarded: it ends here.
    fn answer(&mut self, queued: Queued, answer: Result<(), Fault>) {
        if let Err(fault) = &answer {
            tracing::error!(error = %chain(fault), change = ?queued.entry.id(), "a record is lost");
        }
        let written = answer.is_ok();
        let heard = queued.answer.is_none_or(|waiting| waiting.send(answer).is_ok());
        if let (true, false, Entry::Opening(opening)) = (written, heard, &queued.entry) {
            self.end_unsent(opening.intent.id);
        }
    }

    /// After a batch has failed as a whole: endings are kept, the rest is told.
    fn take_back(&mut self, queued: Queued, fault: &Fault) {
        match &queued.entry {
            Entry::Ending(_) => return self.kept.push(queued),
            Entry::Happening(event) => self.shared.drop_event(event.at),
            // It may have reached the disk, yet it will not be forwarded.
            Entry::Opening(opening) if matches!(fault, Fault::Unsure(_)) => {
                self.end_unsent(opening.intent.id);
            }
            Entry::Opening(_) | Entry::Whole(..) | Entry::Settling(..) => {}
        }
        if let Some(waiting) = queued.answer {
            let _gone = waiting.send(Err(fault.clone()));
        }
    }

    /// Ends a change that was surely not forwarded. Where there is no room for it, the next
    /// start ends it, as `unknown`.
    fn end_unsent(&mut self, id: ChangeId) {
        if self.kept.len() < BATCH_MAX {
            let ending = Ending::bare(id, Outcome::Failed, self.clock.now());
            self.kept.push(Queued { entry: Entry::Ending(Box::new(ending)), answer: None });
        }
    }

    /// Uses a time without work: finds out whether the store is back, or tidies up.
    async fn rest(&mut self) {
        if self.is_healthy() {
            if self.uncheckpointed > 0 {
                self.checkpoint().await;
            }
            return;
        }
        match self.store.probe(self.clock.now()).await {
            Ok(()) => self.recover(),
            Err(fault) => self.fail(&fault),
        }
    }

    async fn checkpoint(&mut self) {
        self.uncheckpointed = 0;
        if let Err(fault) = self.store.checkpoint().await {
            self.fail(&fault);
        }
    }

    fn is_healthy(&self) -> bool {
        *self.health.borrow() == Health::Writable
    }

    fn recover(&self) {
        if self.health.send_replace(Health::Writable) != Health::Writable {
            tracing::info!("the audit database can be written again");
        }
    }

    fn fail(&self, fault: &Fault) {
        let reason = chain(fault);
        let failing = Health::Failing(reason.clone());
        if self.health.send_replace(failing) == Health::Writable {
            tracing::error!(error = reason, "the audit database can't be written");
        }
    }
}

impl Gap {
    fn event(self) -> Event {
        Event {
            at: self.until,
            kind: EventKind::Dropped,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({
                "count": self.count,
                "since": self.since.to_string(),
                "until": self.until.to_string(),
            }),
        }
    }
}

/// An error and its sources, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |line, source| format!("{line}: {source}"))
}
