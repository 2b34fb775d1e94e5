//! The ways to the writer, each bounded.
//!
//! An ending has its place reserved before its change is opened, so it always finds one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::chore::Chore;
use super::condition::{Counters, Health};
use super::entry::{Entry, Written};
use super::record::{Event, EventKind};
use super::store::StoreError;
use crate::base::clock::Timestamp;

/// The most commands that wait for the writer.
const COMMANDS_MAX: usize = 1_024;

/// The most changes that are open at a time.
const OPEN_MAX: usize = 4_096;

/// The most events that wait for the writer.
const EVENTS_MAX: usize = 8_192;

/// The most pieces of work beside the calls that wait for the writer.
const CHORES_MAX: usize = 1;

/// A store that takes longer for one batch is as good as none.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The value of `busy_since` while the store rests.
const RESTS: u64 = u64::MAX;

/// Something to write, and who waits for it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) entry: Entry,
    pub(super) answer: Option<oneshot::Sender<Result<Written, StoreError>>>,
}

/// The callers' ends.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) commands: mpsc::Sender<Queued>,
    pub(super) endings: mpsc::Sender<Queued>,
    events: mpsc::Sender<Event>,
    pub(super) chores: mpsc::Sender<Chore>,
    closing: CancellationToken,
    health: watch::Receiver<Health>,
    tally: Arc<QueueCounters>,
}

/// The writer's ends.
pub(super) struct WriterEnds {
    pub(super) commands: mpsc::Receiver<Queued>,
    pub(super) endings: mpsc::Receiver<Queued>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) chores: mpsc::Receiver<Chore>,
    pub(super) closing: CancellationToken,
    pub(super) health: watch::Sender<Health>,
}

/// The counts that both sides of the queues know.
#[derive(Debug)]
pub(super) struct QueueCounters {
    pub(super) commits: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) kept: AtomicU64,
    dropped: AtomicU64,
    /// Changes that a crash had left open, once they are ended.
    pub(super) left_open: AtomicU64,
    /// The moment that `busy_since` counts from.
    begun: Instant,
    /// Since when the store has been at work, in milliseconds; [`RESTS`] while it rests.
    busy_since: AtomicU64,
    gap: Mutex<Option<Gap>>,
}

/// Events that were dropped and not told of yet.
#[derive(Clone, Copy, Debug)]
struct Gap {
    count: u64,
    since: Timestamp,
    until: Timestamp,
}

impl Queued {
    pub(super) fn event(event: Event) -> Self {
        Self { entry: Entry::Happening(Box::new(event)), answer: None }
    }

    /// Whether it is to be written: what nobody waits for any more will not be forwarded either.
    pub(super) fn is_wanted(&self) -> bool {
        let awaited = self.answer.as_ref().is_none_or(|answer| !answer.is_closed());
        awaited || self.is_an_end()
    }

    /// Whether it is the end of a change, which is never given up.
    pub(super) fn is_an_end(&self) -> bool {
        matches!(self.entry, Entry::Completion(_))
    }

    /// Whether it is about a change: somebody waits for it.
    pub(super) fn is_of_a_change(&self) -> bool {
        !matches!(
            self.entry,
            Entry::Happening(_)
                | Entry::Sealing(_)
                | Entry::Checkpoint(_)
                | Entry::LogKeys(..)
                | Entry::Sink(_)
        )
    }

    /// Tells who waits, if anyone still does.
    pub(super) fn tell(self, answer: Result<Written, StoreError>) {
        if let Some(waiting) = self.answer {
            let _gone = waiting.send(answer);
        }
    }
}

impl Queues {
    /// The queues of a writer that begins `now`.
    pub(super) fn new(now: Instant) -> (Self, WriterEnds) {
        let (commands, commands_taken) = mpsc::channel(COMMANDS_MAX);
        let (endings, endings_taken) = mpsc::channel(OPEN_MAX);
        let (events, events_taken) = mpsc::channel(EVENTS_MAX);
        let (chores, chores_taken) = mpsc::channel(CHORES_MAX);
        let closing = CancellationToken::new();
        let (health_told, health) = watch::channel(Health::Writable);
        let ends = WriterEnds {
            commands: commands_taken,
            endings: endings_taken,
            events: events_taken,
            chores: chores_taken,
            closing: closing.clone(),
            health: health_told,
        };
        let tally = Arc::new(QueueCounters::new(now));
        (Self { commands, endings, events, chores, closing, health, tally }, ends)
    }

