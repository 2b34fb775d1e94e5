//! Every change that a filter finds, one after the other, to be judged anew.

use super::{Filter, NAMED_MAX, QueryError, Reader, RecordedChange};
use crate::audit::question::KnownPolicy;
use crate::audit::store;

/// A walk through recorded changes, deployment by deployment, in memory that does not grow with
/// them.
pub struct Walk(store::Walk);

impl Walk {
    /// The place of the newest change that there was when it began.
    #[must_use]
    pub fn until(&self) -> i64 {
        self.0.until()
    }

    /// The same changes by pages of 64, the newest first: who needs but those stops there.
    #[must_use]
    pub fn newest_first(self) -> Self {
        Self(self.0.newest_first())
    }

    /// The next changes; none at the end.
    pub async fn next(&mut self) -> Result<Vec<RecordedChange>, QueryError> {
        self.0.next().await.map_err(QueryError::Store)
    }
}

impl Reader {
    /// Walks through the changes that a filter finds. Where it is narrowed by time, actor,
    /// deployment and the like, they come by deployment, the oldest of each first; where only an
    /// index finds them, page by page.
    pub async fn walk(&self, filter: &Filter) -> Result<Walk, QueryError> {
        let filter = self.with_named(filter.clone(), NAMED_MAX).await?;
        self.reads.walk(&filter).await.map(Walk).map_err(QueryError::Store)
    }

    /// The digest of the policy that the log serves to the gateways that share it; `None` where it
    /// serves none.
    pub async fn served_policy(&self) -> Result<Option<String>, QueryError> {
        self.reads.served_policy().await.map_err(QueryError::Store)
    }

    /// Whether the log may serve a policy.
    #[must_use]
    pub fn may_serve_policy(&self) -> bool {
        self.reads.are_shared()
    }

    /// The newest 200 policies that changes were judged by.
    pub async fn known_policies(&self) -> Result<Vec<KnownPolicy>, QueryError> {
        self.reads.known_policies().await.map_err(QueryError::Store)
    }

    /// The text of the policy of this digest, where a change was judged by it.
    pub async fn policy(&self, digest: &str) -> Result<Option<String>, QueryError> {
        self.reads.policy(digest).await.map_err(QueryError::Store)
    }
}
