//! A configuration on disk that is not in force, since it was refused.

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::clock::Timestamp;

/// A configuration on disk that is not in force: the former one is, policy included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedConfig {
    /// When a reading was refused first; none has succeeded since.
    pub since: Timestamp,
    /// The file and the place at fault. What is wrong there is for those who may read the event
    /// `reload`, or the diagnostic log.
    pub reason: String,
}
