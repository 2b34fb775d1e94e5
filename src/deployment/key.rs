//! The name of a deployment among all that a gateway leads to.

use std::sync::Arc;

/// An upstream and the id that it gave the deployment. Two upstreams may give the same id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentKey {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// The id.
    pub id: String,
}

impl DeploymentKey {
    /// The deployment that `upstream` knows by `id`.
    #[must_use]
    pub fn new(upstream: &Arc<str>, id: impl Into<String>) -> Self {
        Self { upstream: Arc::clone(upstream), id: id.into() }
    }
}
