//! The policy that a log in PostgreSQL serves to the gateways that share it.

use super::store;
use crate::base::database::PostgresUrl;
use crate::policy::Policy;

/// Why the log serves the same policy as before.
#[derive(Debug, thiserror::Error)]
#[error("the policy was not put into {database}")]
pub struct PushError {
    database: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Has the log at `url` serve a policy from now on, and tells whether it is another one than
/// before. Who has pushed it, the log itself knows.
pub async fn push_policy(url: &PostgresUrl, policy: &Policy) -> Result<bool, PushError> {
    let pushed = store::push_policy(url, policy).await;
    pushed.map_err(|source| PushError { database: url.to_string(), source })
}
