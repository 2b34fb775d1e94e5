//! The one task that writes: it takes whatever is waiting and commits it together, so that many
//! calls share one sync of the disk. Where few come, none waits for a timer; where many do, a
//! commit waits a moment for more of them, since each costs the disk and the processor the same.
//!
//! ```text
//! open, record -> commands -+                            +-> answers
//! finish -------> endings --+> one batch, one transaction +
//! note ---------> events ---+          ^                 +-> endings that failed -+
//!                                      +-----------------------------------------+
//! ```

mod answered;
mod chores;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use self::answered::{remember, tell_of_refusal};
use super::chore::Chore;
use super::condition::Health;
use super::entry::Entry;
use super::latest::Latest;
use super::queue::{QueueCounters, Queued, Queues, WriterEnds};
use super::store::{Store, StoreError};
use crate::base::clock::Clock;
use crate::base::visible::chain;
use crate::net::thread::spawn;

/// The most commands in one transaction, and the most endings beside them.
const BATCH_MAX: usize = 256;

/// The most events in one transaction.
const BATCH_EVENTS_MAX: usize = 512;

/// Where the last transaction had so many rows, more are about to come.
const MANY: usize = 4;

/// How long more are waited for.
const MOMENT: Duration = Duration::from_millis(1);

/// How long the writer rests where nothing is asked of it. Then it writes events, tries again
/// what failed, or tidies up.
const REST: Duration = Duration::from_millis(200);

/// How long a store that failed must be found in order before it counts as writable: a disk that
/// is all but full takes one batch and not the next.
const STEADY_AFTER: Duration = Duration::from_secs(1);

/// The task itself.
struct Writer {
    store: Store,
    ends: WriterEnds,
    tally: Arc<QueueCounters>,
    clock: Clock,
    latest: Arc<Latest>,
    /// Endings that the store did not take: at most about [`BATCH_MAX`].
    kept: Vec<Queued>,
    /// Why the store does not count as writable.
    fault: Option<StoreError>,
    /// Since when it has been found in order again.
    steady_since: Option<Instant>,
    /// Whether anything was committed since the last checkpoint, or is not counted yet.
    is_dirty: bool,
    /// How many rows the last transaction had, events aside.
    last_rows: usize,
    /// What is to be done beside batches, and from when on the next is.
    chore: Option<Chore>,
    chore_due: Instant,
    /// No command is taken any more.
    closed: bool,
    /// No change is open any more, after closing.
    drained: bool,
}

