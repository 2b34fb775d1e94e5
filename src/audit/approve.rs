//! What becomes of approvals, beside the changes that ask for them and use them.

use super::approval::Decision;
use super::entry::Entry;
use super::query::QueryError;
use super::{Audit, Unavailable};
use crate::base::clock::Timestamp;
use crate::policy::approvals::REASON_BYTES_MAX;

/// Why a decision does not count.
#[derive(Debug, thiserror::Error)]
pub enum UndecidedError {
    /// The approval is not, or no longer, one that can be decided so.
    #[error("the approval no longer stands as it did")]
    Overtaken,
    /// The log can't be written.
    #[error(transparent)]
    Unavailable(Unavailable),
}

impl Audit {
    /// Makes a decision durable. The store says whether it still can be made.
    pub async fn decide(&self, mut decision: Decision) -> Result<(), UndecidedError> {
        decision.reason = self.gateway_words(&decision.reason, REASON_BYTES_MAX);
        match self.submit(Entry::Decision(Box::new(decision))).await {
            Ok(_written) => Ok(()),
            Err(unavailable) if unavailable.is_refused => Err(UndecidedError::Overtaken),
            Err(unavailable) => Err(UndecidedError::Unavailable(unavailable)),
        }
    }

    /// Notes which approvals are over by `now`, where there are any.
    pub async fn expire_approvals(&self, now: Timestamp) -> Result<(), QueryError> {
        if !self.reader().any_over(now).await? {
            return Ok(());
        }
        let expired = self.submit(Entry::Expiry(now)).await;
        expired.map(drop).map_err(|unavailable| QueryError::Store(Box::new(unavailable)))
    }
}
