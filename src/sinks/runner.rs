//! The task of one sink: it reads on from where the sink is, and delivers.
//!
//! ```text
//! take (and keep taken) -> read a page -> leave out, add differences -> deliver -> go on
//!                                                                    -> wait, and again
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::attempt::{TAKE_EVERY, attempt};
use super::delivery::{Delivery, Failure};
use super::gone::Gone;
use super::page::{Batch, batch};
use super::schedule::wait;
use super::shared::Shared;
use super::transport::{Sender, Transport};
use crate::audit::query::QueryError;
use crate::audit::record::{Event, EventKind};
use crate::audit::sinks::{DeadLetter, FinishedRecord, SinkState};
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;
use crate::base::visible::chain;
use crate::config::SinkConfig;

/// How often it is looked for new records.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often it is kept how far the sink has come.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// The same where nothing was sent, since all was left out.
const KEEP_PASSED_EVERY: Duration = Duration::from_secs(15);

/// How long is waited after a fault of the log's.
const AFTER_FAULT: Duration = Duration::from_secs(2);

/// The most messages in a row that are passed over since they are refused: where more are, the
/// receiver refuses everything, and nothing is passed over any more.
const REFUSED_MAX: u32 = 16;

/// The most dead letters that wait to be kept: the log lists no more either.
const LETTERS_MAX: usize = 1_000;

/// The most characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 300;

/// The task itself.
pub(super) struct Runner {
    shared: Shared,
    config: SinkConfig,
    sender: Sender,
    transport: Transport,
    /// `None` until the sink is taken.
    state: Option<SinkState>,
    /// When it was taken, or kept taken, last.
    taken: Option<Instant>,
    /// Records that were read and are not delivered yet.
    ahead: VecDeque<FinishedRecord>,
    /// Records that were refused, and are not kept as such yet.
    letters: Vec<DeadLetter>,
    /// When it is to be kept how far the sink has come, where that is not kept yet.
    keep_at: Option<Instant>,
    /// Up to this position each message is sent by itself, to find the one that is refused.
    alone_until: u64,
    refused_in_a_row: u32,
    /// Records that were pruned before they were sent, not told yet.
    gone: Gone,
    /// Whether it was told that the sink takes nothing.
    is_told: bool,
    /// How many commits there were when nothing was left to send.
    commits: Option<u64>,
}

impl Runner {
    pub(super) fn new(
        shared: Shared,
        config: SinkConfig,
        sender: Sender,
        transport: Transport,
    ) -> Self {
        Self {
            shared,
            config,
            sender,
            transport,
            state: None,
            taken: None,
            ahead: VecDeque::new(),
            letters: Vec::new(),
            keep_at: None,
            alone_until: 0,
            refused_in_a_row: 0,
            gone: Gone::default(),
            is_told: false,
            commits: None,
        }
    }

    /// Delivers until `stop` is cancelled. An operator's order wakes it by `wake`.
    pub(super) async fn run(mut self, stop: CancellationToken, wake: Arc<Notify>) {
        loop {
            let rest = tokio::select! {
                done = self.step() => done.unwrap_or_else(|error| {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(sink = %self.config.name, error, "a sink can't read the log");
                    (self.taken, self.commits) = (None, None);
                    AFTER_FAULT
                }),
                () = stop.cancelled() => break,
            };
            tokio::select! {
                () = sleep(rest) => {}
                () = wake.notified() => self.taken = None,
                () = stop.cancelled() => break,
            }
        }
        if self.keep_at.is_some() {
            let _late = timeout(AFTER_FAULT, self.keep()).await;
        }
    }

    /// One step; tells how long to rest.
    async fn step(&mut self) -> Result<Duration, QueryError> {
        if self.taken.is_none_or(|taken| taken.elapsed() >= TAKE_EVERY) {
            self.take().await?;
        }
        let Some(state) = &self.state else { return Ok(TAKE_EVERY) };
        let now = self.shared.clock.now();
        let is_disabled = state.disabled.is_some();
        let until = state.next_at.filter(|until| *until > now);
        if is_disabled || until.is_some() {
            self.keep_if_due().await?;
            let rest = until.map_or(TAKE_EVERY, |until| {
                let millis = until.millis().saturating_sub(now.millis());
                Duration::from_millis(u64::try_from(millis).unwrap_or(0))
            });
            return Ok(rest.min(TAKE_EVERY));
        }
        let Some(batch) = self.batch(state.next).await? else {
            self.shared.metrics.sinks.lag(&self.config.name, 0);
            self.tell_of_gone(None);
            if let Some(failure) = self.transport.look() {
                self.fail(failure, now).await?;
                return Ok(Duration::ZERO);
            }
            self.keep_if_due().await?;
            return Ok(LOOK_EVERY);
        };
        self.deliver(batch).await?;
        self.keep_if_due().await?;
        Ok(Duration::ZERO)
    }

