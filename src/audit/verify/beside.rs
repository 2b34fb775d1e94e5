//! What lies beside the records, held against what they tell of it: the rows by which filters find
//! them (`touched`, `broken`, `spans`), and sealed originals.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

use serde::Deserialize;
use tokio::time::Instant;

use super::{FindingKind, Findings, Pace};
use crate::audit::evidence::leaf::{Facts, LeafKind};
use crate::audit::originals::{Half, digest};
use crate::audit::store::{BLOCK_BITS, Boxed, FoundRecord, LeafRow, Reads};
use crate::audit::touched::TouchedDigest;
use crate::base::ids::unhex;

/// How many records are gathered before the rows beside them are read: each place that was ever
/// touched is looked for once for so many.
const GATHERED: usize = 1 << 16;

/// How many changes the rules that they broke are read of at once.
const RULES_PART: usize = 1 << 11;

/// How many changes are asked for at once whether they are whole.
const WHOLE_PART: usize = 512;

type HalfDigest = [u8; 16];

/// A record that is whole, as far as it tells of what lies beside it.
pub(super) struct Told {
    seq: i64,
    /// The change's id.
    id: String,
    /// `None` of an end that came late.
    change: Option<ToldOfChange>,
    /// The digests of its originals, by their halves.
    originals: Vec<(Half, HalfDigest)>,
}

struct ToldOfChange {
    received_at: i64,
    touched: Option<HalfDigest>,
    rules: BTreeSet<String>,
}

/// The name of the rule of a violation.
#[derive(Deserialize)]
struct Broken {
    rule: String,
}

/// What is wrong beside a record.
struct Amiss {
    seq: i64,
    kind: FindingKind,
    about: String,
}

/// The records of which what lies beside them was not looked at yet.
pub(super) struct RowsBeside<'r> {
    reads: &'r Reads,
    pace: Pace,
    gathered: Vec<Told>,
}

impl Told {
    /// The part of a leaf's record; `None` of one that is not whole, or tells nothing of the kind.
    pub(super) fn of(leaf: &LeafRow) -> Option<Self> {
        let FoundRecord::Whole(facts) = &leaf.found else { return None };
        if leaf.entry.is_some() || leaf.salt.is_none() {
            return None;
        }
        match facts.kind {
            LeafKind::Change => Self::of_change(facts),
            LeafKind::Late => {
                let originals = original(facts, "sealed", Half::End).into_iter().collect();
                Some(Self {
                    seq: facts.value("seq")?,
                    id: facts.value("change")?,
                    change: None,
                    originals,
                })
            }
            _another => None,
        }
    }

    fn of_change(facts: &Facts) -> Option<Self> {
        let broken: Option<String> = facts.value("violations");
        let broken = broken.and_then(|text| serde_json::from_str::<Vec<Broken>>(&text).ok());
        let rules = broken.unwrap_or_default().into_iter().map(|broken| broken.rule).collect();
        let change = ToldOfChange {
            received_at: facts.value("received_at")?,
            touched: half_digest(facts, "touched"),
            rules,
        };
        let sealed = original(facts, "sealed", Half::Intent);
        let after = original(facts, "after_sealed", Half::End);
        let originals = sealed.into_iter().chain(after).collect();
        let (seq, id) = (facts.value("seq")?, facts.value("id")?);
        Some(Self { seq, id, change: Some(change), originals })
    }

    fn amiss(&self, kind: FindingKind, what: &str) -> Amiss {
        let Self { seq, id, .. } = self;
        Amiss { seq: *seq, kind, about: format!("{what} change {id} (seq {seq})") }
    }
}

fn half_digest(facts: &Facts, name: &str) -> Option<HalfDigest> {
    facts.value::<String>(name).and_then(|digits| unhex(&digits))
}

fn original(facts: &Facts, name: &str, half: Half) -> Option<(Half, HalfDigest)> {
    half_digest(facts, name).map(|digest| (half, digest))
}

impl<'r> RowsBeside<'r> {
    pub(super) fn of(reads: &'r Reads, pace: Pace) -> Self {
        Self { reads, pace, gathered: Vec::new() }
    }

    /// Adds records, and holds what lies beside them once there are many.
    pub(super) async fn add(
        &mut self,
        told: Vec<Told>,
        findings: &mut Findings,
    ) -> Result<(), Boxed> {
        self.gathered.extend(told);
        if self.gathered.len() >= GATHERED { self.hold(findings).await } else { Ok(()) }
    }

    /// Holds what lies beside the records that were added. Where something seems amiss, it looks
    /// again: what was pruned or erased meanwhile is no finding.
    pub(super) async fn hold(&mut self, findings: &mut Findings) -> Result<(), Boxed> {
        let mut told = take(&mut self.gathered);
        told.sort_by_key(|told| told.seq);
        let amiss: BTreeSet<i64> =
            self.amiss(&told).await?.into_iter().map(|amiss| amiss.seq).collect();
        if amiss.is_empty() {
            return Ok(());
        }
        let mut whole = BTreeSet::new();
        for part in amiss.into_iter().collect::<Vec<_>>().chunks(WHOLE_PART) {
            whole.extend(self.reads.whole(part).await?);
        }
        told.retain(|told| whole.contains(&told.seq));
        for Amiss { kind, about, .. } in self.amiss(&told).await? {
            findings.add(kind, None, about);
        }
        Ok(())
    }