    /// Queues an event, or counts it as dropped.
    pub(super) fn note(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(event) | TrySendError::Closed(event)) => {
                self.tally.drop_event(&event);
            }
        }
    }

    pub(super) fn health(&self, now: Instant) -> Health {
        if self.commands.is_closed() {
            return Health::Failing("the log is closed".to_owned());
        }
        if self.tally.busy_for(now) > BUSY_MAX {
            return Health::Failing("the store does not answer".to_owned());
        }
        self.health.borrow().clone()
    }

    pub(super) fn counters(&self) -> Counters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waiting = self.commands.max_capacity() - self.commands.capacity();
        let open = self.endings.max_capacity() - self.endings.capacity();
        Counters {
            commits: count(&self.tally.commits),
            rows: count(&self.tally.rows),
            events_dropped: count(&self.tally.dropped),
            commands_waiting: waiting,
            changes_open: open,
            changes_left_open: count(&self.tally.left_open),
            endings_kept: count(&self.tally.kept),
        }
    }

    /// Asks the writer to end once everything queued is written and nothing is open.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    pub(super) fn tally(&self) -> Arc<QueueCounters> {
        Arc::clone(&self.tally)
    }

    #[cfg(test)]
    pub(super) fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

impl WriterEnds {
    /// How many records and endings wait.
    pub(super) fn waiting(&self) -> usize {
        self.commands.len() + self.endings.len()
    }

    /// Takes nothing new; what was queued, and the endings of what is open, still come.
    pub(super) fn close(&mut self) {
        self.commands.close();
        self.endings.close();
        self.events.close();
        self.chores.close();
    }
}

impl QueueCounters {
    fn new(now: Instant) -> Self {
        let (commits, rows, kept, dropped, left_open, gap) = Default::default();
        let busy_since = AtomicU64::new(RESTS);
        Self { commits, rows, kept, dropped, left_open, begun: now, busy_since, gap }
    }

    /// Notes that the store is given work.
    pub(super) fn begin(&self, now: Instant) {
        self.busy_since.store(self.millis(now), Ordering::Relaxed);
    }

    /// How long the store has been at work.
    fn busy_for(&self, now: Instant) -> Duration {
        let since = self.busy_since.load(Ordering::Relaxed);
        Duration::from_millis(self.millis(now).saturating_sub(since))
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(RESTS)
    }

    /// Notes that the store has done its work.
    pub(super) fn end(&self) {
        self.busy_since.store(RESTS, Ordering::Relaxed);
    }

    pub(super) fn drop_event(&self, event: &Event) {
        let lost = Gap::of(event);
        if event.kind != EventKind::Dropped {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let mut gap = self.gap();
        let so_far = gap.unwrap_or(Gap { count: 0, ..lost });
        *gap = Some(Gap {
            count: so_far.count + lost.count,
            since: so_far.since.min(lost.since),
            until: so_far.until.max(lost.until),
        });
    }

    /// The event that tells of dropped ones, where there are any that nothing has told of.
    pub(super) fn take_gap(&self) -> Option<Event> {
        self.gap().take().map(Gap::event)
    }

    fn gap(&self) -> MutexGuard<'_, Option<Gap>> {
        self.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gap {
    /// The gap that losing an event leaves: itself, or all that it tells of.
    fn of(event: &Event) -> Self {
        let one = Self { count: 1, since: event.at, until: event.at };
        if event.kind != EventKind::Dropped {
            return one;
        }
        let since = event.detail.get("since").and_then(serde_json::Value::as_str);
        let since = since.and_then(|since| Timestamp::parse(since).ok());
        let count = event.detail.get("count").and_then(serde_json::Value::as_u64);
        Self { count: count.unwrap_or(1), since: since.unwrap_or(event.at), ..one }
    }

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
