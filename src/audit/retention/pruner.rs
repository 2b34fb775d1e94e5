//! One pass through the log: what is old enough, what keeps some of it, and the steps by which the
//! rest goes. Everything is found beside the writer, which then only deletes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::holds::Held;
use crate::audit::document::alone;
use crate::audit::pruned::{Positions, PruneReason, PruneRecord};
use crate::audit::store::{Boxed, Candidate, OldEvent, PruneBounds, PruneStep, Reads};
use crate::base::clock::Timestamp;

/// The most changes, or events, of one step.
const STEP_MAX: usize = 256;

/// The fewest, however long a step takes.
const STEP_MIN: usize = 8;

/// How many there are in the first.
const STEP_FIRST: usize = 64;

/// How many places a step may be wide: what it touched is looked for in all of them.
const SPAN_MAX: i64 = 4_096;

/// How many old changes are looked at together.
const PAGE: usize = 512;

/// The bytes of documents that are packed anew in one step, after which it takes half as many
/// changes.
const REPACKED_BYTES_MAX: usize = 1 << 20;

/// How long a step may hold up the writer: shorter ones take more, longer ones less the next time.
const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_millis(5);

/// What a pass is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) bounds: PruneBounds,
    /// Changes from behind the first place up to the last one.
    pub(super) changes: (i64, i64),
    /// Events that came before this.
    pub(super) events_before: Timestamp,
    /// `None` where each step's bound tells.
    pub(super) reason: Option<PruneReason>,
}

/// What could be pruned, and what is kept of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// How many changes go.
    pub changes: u64,
    /// How many events go.
    pub events: u64,
    /// When the oldest of the changes came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the newest of them came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many changes are old enough and stay, by what keeps them.
    pub kept: BTreeMap<String, u64>,
}

/// A pass, as far as it has come.
pub(super) struct Pruner {
    reads: Reads,
    held: Held,
    scope: Scope,
    /// Up to where events are looked at; `None` before the first.
    events: Option<(i64, i64)>,
    step_max: usize,
    survey: Survey,
    /// When the oldest came that is due and still there, and of what stays for a sink alone.
    oldest: Option<Timestamp>,
    waiting: Option<Timestamp>,
}

impl Pruner {
    pub(super) fn begin(reads: Reads, held: Held, scope: Scope) -> Self {
        let survey = Survey::default();
        let (events, oldest, waiting) = (None, None, None);
        Self { reads, held, scope, events, step_max: STEP_FIRST, survey, oldest, waiting }
    }

    /// The same for another reason than each step's bound, and in large steps.
    pub(super) fn at_once(mut self, reason: PruneReason) -> Self {
        (self.scope.reason, self.step_max) = (Some(reason), STEP_MAX);
        self
    }

    /// The place up to which changes were looked at.
    pub(super) fn at(&self) -> i64 {
        self.scope.changes.0
    }

    /// What the pass has found so far.
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// For how long the oldest change that is still there has been due by its age.
    pub(super) fn overdue(&self) -> Duration {
        let due = self.scope.bounds.by_age.millis();
        let late = self.oldest.map_or(0, |oldest| due.saturating_sub(oldest.millis()));
        Duration::from_millis(u64::try_from(late).unwrap_or(0))
    }

    /// Takes note of how long a step has held up the writer.
    pub(super) fn heed(&mut self, took: Duration) {
        if took < SHORT {
            self.step_max = STEP_MAX.min(self.step_max * 2);
        } else if took > LONG {
            self.step_max = STEP_MIN.max(self.step_max / 2);
        }
    }

    /// Looks for everything, and takes nothing.
    pub(super) async fn look(mut self) -> Result<Survey, Boxed> {
        while !self.changes(STEP_MAX).await?.is_empty() {}
        while !self.events(STEP_MAX).await?.is_empty() {}
        Ok(self.survey)
    }

