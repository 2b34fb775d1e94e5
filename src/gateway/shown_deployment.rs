//! A deployment as upstream has shown it.

use serde_json::Value;

use super::memory::parsed_bytes;
use crate::audit::Shown;

/// A deployment, and how much there is of it.
#[derive(Clone, Debug)]
pub(super) struct ShownDeployment {
    pub(super) shown: Shown,
    /// Bytes of its text.
    pub(super) bytes: usize,
    /// Bytes that it takes in memory.
    pub(super) parsed_bytes: usize,
}

impl ShownDeployment {
    pub(super) fn new(document: Value, bytes: usize) -> Self {
        let parsed_bytes = parsed_bytes(&document);
        Self { shown: document.into(), bytes, parsed_bytes }
    }

    pub(super) fn document(&self) -> &Value {
        self.shown.value()
    }
}
