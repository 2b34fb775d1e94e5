//! What is erased in which order: everything is found beside the writer, which then only takes it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::before::LeftBefore;
use super::left::{self, Loss};
use super::{EraseError, EraseRequest};
use crate::audit::document::alone;
use crate::audit::erased::{EraseTarget, ErasureRecord, left as left_of};
use crate::audit::evidence::leaf::{LeafKind, Salt};
use crate::audit::retention::Held;
use crate::audit::store::{Boxed, Candidate, EraseStep, ErasedLeaf, Halves, Reads, SealedRecord};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, random};

/// The most changes of one step: each may have several leaves, which its event names.
const STEP_MAX: usize = 64;

/// How many events are looked at together.
const EVENTS: usize = 512;

/// The next thing to do.
pub(super) enum Next {
    Step(Box<EraseStep>, Box<ErasureRecord>),
    /// Something is on its way that has to end before.
    Waits,
    Nothing,
}

/// What a step is about, as it is put together.
#[derive(Default)]
struct Draft {
    records: Vec<SealedRecord>,
    leaves: Vec<ErasedLeaf>,
    told: Vec<(u64, crate::audit::erased::Left)>,
}

/// An erasure, as far as it has come.
pub(super) struct Planner<'p> {
    reads: &'p Reads,
    request: &'p EraseRequest,
    held: Held,
    /// The place up to which changes of the deployment are done, and the one up to which they are
    /// the target: what is made meanwhile is not.
    span: (i64, i64),
    before: LeftBefore,
}

impl<'p> Planner<'p> {
    /// Begins, and finds out first that all of it may be erased.
    pub(super) async fn begin(reads: &'p Reads, request: &'p EraseRequest) -> Result<Self, Boxed> {
        let held = Held::of(reads, &request.holds).await?;
        let before = LeftBefore::default();
        let mut planner = Self { reads, request, held, span: (0, i64::MAX), before };
        let mut newest = None;
        loop {
            let page = planner.page().await?;
            let Some(last) = page.last().map(|last| last.seq) else { break };
            planner.may_go(&page).await?;
            (newest, planner.span.0) = (Some(last), last);
            if let (EraseTarget::Change(_), [change]) = (&request.target, &*page) {
                planner.may_go_with(change).await?;
                break;
            }
        }
        let newest = newest.ok_or_else(|| EraseError::Unknown(request.target.clone()))?;
        planner.span = (0, newest);
        Ok(planner)
    }

    /// Takes note of holds that came meanwhile.
    pub(super) async fn refresh(&mut self) -> Result<(), Boxed> {
        self.held = Held::of(self.reads, &self.request.holds).await?;
        Ok(())
    }

    /// The next changes of the target.
    async fn page(&self) -> Result<Vec<Halves>, Boxed> {
        match &self.request.target {
            EraseTarget::Change(id) => Ok(self.reads.halves_of(*id).await?.into_iter().collect()),
            EraseTarget::Deployment(id) => {
                self.reads.halves_of_deployment(id, self.span, STEP_MAX).await
            }
        }
    }

    /// Holds that these changes may be altered; tells whether nothing has to end before.
    async fn may_go(&self, changes: &[Halves]) -> Result<bool, Boxed> {
        let seqs: Vec<i64> = changes.iter().map(|change| change.seq).collect();
        let ids: BTreeMap<i64, ChangeId> =
            changes.iter().map(|change| (change.seq, change.id)).collect();
        let mut is_ready = true;
        for Candidate { seq, kept, subjects, deployment, .. } in self.reads.keepers(&seqs).await? {
            let Some(id) = ids.get(&seq).copied() else { continue };
            let held = self.held.deployment(deployment.as_deref());
            if let Some(by) = held.or_else(|| self.held.by(&subjects)) {
                let by = by.trim_start_matches("held_").to_owned();
                return Err(EraseError::OnHold { change: id, by }.into());
            }
            let is_target = self.request.target == EraseTarget::Change(id);
            match kept.as_deref() {
                Some("pending") if is_target => return Err(EraseError::NotEnded(id).into()),
                Some("approval") => return Err(EraseError::Undecided(id).into()),
                Some("pending" | "young") => is_ready = false,
                _free => {}
            }
        }
        Ok(is_ready)
    }

    /// Holds that all who share a document with a change may lose it: those that are held keep the
    /// others whole too.
    async fn may_go_with(&self, change: &Halves) -> Result<(), Boxed> {
        let (documents, mut after) = (self.documents_of(change).await?, 0);
        loop {
            let sharing = self.sharing(&documents, (change.seq, after)).await?;
            let Some(last) = sharing.last() else { return Ok(()) };
            after = last.seq;
            self.may_go(&sharing).await?;
        }
    }

    /// The documents of a change, and those of its deployment with the same text.
    async fn documents_of(&self, change: &Halves) -> Result<Vec<i64>, Boxed> {
        let own: Vec<i64> =
            [change.before, change.after, change.late_after].into_iter().flatten().collect();
        let mut documents: BTreeSet<i64> = own.iter().copied().collect();
        documents.extend(self.reads.twins(change.seq, &own).await?);
        Ok(documents.into_iter().collect())
    }

