//! The records held against the leaves: none without one, no number without a record, and each
//! document as it was.

use super::{FindingKind, Findings};
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::store::{Boxed, Gap, Reads, Unfit};

/// How many documents are read at once.
const DOCUMENTS: i64 = 512;

/// How many damaged documents are told of.
const DAMAGED_MAX: usize = 100;

/// Holds all records against the leaves; their documents too where all of the log is asked for.
pub(super) async fn hold(reads: &Reads, all: bool, findings: &mut Findings) -> Result<(), Boxed> {
    for kind in LeafKind::ALL {
        for row in reads.without_leaf(kind.number()).await? {
            let about = format!("{} {row} has no leaf", kind.name());
            findings.add(FindingKind::MissingLeaf, None, about);
        }
    }
    for Gap { kind, first, last } in reads.gaps().await? {
        let kind = LeafKind::numbered(kind).map_or("record", LeafKind::name);
        let which =
            if first == last { format!("seq {first}") } else { format!("seq {first} to {last}") };
        findings.add(FindingKind::Gap, None, format!("no {kind} has {which}"));
    }
    for Unfit { seq, id } in reads.neither_open_nor_ended().await? {
        let about = format!("the end of change {id} (seq {seq}) is gone");
        findings.add(FindingKind::MissingRecord, None, about);
    }
    if !all {
        return Ok(());
    }
    let (mut after, mut told) = (i64::MIN, 0);
    while let Some((last, damaged)) = reads.damaged_documents(after, DOCUMENTS).await? {
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
    }
    Ok(())
}
