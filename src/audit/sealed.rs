//! Evidence that goes into the log beside the records it is of: hashes of leaves, and trees that
//! are signed.

use super::evidence::leaf::{Facts, Salt};
use super::evidence::tree::{Completed, Frontier, Hash};
use crate::base::clock::Timestamp;
use crate::base::ids::random;

/// Leaves that come into the tree together, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The position of the first one: the size of the tree before.
    pub(super) first: u64,
    pub(super) leaves: Vec<SealedLeaf>,
    /// The subtrees that are full with them.
    pub(super) completed: Vec<Completed>,
    /// The tree with them.
    pub(super) frontier: Frontier,
}

/// A leaf as it comes into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealedLeaf {
    /// The number of its kind, and the row of its record.
    pub(super) record: (i64, i64),
    pub(super) hash: Hash,
    pub(super) salt: Salt,
}

/// A tree whose checkpoint was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedTree {
    pub(super) size: u64,
    pub(super) at: Timestamp,
    pub(super) note: String,
}

impl Sealed {
    /// Puts records into the tree that `frontier` is of, each under a salt of its own.
    pub(super) fn of(frontier: &Frontier, records: &[(i64, Facts)]) -> Self {
        let mut sealed = Self {
            first: frontier.size(),
            leaves: Vec::with_capacity(records.len()),
            completed: Vec::new(),
            frontier: frontier.clone(),
        };
        for (reference, facts) in records {
            let salt: Salt = random();
            let hash = facts.hash(&salt);
            sealed.completed.extend(sealed.frontier.append(hash));
            let record = (facts.kind.number(), *reference);
            sealed.leaves.push(SealedLeaf { record, hash, salt });
        }
        sealed
    }

    /// The hashes and salts, one after the other, 64 bytes a leaf.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.leaves.iter().flat_map(|leaf| [leaf.hash, leaf.salt]).flatten().collect()
    }
}