    /// The next step; `None` where nothing is left to do.
    pub(super) async fn next(&mut self) -> Result<Option<PruneStep>, Boxed> {
        loop {
            let (from, before) = (self.scope.changes.0, self.survey.clone());
            let taken = self.changes(self.step_max).await?;
            if taken.is_empty() {
                break;
            }
            if let Some(step) = self.step(&taken).await? {
                let first = taken.first().map(|change| change.received_at);
                self.oldest = self.waiting.or(first);
                return Ok(Some(step));
            }
            // Too much is packed anew.
            self.step_max = (taken.len() / 2).max(1);
            (self.scope.changes.0, self.survey) = (from, before);
        }
        self.oldest = self.waiting;
        let events = self.events(self.step_max).await?;
        if events.is_empty() { Ok(None) } else { self.step_of_events(&events).await.map(Some) }
    }

    /// The next changes that go.
    async fn changes(&mut self, step_max: usize) -> Result<Vec<Candidate>, Boxed> {
        let mut taken: Vec<Candidate> = Vec::new();
        loop {
            let span = self.scope.changes;
            let page = self.reads.prune_candidates(&self.scope.bounds, span, PAGE).await?;
            let is_last = page.len() < PAGE;
            for candidate in page {
                let first = taken.first().map_or(candidate.seq, |first| first.seq);
                if taken.len() >= step_max || candidate.seq - first >= SPAN_MAX {
                    return Ok(taken);
                }
                self.scope.changes.0 = candidate.seq;
                match self.keeper(&candidate) {
                    Some("young") => {}
                    Some(keeper) => {
                        if keeper == "sink" {
                            self.waiting.get_or_insert(candidate.received_at);
                        }
                        *self.survey.kept.entry(keeper.to_owned()).or_default() += 1;
                    }
                    None => {
                        self.survey.changes += 1;
                        self.survey.since.get_or_insert(candidate.received_at);
                        self.survey.until = Some(candidate.received_at);
                        taken.push(candidate);
                    }
                }
            }
            if is_last {
                return Ok(taken);
            }
        }
    }

