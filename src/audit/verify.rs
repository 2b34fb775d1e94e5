//! The log held against its own evidence: every record against its leaf, every leaf against the
//! tree, the tree against the checkpoints that were signed.

mod ahead;
mod beside;
mod checkpoints;
mod erasures;
mod leaves;
mod prunes;
mod records;
mod task;
mod witnessed;

use std::mem::take;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::ahead::Ahead;
use self::beside::RowsBeside;
use self::checkpoints::Signed;
use self::erasures::Erasures;
use self::leaves::Pass;
use self::prunes::Prunes;
pub(super) use self::task::VerificationFigures;
pub use self::task::{LastVerification, Verifying};
pub use self::witnessed::Witnessed;
use super::erase::waiting;
use super::evidence::note::VerifierKey;
use super::query::{QueryError, Reader};
use super::store::{Boxed, Reads};
use crate::base::clock::Timestamp;
use crate::base::count::{counted, numbered};

/// The most findings that are told one by one.
const FINDINGS_MAX: usize = 1_000;

/// The remark on a log in PostgreSQL.
const NOT_FOUND_IN_POSTGRES: &str =
    "that an intent was deleted before its end is not found in PostgreSQL, whose numbers have gaps";

/// The terms of a verification: keys, checkpoints and a time that it takes beside the log.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The keys that may have signed, as verifiers take them; where there are none, those that the
    /// log names itself.
    pub keys: Vec<String>,
    /// The keys of witnesses, which are beside those.
    pub witness_keys: Vec<String>,
    /// Checkpoints from elsewhere, each with the name that findings call it by.
    pub checkpoints: Vec<(String, String)>,
    /// Only what came at or after it.
    pub since: Option<Timestamp>,
    /// How much of the processor it takes.
    pub pace: Pace,
}

/// How much of the processor a verification takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// All that it can.
    #[default]
    Full,
    /// A fourth of a core at most: it rests after each part. The structure of a file is not looked
    /// at, for that is one long question.
    Beside,
}

impl Pace {
    /// Rests after a part that was begun then.
    async fn rest(self, begun: Instant) {
        if self == Self::Beside {
            sleep(begun.elapsed() * 3).await;
        }
    }
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A record is not what its leaf says.
    AlteredRecord,
    /// A hash of the tree is not what it was.
    AlteredHash,
    /// A record has no leaf.
    MissingLeaf,
    /// A leaf has no record.
    MissingRecord,
    /// A number was given, and nothing has it.
    Gap,
    /// The log holds less than a checkpoint says.
    CutTail,
    /// No signature holds.
    Unsigned,
    /// A key signs that was not named.
    UnknownKey,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    #[serde(rename = "finding")]
    pub kind: FindingKind,
    /// The leaf, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<u64>,
    /// The place or record that it is about, in words.
    pub about: String,
}

/// The result of a verification.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Everything that does not hold, as far as it is told one by one.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    /// How many findings there are.
    pub found: u64,
    /// How many leaves were looked at.
    pub leaves: u64,
    /// How many of their records are gone, as the log says by which prune.
    pub pruned: u64,
    /// Of how many a part is gone, as the log says by which erasure.
    pub erased: u64,
    /// The size of the largest tree that a checkpoint signs and the log holds.
    pub signed: Option<u64>,
    /// Until when it was the newest one at least, by the clock's signature.
    pub signed_at: Option<Timestamp>,
    /// The keys that signed it.
    pub keys: Vec<String>,
    /// The witnesses whose keys were named.
    pub witnesses: Vec<Witnessed>,
    /// Remarks beside the findings.
    pub notes: Vec<String>,
}

/// A key that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is no verifier's key.
    #[error("{0} is no key of a verifier: copy the whole line, NAME+ID+KEY")]
    BadKey(String),
    /// The log can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl FindingKind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AlteredRecord => "altered-record",
            Self::AlteredHash => "altered-hash",
            Self::MissingLeaf => "missing-leaf",
            Self::MissingRecord => "missing-record",
            Self::Gap => "gap",
            Self::CutTail => "cut-tail",
            Self::Unsigned => "unsigned",
            Self::UnknownKey => "unknown-key",
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.about)
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
struct Findings {
    told: Vec<Finding>,
    count: u64,
}

impl Findings {
    fn add(&mut self, kind: FindingKind, leaf: Option<u64>, about: String) {
        self.count += 1;
        if self.told.len() < FINDINGS_MAX {
            self.told.push(Finding { kind, leaf, about });
        }
    }

    /// Adds what was found elsewhere.
    fn add_all(&mut self, others: Self) {
        self.count += others.count;
        let room = FINDINGS_MAX.saturating_sub(self.told.len());
        self.told.extend(others.told.into_iter().take(room));
    }

    /// How many there are, and are told.
    fn mark(&self) -> (u64, usize) {
        (self.count, self.told.len())
    }

    /// Takes back what was found since.
    fn back(&mut self, (count, told): (u64, usize)) {
        self.count = count;
        self.told.truncate(told);
    }