    /// Takes the sink, or keeps it taken, and hears orders.
    async fn take(&mut self) -> Result<(), QueryError> {
        let (name, from_start) = (&self.config.name, self.config.from_start);
        let taken = self.shared.audit.take_sink(name, from_start, &self.shared.holder).await?;
        self.taken = Some(Instant::now());
        let Some(found) = taken else {
            self.state = None;
            return Ok(());
        };
        let end = self.shared.audit.reader().end().await?;
        // Another server of the log may lack what was sent, and have other records there.
        let of = |state: &SinkState| (state.revision, state.timeline.clone());
        let own = self.state.as_ref().filter(|own| of(own) == of(&found));
        let next = own.map_or(found.next, |own| own.next);
        self.shared.metrics.sinks.lag(name, end.saturating_sub(next));
        if own.is_none() {
            // Another gateway had it, or an operator wants something else, or another server took
            // over. Who disabled it was one
            // of other keys, perhaps.
            let disabled = found.disabled.clone().filter(|keys| *keys == self.config.digest);
            self.state = Some(SinkState { disabled, ..found });
            (self.keep_at, self.commits) = (None, None);
            (self.alone_until, self.refused_in_a_row) = (0, 0);
            self.letters.clear();
            self.ahead.clear();
            self.transport.begin_anew();
        }
        Ok(())
    }

    /// The messages to be delivered from a position on; `None` where there is nothing.
    async fn batch(&mut self, next: u64) -> Result<Option<Batch>, QueryError> {
        let (audit, reader) = (&self.shared.audit, self.shared.audit.reader());
        let commits = audit.counters().commits;
        if !reader.is_shared() && self.commits == Some(commits) {
            return Ok(None);
        }
        let is_alone = next < self.alone_until;
        let messages_max = if is_alone { 1 } else { self.transport.batch_max() };
        let (config, ahead) = (&self.config, &mut self.ahead);
        let batch = batch(reader, config, next, messages_max, ahead).await?;
        if batch.is_none() {
            self.commits = Some(commits);
        }
        Ok(batch)
    }

    async fn deliver(&mut self, batch: Batch) -> Result<(), QueryError> {
        let now = self.shared.clock.now();
        for position in &batch.missing {
            let reason = "its record was not there any more".to_owned();
            self.bury(DeadLetter { position: *position, at: now, reason });
        }
        if let Some(last) = batch.pruned_last {
            self.shared.metrics.sinks.pruned(&self.config.name, batch.pruned);
            self.gone.add(batch.pruned, last);
        }
        self.tell_of_gone(Some(batch.next));
        if batch.messages.is_empty() {
            self.go_on(batch.next, KEEP_PASSED_EVERY);
            return Ok(());
        }
        let what = (batch.messages.as_slice(), now);
        let delivered =
            attempt(&self.shared, &self.config, &mut self.transport, &self.sender, what).await;
        let Some(delivery) = delivered else {
            (self.taken, self.state) = (None, None);
            return Ok(());
        };
        match delivery {
            Delivery::Taken => self.taken_by_receiver(&batch, now),
            Delivery::Refused(why) if batch.messages.len() > 1 => {
                tracing::debug!(sink = %self.config.name, why, "a message is looked for");
                self.alone_until = batch.next;
            }
            Delivery::Refused(why) if self.refused_in_a_row >= REFUSED_MAX => {
                let why = format!("{why}, as all before");
                self.fail(Failure { why, ..Failure::default() }, now).await?;
            }
            Delivery::Refused(why) => {
                self.refused_in_a_row += 1;
                let position = batch.messages.first().and_then(|message| message.position);
                let reason = excerpt(&why, ERROR_CHARS_MAX);
                self.bury(DeadLetter { position: position.unwrap_or(0), at: now, reason });
                self.go_on(batch.next, Duration::ZERO);
            }
            Delivery::Failed(failure) => self.fail(failure, now).await?,
            Delivery::Gone => self.disable(now).await?,
        }
        Ok(())
    }

    fn tell_of_gone(&mut self, next: Option<u64>) {
        if let Some(count) = self.gone.told(next) {
            let sink = &self.config.name;
            tracing::warn!(%sink, count, "records were pruned before the sink was sent them");
        }
    }

