//! Witnesses whose keys were named, and how far each has signed.

use serde::Serialize;

use crate::base::clock::Timestamp;

/// A witness whose key was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// The name of its key.
    pub name: String,
    /// The size of the largest tree that it signs and the log holds; null where it signs none.
    pub size: Option<u64>,
    /// When it signed that, as it says itself.
    pub at: Option<Timestamp>,
}

impl Witnessed {
    /// Whether it signs a tree of that size.
    pub(super) fn signs(&self, size: Option<u64>) -> bool {
        self.size.is_some() && self.size == size
    }

    /// The remark on one that does not sign the newest tree.
    pub(super) fn remark(&self) -> String {
        let name = &self.name;
        match (self.size, self.at) {
            (Some(size), Some(at)) => {
                format!("the witness {name} signs the first {size} alone, as of {at}")
            }
            _ => format!("the witness {name} signs none of these checkpoints"),
        }
    }
}
