//! The prunes that the log tells of: what is gone by their word is told, not found.

use super::{FindingKind, Findings};
use crate::audit::pruned::{Positions, named_leaves};
use crate::audit::store::{Boxed, Reads};
use crate::base::clock::Timestamp;

/// All that was pruned.
pub(super) struct Prunes {
    pub(super) leaves: Positions,
    /// When the first and the last were.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    pub(super) count: usize,
}

impl Prunes {
    /// What the events say. That nobody has altered one of them is held against its own leaf.
    pub(super) async fn found(reads: &Reads, findings: &mut Findings) -> Result<Self, Boxed> {
        let mut prunes = Self { leaves: Positions::default(), times: None, count: 0 };
        let mut after = 0;
        loop {
            let words = reads.prune_words(after).await?;
            let Some(last) = words.last() else { return Ok(prunes) };
            after = last.seq;
            let since = prunes.times.map_or(last.at, |(since, _until)| since);
            let since = words.first().map_or(since, |first| since.min(first.at));
            prunes.times = Some((since, last.at));
            prunes.count += words.len();
            for word in &words {
                if let Some(named) = named_leaves(&word.detail) {
                    prunes.leaves.extend(named);
                } else {
                    let about = format!("the prune (event seq {}) does not say of what", word.seq);
                    findings.add(FindingKind::AlteredRecord, None, about);
                }
            }
            // Those of many prunes lie side by side.
            prunes.leaves.settle();
        }
    }
}
