//! The Merkle tree of RFC 6962, told by the roots of its perfect subtrees.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub(crate) type Hash = [u8; 32];

/// How many levels of the tree one level of tiles stands for.
pub(crate) const TILE_LEVELS: u8 = 8;

/// How many hashes a full tile holds.
pub(crate) const TILE_WIDTH: u64 = 1 << TILE_LEVELS;

/// The root of a perfect subtree, by where it stands: `index` counts subtrees of 2^`level` leaves
/// from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) level: u8,
    pub(crate) index: u64,
}

/// The root of a subtree that a level of tiles holds: it is full, once and for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// The level of tiles, 1 for subtrees of 256 leaves.
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) hash: Hash,
}

/// The right edge of a tree: everything that appending to it needs, whatever its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    /// The roots of [`peaks`], in their order.
    roots: Vec<Hash>,
}

/// The hash of a leaf.
pub(crate) fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of a node above two others.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of a tree without leaves.
pub(crate) fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

/// The perfect subtrees that the leaves from `from` up to `to` fall into, from the left. The range
/// is one of the tree's own: it begins where its largest subtree may.
pub(crate) fn subtrees(from: u64, to: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut from = from;
    while from < to {
        let level = (to - from).ilog2();
        nodes.push(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index: from >> level });
        from += 1 << level;
    }
    nodes
}

/// The perfect subtrees that a tree of that size falls into, from the left.
pub(crate) fn peaks(size: u64) -> Vec<Node> {
    subtrees(0, size)
}

/// The hash over perfect subtrees that stand beside each other, as [`subtrees`] tells them.
pub(crate) fn fold(roots: &[Hash]) -> Option<Hash> {
    let (last, before) = roots.split_last()?;
    Some(before.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}

/// The hash over the roots of as many equal subtrees as a power of two.
pub(crate) fn perfect(roots: &[Hash]) -> Option<Hash> {
    let mut row = roots.to_vec();
    while row.len() > 1 {
        row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}

impl Frontier {
    /// The frontier of a tree whose [`peaks`] have these roots.
    pub(crate) fn new(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == peaks(size).len()).then_some(Self { size, roots })
    }

    /// How many leaves the tree has.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Hash {
        fold(&self.roots).unwrap_or_else(empty_root)
    }

    /// Appends a leaf, and tells the subtrees that tiles hold and that are full with it.
    pub(crate) fn append(&mut self, leaf: Hash) -> Vec<Completed> {
        let (mut completed, mut hash) = (Vec::new(), leaf);
        let (mut level, mut index) = (0, self.size);
        self.size += 1;
        while index & 1 == 1
            && let Some(left) = self.roots.pop()
        {
            hash = node_hash(&left, &hash);
            (level, index) = (level + 1, index >> 1);
            if level % TILE_LEVELS == 0 {
                completed.push(Completed { level: level / TILE_LEVELS, index, hash });
            }
        }
        self.roots.push(hash);
        completed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::unhex;

    /// The leaves of the tests of Certificate Transparency's own implementations.
    pub(in crate::audit::evidence) const VECTORS: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    /// The roots over the first one, two and so on.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_rfc_6962() {
        let mut frontier = Frontier::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(frontier.root(), unhex(empty).unwrap());
        for (leaf, root) in VECTORS.iter().zip(ROOTS) {
            frontier.append(leaf_hash(&hex::decode(leaf).unwrap()));
            assert_eq!(frontier.root(), unhex(root).unwrap(), "{}", frontier.size());
        }
    }

    #[test]
    fn full_subtrees_are_told_once_each() {
        let mut frontier = Frontier::default();
        let leaves: Vec<Hash> = (0..70_000_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let all: Vec<Completed> = leaves.iter().flat_map(|leaf| frontier.append(*leaf)).collect();
        let ones: Vec<&Completed> = all.iter().filter(|full| full.level == 1).collect();
        assert_eq!((ones.len(), all.len()), (273, 274));
        for (full, leaves) in ones.iter().zip(leaves.chunks_exact(256)) {
            assert_eq!(full.hash, perfect(leaves).unwrap());
        }
        assert!(ones.iter().zip(0..).all(|(full, index)| full.index == index));
        let row: Vec<Hash> = ones[..256].iter().map(|full| full.hash).collect();
        assert!(all.iter().any(|full| full.level == 2 && Some(full.hash) == perfect(&row)));
        let roots = peaks(3).len();
        assert_eq!(roots, 2);
        assert!(Frontier::new(3, vec![[0; 32]]).is_none());
    }
}
