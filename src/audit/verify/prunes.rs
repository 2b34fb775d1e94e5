//! The prunes that the log tells of: what is gone by their word is told, not found.

use super::{FindingKind, Findings};
use crate::audit::pruned::{Positions, named_leaves};
use crate::audit::store::{Boxed, Reads};
use crate::base::clock::Timestamp;

/// All that was pruned.
pub(super) struct Prunes {
    pub(super) leaves: Positions,
    /// When the first and the last were.
    pub(super) times: (Timestamp, Timestamp),
    pub(super) count: usize,
}

impl Prunes {
    /// What the events say. That nobody has altered one of them is held against its own leaf.
    pub(super) async fn found(reads: &Reads, findings: &mut Findings) -> Result<Self, Boxed> {
        let words = reads.prune_words().await?;
        let mut leaves = Positions::default();
        for word in &words {
            if let Some(named) = named_leaves(&word.detail) {
                leaves.extend(named);
            } else {
                let about = format!("the prune (event seq {}) does not say of what", word.seq);
                findings.add(FindingKind::AlteredRecord, None, about);
            }
        }
        leaves.settle();
        let at = |word: Option<&crate::audit::store::Word>| {
            word.map_or(Timestamp::from_millis(0), |word| word.at)
        };
        Ok(Self { leaves, times: (at(words.first()), at(words.last())), count: words.len() })
    }
}