/// Starts the writer of a store that has this fault, if any, and tells how it is reached and
/// waited for. It has a thread of its own: no
/// one's question makes it wait, and each answer of SQLite's thread wakes this one and no other.
pub(super) fn start(
    (store, fault): (Store, Option<StoreError>),
    clock: Clock,
    latest: Arc<Latest>,
) -> io::Result<(Queues, JoinHandle<()>)> {
    let (queues, ends) = Queues::new(clock.instant());
    let mut writer = Writer {
        store,
        ends,
        tally: queues.tally(),
        clock,
        latest,
        kept: Vec::new(),
        fault: None,
        steady_since: None,
        is_dirty: true,
        last_rows: 0,
        chore: None,
        chore_due: Instant::now(),
        closed: false,
        drained: false,
    };
    writer.tell_of_left_open();
    if let Some(fault) = fault {
        writer.fail(fault);
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time();
    if writer.store.is_remote() {
        runtime.enable_io();
    }
    let runtime = runtime.build()?;
    let (running, ended) = oneshot::channel::<Infallible>();
    let task = runtime.spawn(async move {
        // Dropped when the writer has come to its end, or was ended.
        let _running = running;
        writer.run().await;
    });
    spawn("changegate-log", runtime, |runtime| drop(runtime.block_on(ended)))?;
    Ok((queues, task))
}

impl Writer {
    async fn run(mut self) {
        loop {
            let first = self.wait().await;
            if first.is_some() && self.last_rows >= MANY && self.ends.waiting() < BATCH_MAX {
                sleep(MOMENT).await;
            }
            let batch = self.gather(first);
            self.last_rows = batch.iter().filter(|queued| queued.is_of_a_change()).count();
            self.tally.begin(self.clock.instant());
            if !batch.is_empty() {
                self.write(batch).await;
            } else if self.drained {
                break;
            } else if self.chore.is_none() {
                self.rest().await;
            }
            self.take_chore();
            self.do_chore().await;
            self.tally.end();
        }
        if let Err(fault) = self.store.close().await {
            tracing::warn!(error = %chain(&fault), "the audit database was not closed cleanly");
        }
    }

    /// Waits for something to write, or for a time to rest.
    async fn wait(&mut self) -> Option<Queued> {
        let has_room = self.kept.len() < BATCH_MAX && !self.drained;
        if self.drained && self.kept.is_empty() {
            return None;
        }
        let (due, takes_chores) = (self.chore_due, self.chore.is_none() && self.is_healthy());
        let chores = &mut self.ends.chores;
        let chore = async {
            sleep_until(due).await;
            chores.recv().await
        };
        tokio::select! {
            biased;
            () = self.ends.closing.cancelled(), if !self.closed => {
                self.ends.close();
                self.closed = true;
                None
            }
            ending = self.ends.endings.recv(), if has_room => {
                self.drained = ending.is_none();
                ending
            }
            Some(command) = self.ends.commands.recv() => Some(command),
            Some(chore) = chore, if takes_chores => {
                self.chore = Some(chore);
                None
            }
            () = sleep(REST) => None,
        }
    }

    /// Everything that waits, as far as one transaction takes it: what failed before comes first.
    fn gather(&mut self, first: Option<Queued>) -> Vec<Queued> {
        let mut batch = std::mem::take(&mut self.kept);
        batch.extend(first);
        let endings_max = BATCH_MAX.saturating_sub(batch.len());
        batch.extend(std::iter::from_fn(|| self.ends.endings.try_recv().ok()).take(endings_max));
        batch.extend(std::iter::from_fn(|| self.ends.commands.try_recv().ok()).take(BATCH_MAX));
        batch.retain(Queued::is_wanted);
        if let Some(fault) = &self.fault {
            let refused: Vec<Queued>;
            (batch, refused) = batch.into_iter().partition(Queued::is_an_end);
            for queued in refused {
                queued.tell(Err(fault.clone()));
            }
        }
        // Events are the first to wait while the store fails: their queue may overflow.
        if self.is_healthy() {
            let mut events = Vec::new();
            while events.len() < BATCH_EVENTS_MAX
                && let Ok(event) = self.ends.events.try_recv()
            {
                events.push(event);
            }
            if events.len() < BATCH_EVENTS_MAX {
                events.extend(self.tally.take_gap());
            }
            batch.extend(events.into_iter().map(Queued::event));
        }
        batch
    }

    /// Writes a batch, and once more what has to be written in another way.
    async fn write(&mut self, mut batch: Vec<Queued>) {
        while !batch.is_empty() {
            batch = self.write_once(batch).await;
        }
        self.tally.kept.store(u64::try_from(self.kept.len()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Returns what is to be written again.
    async fn write_once(&mut self, batch: Vec<Queued>) -> Vec<Queued> {
        let mut again = Vec::new();
        let entries: Vec<&Entry> = batch.iter().map(|queued| &queued.entry).collect();
        let written = self.store.write(&entries).await;
        if self.store.takes_back_documents() {
            self.latest.clear();
        }
        match written {
            Ok(answers) => {
                let rows = answers.iter().filter(|answer| answer.is_ok()).count();
                // Counted first: who is told may ask for the count.
                self.tally.commits.fetch_add(1, Ordering::Relaxed);
                self.tally.rows.fetch_add(u64::try_from(rows).unwrap_or(0), Ordering::Relaxed);
                let now = self.clock.now();
                for (mut queued, answer) in batch.into_iter().zip(answers) {
                    match &answer {
                        Ok(written) => remember(&self.latest, &queued.entry, *written, now),
                        Err(fault) if fault.is_of_lost_document() && queued.entry.files_anew() => {
                            self.save(&queued.entry);
                            again.push(queued);
                            continue;
                        }
                        Err(fault) => {
                            tell_of_refusal(&queued.entry, fault);
                            self.save(&queued.entry);
                        }
                    }
                    queued.tell(answer);
                }
                self.is_dirty = true;
                if let Err(fault) = self.tidy().await {
                    self.fail(fault);
                }
            }
            Err(fault) => {
                // Known first: who is told may ask for the health.
                self.fail(fault.clone());
                for queued in batch {
                    self.take_back(queued, &fault);
                }
            }
        }
        again
    }

    /// After a batch, the work that is not put off to a time without any.
    async fn tidy(&mut self) -> Result<(), StoreError> {
        self.store.trim().await?;
        if self.store.is_behind() {
            self.store.count().await?;
        }
        Ok(())
    }

    /// After the tables have refused an entry on its own: of an end, at least the outcome is
    /// kept, and an event is counted.
    fn save(&mut self, refused: &Entry) {
        match refused {
            Entry::Completion(ending) => {
                let reduced = ending.reduced().map(|end| Entry::Completion(Box::new(end)));
                self.kept.extend(reduced.map(|entry| Queued { entry, answer: None }));
            }
            Entry::Happening(event) => self.tally.drop_event(event),
            // It may have named a snapshot that is no longer there.
            Entry::Intent(opening) | Entry::Whole(opening, _) => {
                if let Some(deployment) = opening.intent.deployment() {
                    self.latest.forget(&deployment);
                }
            }
            _told_alone => {}
        }
    }

    /// After a batch has failed as a whole: endings are kept, the rest is told.
    fn take_back(&mut self, queued: Queued, fault: &StoreError) {
        match &queued.entry {
            Entry::Completion(_) => self.kept.push(queued),
            Entry::Happening(event) => self.tally.drop_event(event),
            _awaited => queued.tell(Err(fault.clone())),
        }
    }

    /// Uses a time without work: finds out whether the store is back, or tidies up.
    async fn rest(&mut self) {
        if !self.is_healthy() {
            return self.probe().await;
        }
        if let Err(fault) = self.use_rest().await {
            self.fail(fault);
        }
        if self.store.takes_back_documents() {
            self.latest.clear();
        }
    }

    /// Counts changes, a part in each rest, and moves what was written to its place.
    async fn use_rest(&mut self) -> Result<(), StoreError> {
        let was_dirty = std::mem::take(&mut self.is_dirty);
        if was_dirty {
            self.is_dirty = self.store.count().await?;
        }
        self.store.rest(was_dirty).await
    }

    /// Finds out whether the store is back.
    async fn probe(&mut self) {
        match self.store.probe(self.clock.now()).await {
            Ok(()) => self.recover(),
            Err(fault) => self.fail(fault),
        }
    }

    fn is_healthy(&self) -> bool {
        self.fault.is_none()
    }

    /// After a probe that went well.
    fn recover(&mut self) {
        let now = Instant::now();
        let since = *self.steady_since.get_or_insert(now);
        if now.duration_since(since) >= STEADY_AFTER {
            self.fault = None;
            self.ends.health.send_replace(Health::Writable);
            tracing::info!("the audit database can be written again");
            self.tell_of_left_open();
        }
    }

    /// Tells of changes that a crash had left open, once the store has ended them.
    fn tell_of_left_open(&self) {
        let changes = self.store.swept();
        if self.tally.left_open.swap(changes, Ordering::Relaxed) != changes {
            tracing::warn!(
                changes,
                "a crash has left changes open: whether they were applied is unknown"
            );
        }
    }

    /// Takes a fault of what no call waits for: what the tables refuse is none of the store's.
    fn doubt(&mut self, fault: &StoreError) {
        if !matches!(fault, StoreError::Refused(_)) {
            self.fail(fault.clone());
        }
    }

    fn fail(&mut self, fault: StoreError) {
        self.steady_since = None;
        let reason = chain(&fault);
        self.fault = Some(fault);
        let failing = Health::Failing(reason.clone());
        if self.ends.health.send_replace(failing) == Health::Writable {
            tracing::error!(error = reason, "the audit database can't be written");
        }
    }
}
