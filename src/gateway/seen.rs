//! A deployment as upstream has shown it.

use std::sync::Arc;

use serde_json::Value;

use super::memory::parsed_bytes;

/// A deployment, and how much there is of it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) document: Arc<Value>,
    /// Bytes of its text.
    pub(super) bytes: usize,
    /// Bytes that it takes in memory.
    pub(super) parsed_bytes: usize,
}

impl Seen {
    pub(super) fn new(document: Value, bytes: usize) -> Self {
        let parsed_bytes = parsed_bytes(&document);
        Self { document: Arc::new(document), bytes, parsed_bytes }
    }
}