    /// Counts a record that is passed over.
    fn bury(&mut self, letter: DeadLetter) {
        let (sink, position, reason) = (&self.config.name, letter.position, &letter.reason);
        tracing::warn!(%sink, position, reason, "a sink was not sent a record");
        self.shared.metrics.sinks.dead(sink);
        if self.letters.len() == LETTERS_MAX {
            self.letters.remove(0);
        }
        self.letters.push(letter);
        if let Some(state) = &mut self.state {
            state.dead += 1;
        }
    }

    /// Goes on behind what was done; it is kept after a while.
    fn go_on(&mut self, next: u64, keep_after: Duration) {
        if let Some(state) = &mut self.state {
            state.next = next;
        }
        let due = Instant::now() + keep_after;
        self.keep_at = Some(self.keep_at.map_or(due, |at| at.min(due)));
    }

    fn taken_by_receiver(&mut self, batch: &Batch, now: Timestamp) {
        let count = u64::try_from(batch.messages.len()).unwrap_or(u64::MAX);
        self.shared.metrics.sinks.sent(&self.config.name, count);
        self.refused_in_a_row = 0;
        if let Some(state) = &mut self.state {
            state.sent += count;
            (state.sent_at, state.attempts, state.next_at) = (Some(now), 0, None);
        }
        self.go_on(batch.next, KEEP_EVERY);
        if std::mem::take(&mut self.is_told) {
            tracing::info!(sink = %self.config.name, "the sink takes records again");
        }
    }

    /// Waits after an attempt that failed. The place of the sink stays.
    async fn fail(&mut self, failure: Failure, now: Timestamp) -> Result<(), QueryError> {
        let sink = Arc::clone(&self.config.name);
        self.shared.metrics.sinks.failed(&sink);
        let error = excerpt(&failure.why, ERROR_CHARS_MAX);
        let Some(state) = &mut self.state else { return Ok(()) };
        state.attempts = state.attempts.saturating_add(1);
        let rest = wait(self.transport.is_webhook(), state.attempts, failure.after);
        state.next_at = Some(now.plus(rest));
        (state.error, state.error_at) = (Some(error.clone()), Some(now));
        if let Some(back_to) = failure.back_to {
            state.next = state.next.min(back_to);
        }
        let again_at = state.next_at;
        if !std::mem::replace(&mut self.is_told, true) {
            let again_at = again_at.map(|at| at.to_string());
            tracing::warn!(%sink, error, again_at, "a sink takes no records: they wait");
        }
        self.keep_at = Some(Instant::now());
        self.keep().await
    }

    /// Sends nothing more until the sink is configured otherwise, or an operator says so.
    async fn disable(&mut self, now: Timestamp) -> Result<(), QueryError> {
        let sink = &self.config.name;
        tracing::error!(%sink, "the receiver wants no more (410): fix its keys, or resume it");
        self.shared.metrics.sinks.failed(sink);
        note(&self.shared, json!({ "sink": &**sink, "what": "disabled" }));
        if let Some(state) = &mut self.state {
            state.disabled = Some(self.config.digest.clone());
            state.attempts = state.attempts.saturating_add(1);
            state.error = Some("answered 410 Gone: it wants no more".to_owned());
            state.error_at = Some(now);
        }
        self.keep_at = Some(Instant::now());
        self.keep().await
    }

    async fn keep_if_due(&mut self) -> Result<(), QueryError> {
        match self.keep_at {
            Some(at) if at <= Instant::now() => self.keep().await,
            _ => Ok(()),
        }
    }

    /// Keeps how far the sink has come. Where an order came meanwhile, that holds.
    async fn keep(&mut self) -> Result<(), QueryError> {
        let Some(state) = &self.state else { return Ok(()) };
        let (audit, holder) = (&self.shared.audit, &self.shared.holder);
        match audit.keep_sink(state, &self.letters, holder).await {
            Ok(true) => {
                (self.keep_at, self.taken) = (None, Some(Instant::now()));
                self.letters.clear();
            }
            Ok(false) => (self.taken, self.state) = (None, None),
            Err(error) => {
                // It is known here still; what comes of it is that something may come twice.
                let error = chain(&error);
                tracing::debug!(sink = %self.config.name, error, "not kept");
                self.keep_at = Some(Instant::now() + AFTER_FAULT);
            }
        }
        Ok(())
    }
}

/// Leaves a word of a sink in the log.
pub(super) fn note(shared: &Shared, detail: serde_json::Value) {
    shared.audit.note(Event {
        at: shared.clock.now(),
        kind: EventKind::Sink,
        actor: None,
        client_ip: None,
        request_id: None,
        detail,
    });
}
