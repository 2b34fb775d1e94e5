//! A document that an entry names by the number under which the log has it.

use std::sync::Arc;

use super::Entry;
use super::former::Before;
use crate::audit::document::SnapshotRef;
use crate::audit::shown::Concealed;

impl Entry {
    /// Takes the deployment before along, where it named one that the log has under a number: it
    /// may have been erased meanwhile. Returns whether it did.
    pub(in crate::audit) fn files_anew(&mut self) -> bool {
        let (Self::Intent(opening) | Self::Whole(opening, _)) = self else { return false };
        let filed = opening.named.take().map(|named| named.document.file(None));
        let Some(Ok(filed)) = filed else { return false };
        opening.before = Some(filed);
        true
    }
}

impl Before {
    /// The deployment, where it is kept and filed by its number alone.
    pub(super) fn named(
        &self,
        filed: Option<&SnapshotRef>,
        is_kept: bool,
    ) -> Option<Arc<Concealed>> {
        let is_named = is_kept && matches!(filed, Some(SnapshotRef::Already(_)));
        is_named.then(|| Arc::clone(&self.concealed))
    }
}
