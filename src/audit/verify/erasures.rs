//! The erasures that the log tells of: what was taken out of records by their word is told, not
//! found, and what is left of them is held against it.

use std::collections::BTreeMap;

use super::{FindingKind, Findings};
use crate::audit::erased::{Left, named_leaves};
use crate::audit::store::{Boxed, Reads};
use crate::base::clock::Timestamp;

/// All that was erased.
pub(super) struct Erasures {
    /// The leaves of which a part of the record is gone, each with what is left by the newest word.
    pub(super) left: BTreeMap<u64, Left>,
    /// When the first and the last were.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    pub(super) count: usize,
}

impl Erasures {
    /// What the events say. That nobody has altered one of them is held against its own leaf.
    pub(super) async fn found(reads: &Reads, findings: &mut Findings) -> Result<Self, Boxed> {
        let mut erasures = Self { left: BTreeMap::new(), times: None, count: 0 };
        let mut after = 0;
        loop {
            let words = reads.erase_words(after).await?;
            let Some(last) = words.last() else { return Ok(erasures) };
            after = last.seq;
            for word in &words {
                let since = erasures.times.map_or(word.at, |(since, _until)| since);
                erasures.times = Some((since, word.at));
                erasures.count += 1;
                if let Some(named) = named_leaves(&word.detail) {
                    erasures.left.extend(named);
                } else {
                    let about =
                        format!("the erasure (event seq {}) does not say of what", word.seq);
                    findings.add(FindingKind::AlteredRecord, None, about);
                }
            }
        }
    }
}