    fn has(&self, kind: FindingKind) -> bool {
        self.told.iter().any(|finding| finding.kind == kind)
    }
}

impl Reader {
    /// Holds the log against its evidence. `progress` is told how many leaves of how many are done.
    pub async fn verify(
        &self,
        terms: &Terms,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Verified, VerifyError> {
        let all = terms.keys.iter().chain(&terms.witness_keys);
        let keys = all
            .map(|text| VerifierKey::parse(text).ok_or_else(|| VerifyError::BadKey(text.clone())));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let verified = verify(self.reads(), keys, terms, &mut progress).await;
        verified.map_err(|error| QueryError::Store(error).into())
    }
}

async fn verify(
    reads: &Reads,
    keys: Vec<VerifierKey>,
    terms: &Terms,
    progress: &mut (impl FnMut(u64, u64) + Send),
) -> Result<Verified, Boxed> {
    let mut findings = Findings::default();
    let structure = match (terms.since, terms.pace) {
        (None, Pace::Full) => {
            reads.structure().await.unwrap_or_else(|error| vec![error.to_string()])
        }
        _only_records => Vec::new(),
    };
    for broken in structure {
        let about = format!("the file itself is damaged: {broken}");
        findings.add(FindingKind::AlteredRecord, None, about);
    }
    let size = reads.tree_size().await?;
    let signed = Signed::found(reads, keys, terms, &mut findings).await?;
    let end = reads.leaves_end().await?;
    let from = match terms.since {
        Some(time) => reads.position_since(time).await?.min(size) / 256 * 256,
        None => 0,
    };
    let mut prunes = Prunes::found(reads, &mut findings).await?;
    let mut erasures = Erasures::found(reads, &mut findings).await?;
    let of = (signed.sizes(), take(&mut prunes.leaves), take(&mut erasures.left));
    let mut pass = Pass::begin(reads, from, size, of).await?;
    let mut ahead = Ahead::of(reads);
    let mut beside = RowsBeside::of(reads, terms.pace);
    while pass.at() < end {
        let begun = Instant::now();
        let told = pass.part(&mut ahead, (end, terms.pace), &mut findings).await?;
        beside.add(told, &mut findings).await?;
        progress(pass.at(), end);
        terms.pace.rest(begun).await;
    }
    beside.hold(&mut findings).await?;
    let (pruned, erased) = (pass.pruned(), pass.erased());
    pass.end(&signed, &mut findings);
    if end < size && !findings.has(FindingKind::CutTail) {
        let about = format!("the tree has {size} leaves, and the log {end}: its end was cut");
        findings.add(FindingKind::CutTail, None, about);
    }
    records::hold(reads, terms.since.is_none(), terms.pace, &mut findings).await?;
    let mut notes = signed.notes();
    notes.extend(gone(reads, (pruned, &prunes), (erased, &erasures)).await?);
    let outside = reads.outside_of_tree().await?;
    if outside > 0 {
        let waiting = numbered(outside, "record is", "records are");
        notes.push(format!("{waiting} not in the tree yet"));
    }
    if from > 0 {
        notes.push(format!("the leaves before {from} were not looked at"));
    }
    if reads.are_shared() && terms.since.is_none() {
        notes.push(NOT_FOUND_IN_POSTGRES.to_owned());
    }
    let newest = signed.newest(end);
    let witnesses = signed.witnesses(end);
    let behind = |one: &&Witnessed| !one.signs(newest.map(|(size, _at)| size));
    notes.extend(witnesses.iter().filter(behind).map(Witnessed::remark));
    Ok(Verified {
        found: findings.count,
        findings: findings.told,
        leaves: end.saturating_sub(from),
        pruned,
        erased,
        signed: newest.map(|(size, _at)| size),
        signed_at: newest.and_then(|(_size, at)| at),
        keys: signed.keys(),
        witnesses,
        notes,
    })
}

/// Remarks on what is gone by the log's own word: so many records by prunes, and parts of so many
/// by erasures.
async fn gone(
    reads: &Reads,
    (pruned, prunes): (u64, &Prunes),
    (erased, erasures): (u64, &Erasures),
) -> Result<Vec<String>, Boxed> {
    let mut notes = Vec::new();
    if let Some((first, last)) = prunes.times.filter(|_| pruned > 0) {
        notes.push(format!(
            "{} pruned between {first} and {last}, by {}: `audit list --events`",
            numbered(pruned, "record was", "records were"),
            numbered(prunes.count, "event that says so", "events that say so")
        ));
    }
    if let Some((first, last)) = erasures.times.filter(|_| erased > 0) {
        notes.push(format!(
            "parts of {} were erased between {first} and {last}, by {}: `audit erase --status`",
            counted(erased, "record"),
            numbered(erasures.count, "event that says so", "events that say so")
        ));
    }
    let waiting = waiting(reads).await?;
    if waiting > 0 {
        notes.push(format!(
            "{} complete once `key rotate --seal` has destroyed the key of what was sealed",
            numbered(waiting, "of them is", "of them are")
        ));
    }
    Ok(notes)
}
