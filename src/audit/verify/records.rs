//! The records held against the leaves: none without one, no number without a record, and each
//! document as it was.

use tokio::time::Instant;

use super::{FindingKind, Findings, Pace};
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::store::{Boxed, Gap, Reads, Unfit};

/// How many numbers are looked at together, and the most ranges of them.
const NUMBERS: i64 = 1 << 16;
const RANGES_MAX: i64 = 1 << 16;

/// How many documents are read at once.
const DOCUMENTS: i64 = 512;

/// How many damaged documents are told of.
const DAMAGED_MAX: usize = 100;

/// Holds all records against the leaves; their documents too where all of the log is asked for.
pub(super) async fn hold(
    reads: &Reads,
    all: bool,
    pace: Pace,
    findings: &mut Findings,
) -> Result<(), Boxed> {
    for kind in LeafKind::ALL {
        of_kind(reads, kind, pace, findings).await?;
    }
    for seq in reads.still_pending().await? {
        let about =
            format!("the change of seq {seq} has ended, and `pending` tells that it is open");
        findings.add(FindingKind::AlteredRecord, None, about);
    }
    for number in reads.same_places().await? {
        let about = format!("a place (number {number}) is there more than once in `places`");
        findings.add(FindingKind::AlteredRecord, None, about);
    }
    if all { documents(reads, pace, findings).await } else { Ok(()) }
}

/// Holds the records of a kind against the leaves, by ranges of their numbers.
async fn of_kind(
    reads: &Reads,
    kind: LeafKind,
    pace: Pace,
    findings: &mut Findings,
) -> Result<(), Boxed> {
    let last = reads.last_number(kind.number()).await?.max(1);
    // Who forges a number does not make this longer.
    let width = NUMBERS.max(last / RANGES_MAX);
    let (mut first, mut gap): (i64, Option<Gap>) = (1, None);
    while first <= last {
        let begun = Instant::now();
        let end = first.saturating_add(width).min(last);
        let from = if first == 1 { -i64::MAX } else { first };
        for row in reads.without_leaf(kind.number(), from..=end).await? {
            let about = format!("{} {row} has no leaf", kind.name());
            findings.add(FindingKind::MissingLeaf, None, about);
        }
        for found in reads.gaps(kind.number(), first..=end).await? {
            match &mut gap {
                Some(gap) if gap.last.checked_add(1) == Some(found.first) => gap.last = found.last,
                _apart => tell_gap(gap.replace(found), findings),
            }
        }
        if kind == LeafKind::Change {
            for Unfit { seq, id } in reads.neither_open_nor_ended(from..=end).await? {
                let about = format!("the end of change {id} (seq {seq}) is gone");
                findings.add(FindingKind::MissingRecord, None, about);
            }
        }
        pace.rest(begun).await;
        let Some(next) = end.checked_add(1) else { break };
        first = next;
    }
    tell_gap(gap, findings);
    Ok(())
}

fn tell_gap(gap: Option<Gap>, findings: &mut Findings) {
    let Some(Gap { kind, first, last }) = gap else { return };
    let kind = LeafKind::numbered(kind).map_or("record", LeafKind::name);
    let which =
        if first == last { format!("seq {first}") } else { format!("seq {first} to {last}") };
    findings.add(FindingKind::Gap, None, format!("no {kind} has {which}"));
}

/// Reads every document whole.
async fn documents(reads: &Reads, pace: Pace, findings: &mut Findings) -> Result<(), Boxed> {
    let (mut after, mut told) = (i64::MIN, 0);
    loop {
        let begun = Instant::now();
        let Some((last, mut damaged)) = reads.damaged_documents(after, DOCUMENTS).await? else {
            return Ok(());
        };
        if !damaged.is_empty() {
            // One that was pruned, or packed anew, while it was read is sound or gone by now.
            let again = reads.damaged_documents(after, DOCUMENTS).await?;
            let again = again.map(|(_last, damaged)| damaged).unwrap_or_default();
            damaged.retain(|document| again.contains(document));
        }
        after = last;
        for document in damaged {
            told += 1;
            if told > DAMAGED_MAX {
                continue;
            }
            let changes = reads.changes_with(document).await?;
            if changes.is_empty() {
                let about = format!("document {document}, of no change, is not what it was");
                findings.add(FindingKind::AlteredRecord, None, about);
            }
            for Unfit { seq, id } in changes {
                let about = format!("a document of change {id} (seq {seq}) is not what it was");
                findings.add(FindingKind::AlteredRecord, None, about);
            }
        }
        pace.rest(begun).await;
    }
}