    /// What keeps a change.
    fn keeper<'c>(&self, candidate: &'c Candidate) -> Option<&'c str> {
        let held = self.held.deployment(candidate.deployment.as_deref());
        let held = held.or_else(|| self.held.by(&candidate.subjects));
        candidate.kept.as_deref().filter(|kept| *kept == "young" || held.is_none()).or(held)
    }

    /// The next events that go.
    async fn events(&mut self, step_max: usize) -> Result<Vec<OldEvent>, Boxed> {
        let (mut after, until) = match self.events {
            Some(span) => span,
            None => (0, self.reads.events_before(self.scope.events_before).await?),
        };
        let mut taken = Vec::new();
        loop {
            let before = self.scope.events_before;
            let span = (after, until);
            let page = self.reads.old_events(&self.scope.bounds, before, span, step_max).await?;
            let is_last = page.len() < step_max;
            for event in page {
                if taken.len() >= step_max {
                    self.events = Some((after, until));
                    return Ok(taken);
                }
                after = event.seq;
                let is_held = self.held.by(&event.subjects).is_some();
                if !is_held && !self.held.is_named_in(&event.detail) {
                    self.survey.events += 1;
                    taken.push(event);
                }
            }
            if is_last {
                self.events = Some((after, until));
                return Ok(taken);
            }
        }
    }

    /// The step that takes these changes; `None` where it would pack too much anew.
    async fn step(&self, taken: &[Candidate]) -> Result<Option<PruneStep>, Boxed> {
        let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return Ok(None) };
        let changes: Vec<i64> = taken.iter().map(|change| change.seq).collect();
        let named: BTreeSet<i64> =
            taken.iter().flat_map(|change| change.snapshots.iter().copied()).collect();
        let (snapshots, anew) = self.documents(&named, &changes).await?;
        let Some(repacked) = self.repacked(&anew, taken.len() == 1).await? else {
            return Ok(None);
        };
        let span = (first.seq, last.seq);
        let gone: BTreeSet<i64> = changes.iter().copied().collect();
        let mut touched = self.reads.touched_within(span).await?;
        touched.retain(|(_place, _kind, seq)| gone.contains(seq));
        let mut broken = self.reads.broken_within(span).await?;
        broken.retain(|(_rule, seq)| gone.contains(seq));
        let leaves = self.reads.leaves_of(&changes, &[]).await?;
        let is_old = taken.iter().all(|change| change.is_old);
        let reason = if is_old { PruneReason::Age } else { PruneReason::Count };
        let record = PruneRecord {
            reason: self.scope.reason.unwrap_or(reason),
            changes: changes.len(),
            events: 0,
            seqs: span,
            times: (first.received_at, last.received_at),
            leaves: positions(&leaves)?,
        };
        Ok(Some(PruneStep {
            bounds: self.scope.bounds,
            holds: self.held.word,
            changes,
            events: Vec::new(),
            touched,
            broken,
            snapshots,
            repacked,
            leaves,
            event: record.event(self.scope.bounds.now),
        }))
    }

    async fn step_of_events(&self, taken: &[OldEvent]) -> Result<PruneStep, Boxed> {
        let events: Vec<i64> = taken.iter().map(|event| event.seq).collect();
        let leaves = self.reads.leaves_of(&[], &events).await?;
        let end = |event: Option<&OldEvent>| {
            event.map_or((0, self.scope.bounds.now), |event| (event.seq, event.at))
        };
        let (first, last) = (end(taken.first()), end(taken.last()));
        let record = PruneRecord {
            reason: self.scope.reason.unwrap_or(PruneReason::Age),
            changes: 0,
            events: events.len(),
            seqs: (first.0, last.0),
            times: (first.1, last.1),
            leaves: positions(&leaves)?,
        };
        let (changes, touched, broken, snapshots, repacked) = Default::default();
        Ok(PruneStep {
            bounds: self.scope.bounds,
            holds: self.held.word,
            changes,
            events,
            touched,
            broken,
            snapshots,
            repacked,
            leaves,
            event: record.event(self.scope.bounds.now),
        })
    }

    /// Of the documents that these changes name: those that nobody names once they are gone, with
    /// what was built upon them and is named by nobody; and those that are and lose what they are
    /// built upon.
    async fn documents(
        &self,
        named: &BTreeSet<i64>,
        changes: &[i64],
    ) -> Result<(Vec<i64>, Vec<i64>), Boxed> {
        let all: Vec<i64> = named.iter().copied().collect();
        let used: BTreeSet<i64> = self.reads.used(&all, changes).await?.into_iter().collect();
        let mut going: BTreeSet<i64> = named.difference(&used).copied().collect();
        let mut anew = BTreeSet::new();
        let mut bases: Vec<i64> = going.iter().copied().collect();
        while !bases.is_empty() {
            let built = self.reads.dependents(&bases, changes).await?;
            bases.clear();
            for document in built {
                if document.is_used {
                    anew.insert(document.number);
                } else if going.insert(document.number) {
                    bases.push(document.number);
                }
            }
        }
        Ok((going.into_iter().collect(), anew.into_iter().collect()))
    }

    /// Documents as they stand alone; `None` where they are more than one step writes, unless it
    /// must.
    async fn repacked(
        &self,
        numbers: &[i64],
        must: bool,
    ) -> Result<Option<Vec<(i64, Vec<u8>)>>, Boxed> {
        let mut documents = self.reads.documents().await?;
        let (mut repacked, mut bytes) = (Vec::new(), 0);
        for number in numbers {
            let text = documents.text(*number).await?;
            let text =
                text.ok_or("a document of the log is gone: `changegate audit verify` tells")?;
            let body = alone(&text)?;
            bytes += body.len();
            if bytes > REPACKED_BYTES_MAX && !must {
                return Ok(None);
            }
            repacked.push((*number, body));
        }
        Ok(Some(repacked))
    }
}

fn positions(leaves: &[i64]) -> Result<Positions, Boxed> {
    let positions = leaves.iter().map(|position| u64::try_from(*position));
    Ok(Positions::of(positions.collect::<Result<_, _>>()?))
}
