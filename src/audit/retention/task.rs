//! The task that prunes beside a gateway, for as long as it runs.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::boundary::Boundary;
use super::run::{Ended, Hand, through};
use super::{Retention, RetentionStanding, pass};
use crate::audit::Audit;
use crate::audit::store::{Boxed, Reads};

/// How long it rests once nothing is left to do: at first for a moment, since records come into the
/// tree before they go, then for longer each time.
const REST_FIRST: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_hours(1);

/// From so many records on, more are looked for at once. Fewer wait for others, since each step
/// leaves an event that is never pruned.
const MANY: u64 = 64;

/// From when on it is told that a sink keeps old records.
const SINK_TOLD_AFTER: Duration = Duration::from_hours(24);

/// How long it waits after a fault.
const AFTER_FAULT: Duration = Duration::from_secs(30);

/// How often what was looked at before is looked at again: what kept it may be over.
const AGAIN: Duration = Duration::from_hours(1);

/// The task itself.
#[derive(Debug)]
pub struct Pruning {
    audit: Audit,
    /// What is kept, by the newest look at the configuration.
    retention: Retention,
    rest: Duration,
    boundary: Boundary,
    /// The place up to which changes were looked at, and since when.
    looked: Option<(i64, Instant)>,
    is_told: bool,
    /// Whether it was told that a sink is not waited for any more.
    is_sink_told: bool,
}

impl Audit {
    /// The task that is to run beside the log.
    #[must_use]
    pub fn pruning(&self) -> Pruning {
        Pruning {
            audit: self.clone(),
            retention: Retention::default(),
            rest: REST_FIRST,
            boundary: Boundary::default(),
            looked: None,
            is_told: false,
            is_sink_told: false,
        }
    }

    /// How far pruning has come.
    #[must_use]
    pub fn retention(&self) -> RetentionStanding {
        self.shared.retention.standing()
    }
}

impl Pruning {
    /// Prunes until `stop` is cancelled what `kept` says at each look.
    pub async fn run(mut self, kept: impl Fn() -> Retention, stop: CancellationToken) {
        loop {
            let retention = kept();
            if retention != self.retention {
                (self.retention, self.rest, self.looked) = (retention, REST_FIRST, None);
            }
            let done = stop.run_until_cancelled(self.work(&kept)).await;
            let rest = match done {
                None => return,
                Some(Ok(goes_on)) => {
                    self.is_told = false;
                    self.rest = if goes_on { REST_FIRST } else { REST_MAX.min(self.rest * 2) };
                    self.rest
                }
                Some(Err(error)) => {
                    self.tell(&error);
                    AFTER_FAULT
                }
            };
            tokio::select! {
                () = sleep(rest) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn tell(&mut self, error: &Boxed) {
        self.looked = None;
        if !std::mem::replace(&mut self.is_told, true) {
            let error = &**error as &dyn std::error::Error;
            tracing::error!(error, "the log is written, but what is old in it is not pruned");
        }
    }

    /// One pass; tells whether the next one is to follow at once.
    async fn work(&mut self, kept: impl Fn() -> Retention) -> Result<bool, Boxed> {
        let audit = self.audit.clone();
        let shared = &audit.shared;
        let Retention { max_age, max_changes, .. } = self.retention;
        if max_age.is_none() && max_changes.is_none() {
            return Ok(false);
        }
        let (now, instant) = (shared.clock.now(), shared.clock.instant());
        let reads = shared.reader.reads();
        let is_fresh = |since: &Instant| instant.duration_since(*since) < AGAIN;
        let (after, since) =
            self.looked.filter(|(_at, since)| is_fresh(since)).unwrap_or((0, instant));
        let spared = self.needed().await?;
        let begun =
            pass::begin(reads.clone(), &self.retention, now, (after, spared), &mut self.boundary);
        let mut pruner = begun.await?;
        let mut hand = match reads {
            Reads::Sqlite(_) => Hand::Beside(&shared.queues),
            Reads::Postgres(_) => Hand::Shared(reads),
        };
        let before = shared.retention.standing();
        let ended =
            through(&mut pruner, &mut hand, &shared.retention, || kept() == self.retention).await?;
        let went = shared.retention.standing();
        let (changes, events) = (went.changes - before.changes, went.events - before.events);
        match ended {
            Ended::Done => {
                self.looked = Some((pruner.at(), since));
                // A part of the changes does not tell of the others.
                if after == 0 {
                    shared.retention.note_overdue(pruner.overdue());
                    self.tell_of_sink(spared.is_some(), pruner.overdue());
                }
                if changes + events > 0 {
                    tracing::info!(changes, events, "old records were pruned");
                }
                // Also what was left free by one that did not come so far.
                hand.shrink().await?;
            }
            Ended::Overtaken => self.looked = None,
            Ended::Changed => return Ok(true),
            Ended::Busy => {}
        }
        Ok(changes + events >= MANY)
    }

    /// From which leaf on records stay for the sink that has come least far.
    async fn needed(&self) -> Result<Option<u64>, Boxed> {
        let names: Vec<&str> = self.retention.sinks.iter().map(String::as_str).collect();
        Ok(self.audit.reader().needed_by(&names).await?)
    }

    fn tell_of_sink(&mut self, is_needed: bool, overdue: Duration) {
        let keeps = is_needed && overdue >= SINK_TOLD_AFTER;
        if keeps && !self.is_sink_told {
            tracing::warn!(
                "a sink that does not take them keeps old records from being pruned: once they \
                 were due for a week, they go without it"
            );
        }
        self.is_sink_told = keeps;
    }
}
