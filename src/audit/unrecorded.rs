//! Documents that are shown and never recorded.

use super::Audit;
use super::redact::Redactor;
use crate::base::ids::{Hex, random};
use crate::base::key::DigestScope;

impl Audit {
    /// A redactor for what is shown to one asker and never recorded. Its digests are of a scope of
    /// their own, so that nobody tests a guess at a secret of the log by sending it here.
    #[must_use]
    pub fn redactor_of_nothing_recorded(&self) -> Redactor {
        let scope = format!("not recorded {}", Hex(&random::<16>()));
        self.shared.redaction.load().within(DigestScope::Deployment(scope.into()))
    }
}
