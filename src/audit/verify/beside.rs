//! Rows beside the records, held against what the records tell of them: those by which filters find
//! records (`touched`, `broken`, `spans`), and sealed originals.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

use serde::Deserialize;
use tokio::time::Instant;

use super::{FindingKind, Findings, Pace};
use crate::audit::evidence::leaf::{Facts, LeafKind, Salt};
use crate::audit::originals::{Half, digest};
use crate::audit::record::Unkept;
use crate::audit::store::{BLOCK_BITS, Boxed, FoundRecord, LeafRow, OriginalBody, Reads};
use crate::audit::touched::TouchedDigest;
use crate::base::ids::unhex;

/// How many records are gathered before the rows beside them are read: each place that was ever
/// touched is looked for once for so many.
const GATHERED: usize = 1 << 16;

/// How many changes the rules that they broke are read of at once.
const RULES_PART: usize = 1 << 11;

/// How many leaves are asked for at once whether they are as they were.
const LEAVES_PART: usize = 512;

/// The longest stretch of places without a record of those that are looked at together.
const APART_MAX: i64 = 1 << 16;

type HalfDigest = [u8; 16];

/// A record that is whole, as far as it tells of what lies beside it.
pub(super) struct Told {
    /// The leaf's position, and the salt that it had.
    position: u64,
    salt: Salt,
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
    /// Whether a part was erased, which takes some of the rows of `touched` along.
    is_erased: bool,
    /// Whether another gateway ended it, so that its own end may have come late, with an original.
    is_swept: bool,
    rules: BTreeSet<String>,
}

/// The name of the rule of a violation.
#[derive(Deserialize)]
struct Broken {
    rule: String,
}

/// A fault beside a record.
struct Amiss {
    position: u64,
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
    /// The part of a leaf's record; `None` of one that is gone, or tells nothing of the kind.
    pub(super) fn of(leaf: &LeafRow) -> Option<Self> {
        let (FoundRecord::Whole(facts), Some(salt)) = (&leaf.found, leaf.salt) else { return None };
        let (id, change, originals) = match facts.kind {
            LeafKind::Change => {
                let sealed = original(facts, ("sealed", Half::Intent), "unkept");
                let after = original(facts, ("after_sealed", Half::End), "after_unkept");
                ("id", Some(of_change(facts, leaf.entry.is_some())?), [sealed, after])
            }
            LeafKind::Late => {
                ("change", None, [original(facts, ("sealed", Half::End), "unkept"), None])
            }
            _another => return None,
        };
        Some(Self {
            position: leaf.position,
            salt,
            seq: facts.value("seq")?,
            id: facts.value(id)?,
            change,
            originals: originals.into_iter().flatten().collect(),
        })
    }

    fn amiss(&self, kind: FindingKind, what: &str) -> Amiss {
        let Self { position, seq, id, .. } = self;
        let about = format!("{what} change {id} (seq {seq}, leaf {position})");
        Amiss { position: *position, kind, about }
    }
}

fn of_change(facts: &Facts, is_erased: bool) -> Option<ToldOfChange> {
    let broken: Option<String> = facts.value("violations");
    let broken = broken.and_then(|text| serde_json::from_str::<Vec<Broken>>(&text).ok());
    Some(ToldOfChange {
        received_at: facts.value("received_at")?,
        touched: half_digest(facts, "touched"),
        is_erased,
        is_swept: facts.value("swept").unwrap_or_default(),
        rules: broken.unwrap_or_default().into_iter().map(|broken| broken.rule).collect(),
    })
}

fn half_digest(facts: &Facts, name: &str) -> Option<HalfDigest> {
    facts.value::<String>(name).and_then(|digits| unhex(&digits))
}

/// The digest of an original; `None` where there is none, or it went with a body that was erased.
fn original(facts: &Facts, (name, half): (&str, Half), unkept: &str) -> Option<(Half, HalfDigest)> {
    let digest = half_digest(facts, name)?;
    let unkept: Option<String> = facts.value(unkept);
    let unkept = unkept.and_then(|text| serde_json::from_str::<Unkept>(&text).ok());
    unkept.is_none_or(|unkept| unkept.erased.is_empty()).then_some((half, digest))
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
        let amiss = self.amiss(&told).await?;
        if amiss.is_empty() {
            return Ok(());
        }
        let amiss: BTreeSet<i64> =
            amiss.iter().filter_map(|amiss| i64::try_from(amiss.position).ok()).collect();
        let mut salts = BTreeMap::new();
        for part in amiss.into_iter().collect::<Vec<_>>().chunks(LEAVES_PART) {
            salts.extend(self.reads.salts(part).await?);
        }
        // Pruning takes the salt, and erasing gives another one.
        told.retain(|told| {
            let position = i64::try_from(told.position).unwrap_or(i64::MAX);
            salts.get(&position).is_some_and(|salt| salt.as_deref() == Some(&told.salt))
        });
        for Amiss { kind, about, position } in self.amiss(&told).await? {
            findings.add(kind, Some(position), about);
        }
        Ok(())
    }

    /// Everything that is amiss beside records, which are in the order of their changes. Those that
    /// lie far apart, such as one that ended long after it came, are looked at by themselves.
    async fn amiss(&self, told: &[Told]) -> Result<Vec<Amiss>, Boxed> {
        let mut amiss = Vec::new();
        for told in told.chunk_by(|one, next| next.seq.saturating_sub(one.seq) <= APART_MAX) {
            let (Some(first), Some(last)) = (told.first(), told.last()) else { continue };
            let span = (first.seq, last.seq);
            amiss.extend(self.touched(told, span).await?);
            amiss.extend(self.broken(told).await?);
            amiss.extend(self.spans(told, span).await?);
            amiss.extend(self.originals(told, span).await?);
        }
        Ok(amiss)
    }

    /// The rows that say where changes touched their deployments.
    async fn touched(&self, told: &[Told], span: (i64, i64)) -> Result<Vec<Amiss>, Boxed> {
        let mut found = vec![TouchedDigest::default(); told.len()];
        let mut behind: Option<String> = None;
        loop {
            let begun = Instant::now();
            let rows = self.reads.touched_places(span, behind.as_deref()).await?;
            let Some(last) = rows.last() else { break };
            behind = Some(last.path.clone());
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
            let whole = told.change.as_ref().filter(|change| !change.is_erased);
            whole.is_some_and(|change| change.touched != found.half())
        });
        let what = "`touched` does not tell the same places as the record of";
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
            let what = "`broken` does not tell the same rules as the record of";
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
        let what = "`spans` hides from questions for its time";
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
        loop {
            let begun = Instant::now();
            let rows = self.reads.original_bodies(span, behind).await?;
            let Some(last) = rows.last() else { break };
            behind = (last.seq, last.half);
            for row in &rows {
                let Some((told, expected)) = expected.remove(&(row.seq, row.half)) else {
                    amiss.extend(unasked(told, row));
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

/// The fault of an original that the record of its change does not name.
fn unasked(told: &[Told], row: &OriginalBody) -> Option<Amiss> {
    let at = told.partition_point(|told| told.seq < row.seq);
    let mut of_one = told.iter().skip(at).take_while(|told| told.seq == row.seq);
    let told = of_one.find(|told| told.change.is_some())?;
    let is_of_late = row.half == i64::from(Half::End.number())
        && told.change.as_ref().is_some_and(|change| change.is_swept);
    let what = "a sealed original is not named by the record of";
    (!is_of_late).then(|| told.amiss(FindingKind::AlteredRecord, what))
}