    /// Everything that is amiss beside records, which are in the order of their changes.
    async fn amiss(&self, told: &[Told]) -> Result<Vec<Amiss>, Boxed> {
        let (Some(first), Some(last)) = (told.first(), told.last()) else { return Ok(Vec::new()) };
        let span = (first.seq, last.seq);
        let mut amiss = self.touched(told, span).await?;
        amiss.extend(self.broken(told).await?);
        amiss.extend(self.spans(told, span).await?);
        amiss.extend(self.originals(told, span).await?);
        Ok(amiss)
    }

    /// The rows that say where changes touched their deployments.
    async fn touched(&self, told: &[Told], span: (i64, i64)) -> Result<Vec<Amiss>, Boxed> {
        let mut found = vec![TouchedDigest::default(); told.len()];
        let mut behind = None;
        loop {
            let begun = Instant::now();
            let rows = self.reads.touched_places(span, behind).await?;
            let Some(last) = rows.last() else { break };
            behind = Some(last.place);
            for row in &rows {
                let changes = row.changes.as_deref().map(serde_json::from_str::<Vec<i64>>);
                for seq in changes.transpose()?.unwrap_or_default() {
                    let at = told.partition_point(|told| told.seq < seq);
                    let of_one = told.iter().enumerate().skip(at).take_while(|of| of.1.seq == seq);
                    for (at, _told) in of_one {
                        if let Some(digest) = found.get_mut(at) {
                            digest.add(&row.path, row.kind);
                        }
                    }
                }
            }
            self.pace.rest(begun).await;
        }
        let each = told.iter().zip(found).filter(|(told, found)| {
            told.change.as_ref().is_some_and(|change| change.touched != found.half())
        });
        let what = "`touched` does not have, or has more than, the places of";
        Ok(each.map(|(told, _found)| told.amiss(FindingKind::AlteredRecord, what)).collect())
    }

    /// The rows that say which rules changes broke.
    async fn broken(&self, told: &[Told]) -> Result<Vec<Amiss>, Boxed> {
        let mut amiss = Vec::new();
        for part in told.chunks(RULES_PART) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let begun = Instant::now();
            let mut found: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
            for (rule, seq) in self.reads.broken_within((first.seq, last.seq)).await? {
                found.entry(seq).or_default().insert(rule);
            }
            let none = BTreeSet::new();
            let what = "`broken` does not have, or has more than, the rules of";
            amiss.extend(part.iter().filter_map(|told| {
                let is_same = told.change.as_ref()?.rules == *found.get(&told.seq).unwrap_or(&none);
                (!is_same).then(|| told.amiss(FindingKind::AlteredRecord, what))
            }));
            self.pace.rest(begun).await;
        }
        Ok(amiss)
    }

    /// The rows that say when the changes of a block of places were received.
    async fn spans(&self, told: &[Told], span: (i64, i64)) -> Result<Vec<Amiss>, Boxed> {
        // Read first: what is counted by then has its row.
        let counted = self.reads.counted_until().await?;
        let spans = self.reads.spans(span).await?;
        let spans: BTreeMap<i64, (i64, i64)> =
            spans.into_iter().map(|row| (row.block, (row.first_at, row.last_at))).collect();
        let is_found = |seq: i64, at: i64| match spans.get(&(seq >> BLOCK_BITS)) {
            Some((first_at, last_at)) => (*first_at..=*last_at).contains(&at),
            None => false,
        };
        let what = "by `spans` a question for its time does not find";
        let each = told.iter().filter(|told| {
            let received_at = told.change.as_ref().map(|change| change.received_at);
            told.seq <= counted && received_at.is_some_and(|at| !is_found(told.seq, at))
        });
        Ok(each.map(|told| told.amiss(FindingKind::AlteredRecord, what)).collect())
    }

    /// The sealed originals, of which their own seal tells the rest.
    async fn originals(&self, told: &[Told], span: (i64, i64)) -> Result<Vec<Amiss>, Boxed> {
        let expected = told.iter().flat_map(|told| {
            told.originals
                .iter()
                .map(move |(half, digest)| ((told.seq, i64::from(half.number())), (told, *digest)))
        });
        let mut expected: BTreeMap<_, _> = expected.collect();
        let mut amiss = Vec::new();
        let mut behind = (i64::MIN, 0);
        while !expected.is_empty() {
            let begun = Instant::now();
            let rows = self.reads.original_bodies(span, behind).await?;
            let Some(last) = rows.last() else { break };
            behind = (last.seq, last.half);
            for row in &rows {
                let Some((told, expected)) = expected.remove(&(row.seq, row.half)) else {
                    continue;
                };
                if digest(&row.body) != expected {
                    let what = "a sealed original is not what was sealed of";
                    amiss.push(told.amiss(FindingKind::AlteredRecord, what));
                }
            }
            self.pace.rest(begun).await;
        }
        let what = "a sealed original is gone of";
        let gone = expected.into_values();
        amiss.extend(gone.map(|(told, _)| told.amiss(FindingKind::MissingRecord, what)));
        Ok(amiss)
    }
}
