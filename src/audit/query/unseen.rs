//! The reason why the log does not show a deployment at a moment.

use super::{Filter, PageRequest, QueryError, Reader};
use crate::audit::pruned::{PrunedSpan, span};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;

/// The reason why the log does not show a deployment at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// It has no change of it at all.
    Never,
    /// The change that showed it was erased.
    Erased(ChangeId),
    /// Changes of that time were pruned, and may have shown it.
    Pruned(PrunedSpan),
    /// The log had not seen it until then.
    NotYet,
}

impl Reader {
    /// Tells why [`deployment_at`](Self::deployment_at) finds nothing.
    pub async fn why_unseen(
        &self,
        deployment_id: &str,
        time: Timestamp,
    ) -> Result<Unseen, QueryError> {
        if let Some(change) = self.erased_since(deployment_id, time, None).await? {
            return Ok(Unseen::Erased(change));
        }
        // Pruning leaves the newest change of each deployment.
        let filter = Filter { deployment_id: Some(deployment_id.to_owned()), ..Filter::default() };
        let newest = self.changes(&filter, PageRequest { limit: 1, cursor: None }, false).await?;
        if newest.data.is_empty() {
            return Ok(Unseen::Never);
        }
        let pruned = self.pruned_from_before(time).await?;
        Ok(pruned.map_or(Unseen::NotYet, Unseen::Pruned))
    }

    /// A prune that took changes received at or before `time`.
    async fn pruned_from_before(&self, time: Timestamp) -> Result<Option<PrunedSpan>, QueryError> {
        let mut after = 0;
        loop {
            let words = self.reads.prune_words(after).await.map_err(QueryError::Store)?;
            let Some(last) = words.last() else { return Ok(None) };
            after = last.seq;
            let mut spans = words.iter().filter_map(|word| span(word.at, &word.detail));
            if let Some(span) = spans.find(|span| span.since <= time) {
                return Ok(Some(span));
            }
        }
    }
}
