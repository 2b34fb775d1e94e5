//! Records that earlier erasures took a part of: such a one fits its leaf no more, and is held
//! against the newest event that says what was left of it.

use std::collections::BTreeMap;

use crate::audit::erased::{Left, left, named_leaves};
use crate::audit::evidence::leaf::Facts;
use crate::audit::evidence::tree::leaf_hash;
use crate::audit::store::{Boxed, Reads, SealedRecord};

/// The leaves of which a part of the record is gone, as far as events were read.
#[derive(Debug, Default)]
pub(super) struct LeftBefore {
    left: BTreeMap<u64, Left>,
    /// The place of the last event.
    until: i64,
}

impl LeftBefore {
    /// Reads the events that have come since.
    pub(super) async fn follow(&mut self, reads: &Reads) -> Result<(), Boxed> {
        loop {
            let words = reads.erase_words(self.until).await?;
            let Some(last) = words.last() else { return Ok(()) };
            self.until = last.seq;
            self.left.extend(words.iter().filter_map(|word| named_leaves(&word.detail)).flatten());
        }
    }

    /// Whether the facts of a record are what was left of it, and what its leaf shows.
    pub(super) fn is_left(&self, record: &SealedRecord, facts: &Facts, entry: &[u8]) -> bool {
        leaf_hash(entry) == record.hash
            && facts.is_shown_by(entry)
            && self.left.get(&record.position) == Some(&left(facts, &record.salt))
    }
}