    /// The next changes that name one of these documents, beside one and behind a place.
    async fn sharing(&self, documents: &[i64], behind: (i64, i64)) -> Result<Vec<Halves>, Boxed> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        self.reads.halves_naming(documents, behind, STEP_MAX).await
    }

    /// The next step.
    pub(super) async fn next(&mut self, now: Timestamp) -> Result<Next, Boxed> {
        self.before.follow(self.reads).await?;
        if let EraseTarget::Change(_) = self.request.target {
            return self.of_change(now).await;
        }
        loop {
            let page = self.page().await?;
            let Some(last) = page.last().map(|last| last.seq) else { return Ok(Next::Nothing) };
            let all = page.into_iter().map(|change| (change, Loss::Whole)).collect();
            match self.step(all, now).await? {
                Next::Nothing => self.span.0 = last,
                next => return Ok(next),
            }
        }
    }

    /// The next step for one change: others that share its documents first, for it names these.
    async fn of_change(&self, now: Timestamp) -> Result<Next, Boxed> {
        let Some(change) = self.page().await?.into_iter().next() else { return Ok(Next::Nothing) };
        let documents = self.documents_of(&change).await?;
        let sharing = self.sharing(&documents, (change.seq, 0)).await?;
        let is_last = sharing.len() < STEP_MAX;
        let loses = |number: Option<i64>| number.is_some_and(|number| documents.contains(&number));
        let mut all: Vec<(Halves, Loss)> = sharing
            .into_iter()
            .map(|other| {
                let loss = Loss::Shared {
                    before: loses(other.before),
                    after: loses(other.after),
                    late_after: loses(other.late_after),
                };
                (other, loss)
            })
            .collect();
        if is_last {
            all.push((change, Loss::Whole));
        }
        self.step(all, now).await
    }

    /// The step that takes from these changes what they lose.
    async fn step(&self, all: Vec<(Halves, Loss)>, now: Timestamp) -> Result<Next, Boxed> {
        let changes: Vec<Halves> = all.iter().map(|(change, _loss)| change.clone()).collect();
        if !self.may_go(&changes).await? {
            return Ok(Next::Waits);
        }
        let losses: BTreeMap<i64, (ChangeId, Loss)> =
            all.iter().map(|(change, loss)| (change.seq, (change.id, *loss))).collect();
        let Some(draft) = self.draft(&losses).await? else { return Ok(Next::Waits) };
        let seqs: Vec<i64> = losses.keys().copied().collect();
        let whole: Vec<i64> = losses
            .iter()
            .filter(|(_seq, (_id, loss))| loss.is_whole())
            .map(|(seq, _)| *seq)
            .collect();
        let (mut originals, sealed_under) = self.reads.originals_of(&seqs).await?;
        originals.retain(|(seq, half)| {
            losses.get(seq).is_some_and(|(_id, loss)| match half {
                1 => loss.before(),
                _end => loss.after() || loss.late_after(),
            })
        });
        let touched = self.reads.touched_inside(&whole).await?;
        if draft.leaves.is_empty() && originals.is_empty() && touched.is_empty() {
            return Ok(Next::Nothing);
        }
        let (snapshots, repacked) = self.documents(&all, &seqs).await?;
        let named = |is_whole: bool| {
            let of = losses.values().filter(move |(_id, loss)| loss.is_whole() == is_whole);
            of.map(|(id, _loss)| *id).collect()
        };
        let record = ErasureRecord {
            target: self.request.target.clone(),
            reason: self.request.reason.clone(),
            by: self.request.by.clone(),
            changes: named(true),
            beside: named(false),
            documents: snapshots.len(),
            originals: originals.len(),
            sealed_under: if originals.is_empty() { Vec::new() } else { sealed_under },
            leaves: draft.told,
        };
        let step = EraseStep {
            holds: self.held.word,
            records: draft.records,
            leaves: draft.leaves,
            originals,
            touched,
            snapshots,
            repacked,
            event: record.event(now),
        };
        Ok(Next::Step(Box::new(step), Box::new(record)))
    }

    /// What is left of all records that repeat what goes; `None` where some are not in the tree.
    async fn draft(
        &self,
        losses: &BTreeMap<i64, (ChangeId, Loss)>,
    ) -> Result<Option<Draft>, Boxed> {
        let seqs: Vec<i64> = losses.keys().copied().collect();
        let mut all = self.reads.sealed_records(LeafKind::Change, &seqs).await?;
        if all.len() < seqs.len() {
            return Ok(None);
        }
        let whole = losses.values().filter(|(_id, loss)| loss.is_whole()).map(|(id, _loss)| *id);
        let (asked, steps) = self.reads.reasons_of(&whole.collect::<Vec<_>>()).await?;
        let others = [
            (LeafKind::Event, self.events(losses, &all).await?),
            (LeafKind::Late, self.reads.late(&seqs).await?),
            (LeafKind::Approval, asked),
            (LeafKind::Step, steps),
        ];
        for (kind, references) in others {
            let found = self.reads.sealed_records(kind, &references).await?;
            if found.len() < references.len() {
                return Ok(None);
            }
            all.extend(found);
        }
        all.sort_unstable_by_key(|record| record.position);
        let mut draft = Draft::default();
        for record in all {
            let loss = losses.get(&record.reference).map(|(_id, loss)| *loss);
            draft.add(record, loss, &self.before)?;
        }
        Ok(Some(draft))
    }

    /// Events that repeat something of these changes.
    async fn events(
        &self,
        losses: &BTreeMap<i64, (ChangeId, Loss)>,
        records: &[SealedRecord],
    ) -> Result<Vec<i64>, Boxed> {
        let ids: BTreeMap<String, Loss> =
            losses.values().map(|(id, loss)| (id.to_string(), *loss)).collect();
        // Events name the deployment or, of a create that asked for approval, the change alone.
        let names: BTreeSet<String> = records
            .iter()
            .flat_map(|record| {
                let deployment = record.row.text("deployment_id").map(str::to_owned);
                let is_create = record.row.text("operation") == Some("create");
                let id = losses.get(&record.reference).map(|(id, _loss)| id.to_string());
                let id = id.filter(|_| is_create || deployment.is_none());
                deployment.into_iter().chain(id)
            })
            .collect();
        let mut found = BTreeSet::new();
        for name in names {
            let mut after = 0;
            loop {
                let words = self.reads.repeating(&name, after, EVENTS).await?;
                let Some(last) = words.last() else { break };
                after = last.seq;
                for word in words {
                    let detail: Map<String, Value> = serde_json::from_str(&word.detail)?;
                    let named = ["change", "after"].map(|member| detail.get(member));
                    let loss = named.into_iter().flatten().filter_map(Value::as_str);
                    let is_of_it = loss
                        .filter_map(|id| ids.get(id))
                        .any(|loss| loss.is_whole() || detail.contains_key("diff"));
                    if is_of_it && left::repeats(&detail) {
                        found.insert(word.seq);
                    }
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Of the documents that these changes lose: those that nobody names then, with what was built
    /// upon them and is named by nobody; and those that are, as they stand alone.
    async fn documents(
        &self,
        all: &[(Halves, Loss)],
        changes: &[i64],
    ) -> Result<(Vec<i64>, Vec<(i64, Vec<u8>)>), Boxed> {
        let lost: BTreeSet<i64> = all
            .iter()
            .flat_map(|(change, loss)| {
                let lost = |number: Option<i64>, is_lost: bool| number.filter(|_| is_lost);
                [
                    lost(change.before, loss.before()),
                    lost(change.after, loss.after()),
                    lost(change.late_after, loss.late_after()),
                ]
            })
            .flatten()
            .collect();
        let named: Vec<i64> = lost.iter().copied().collect();
        let used: BTreeSet<i64> = self.reads.used(&named, changes).await?.into_iter().collect();
        let mut going: BTreeSet<i64> = lost.difference(&used).copied().collect();
        let mut bases: Vec<i64> = going.iter().copied().collect();
        let mut anew = BTreeSet::new();
        while !bases.is_empty() {
            let built = self.reads.dependents(&bases, &[]).await?;
            bases.clear();
            for document in built.iter().filter(|document| !going.contains(&document.number)) {
                if document.is_used {
                    anew.insert(document.number);
                } else {
                    bases.push(document.number);
                }
            }
            going.extend(bases.iter().copied());
        }
        let (mut texts, mut repacked) = (self.reads.documents().await?, Vec::new());
        for number in anew {
            let text = texts.text(number).await?;
            let text =
                text.ok_or("a document of the log is gone: `changegate audit verify` tells")?;
            repacked.push((number, alone(&text)?));
        }
        Ok((going.into_iter().collect(), repacked))
    }
}

impl Draft {
    /// Adds a record, where it loses anything.
    fn add(
        &mut self,
        mut record: SealedRecord,
        loss: Option<Loss>,
        before: &LeftBefore,
    ) -> Result<(), Boxed> {
        let former = record.row.clone();
        let facts = record.facts()?;
        match (record.kind, loss) {
            (LeafKind::Change, Some(loss)) => left::change(&mut record.row, loss)?,
            (LeafKind::Late, Some(loss)) => left::late(&mut record.row, loss)?,
            (LeafKind::Approval | LeafKind::Step, _) => left::approval(&mut record.row),
            (LeafKind::Event, _) => left::event(&mut record.row)?,
            _repeats_nothing => {}
        }
        if record.row == former {
            return Ok(());
        }
        let is_unaltered = record.entry.as_deref().map_or_else(
            || facts.hash(&record.salt) == record.hash,
            |entry| before.is_left(&record, &facts, entry),
        );
        if !is_unaltered {
            let what = format!("{} {}", record.kind.name(), record.reference);
            return Err(EraseError::Altered(what).into());
        }
        let salt: Salt = random();
        let entry = record.entry.clone().unwrap_or_else(|| facts.entry(&record.salt));
        self.told.push((record.position, left_of(&record.facts()?, &salt)));
        let (position, former) = (record.position, record.salt);
        self.leaves.push(ErasedLeaf { position, entry, former, salt });
        self.records.push(record);
        Ok(())
    }
}
