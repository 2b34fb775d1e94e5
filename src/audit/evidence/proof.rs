//! Proofs: that a leaf is in a tree, and that one tree is the beginning of another (RFC 6962, 2.1).
//! A plan names the hashes that a proof is made of, so that whoever holds them can fetch them
//! first.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::tree::{Hash, Node, TILE_LEVELS, fold, node_hash, perfect, subtrees};
use super::{base64, hash_from_base64};

/// How the text of a proof begins.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The most hashes of a proof: a tree has at most 2^63 leaves.
const HASHES_MAX: usize = 63;

/// Hashes that stand beside each other at a level of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    /// 0 are the leaves, 1 the roots over 256 of them, and so on.
    pub(crate) level: u8,
    pub(crate) range: Range<u64>,
}

/// The hashes at hand, by their levels of tiles and indexes.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<(u8, u64), Hash>);

/// A list of hashes to be made, each over a range of leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<Range<u64>>);

/// A proof that a leaf is in the tree of a checkpoint, in C2SP's form (tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeafProof {
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Hash>,
    /// The checkpoint with its signatures, word by word.
    pub(crate) checkpoint: String,
}

impl Known {
    /// Adds hashes that stand beside each other from `first` on.
    pub(crate) fn add(&mut self, level: u8, first: u64, hashes: &[Hash]) {
        self.0.extend((first..).zip(hashes).map(|(index, hash)| ((level, index), *hash)));
    }

    /// The root of a perfect subtree; `None` where what it is made of is not at hand.
    pub(crate) fn node(&self, node: Node) -> Option<Hash> {
        let Needed { level, range } = needed(node);
        let hashes: Option<Vec<Hash>> =
            range.map(|index| self.0.get(&(level, index)).copied()).collect();
        perfect(&hashes?)
    }

    /// The hash over a range of leaves, likewise.
    pub(crate) fn range(&self, range: &Range<u64>) -> Option<Hash> {
        let nodes = subtrees(range.start, range.end);
        let roots: Option<Vec<Hash>> = nodes.into_iter().map(|node| self.node(node)).collect();
        fold(&roots?)
    }
}

/// The hashes of tiles that a perfect subtree's root is made of.
fn needed(node: Node) -> Needed {
    let (level, above) = (node.level / TILE_LEVELS, node.level % TILE_LEVELS);
    Needed { level, range: node.index << above..(node.index + 1) << above }
}

impl Plan {
    /// The roots that a tree of that size falls into.
    pub(crate) fn of_tree(size: u64) -> Self {
        let range = |node: &Node| node.index << node.level..(node.index + 1) << node.level;
        Self(super::tree::peaks(size).iter().map(range).collect())
    }

    /// The path from a leaf to the root of a tree of that size; `None` where it is not in it.
    pub(crate) fn of_inclusion(index: u64, size: u64) -> Option<Self> {
        let mut ranges = Vec::new();
        let (mut from, mut to) = (0, size);
        if index >= size {
            return None;
        }
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                ranges.push(middle..to);
                to = middle;
            } else {
                ranges.push(from..middle);
                from = middle;
            }
        }
        ranges.reverse();
        Some(Self(ranges))
    }

    /// From the root of a tree of the size `former` to that of one of the size `size`; `None` where
    /// it is not the smaller one, or has no leaf.
    pub(crate) fn of_consistency(former: u64, size: u64) -> Option<Self> {
        if former == 0 || former > size {
            return None;
        }
        let mut ranges = Vec::new();
        let (mut from, mut to, mut is_whole) = (0, size, true);
        while former < to {
            let middle = from + split(to - from);
            if former <= middle {
                ranges.push(middle..to);
                to = middle;
            } else {
                ranges.push(from..middle);
                (from, is_whole) = (middle, false);
            }
        }
        if !is_whole {
            ranges.push(from..to);
        }
        ranges.reverse();
        Some(Self(ranges))
    }

    /// Everything that must be known to make it.
    pub(crate) fn needed(&self) -> Vec<Needed> {
        let nodes = self.0.iter().flat_map(|range| subtrees(range.start, range.end));
        nodes.map(needed).collect()
    }

    /// The hashes; `None` where something is not known.
    pub(crate) fn made(&self, known: &Known) -> Option<Vec<Hash>> {
        self.0.iter().map(|range| known.range(range)).collect()
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The root of the tree of that size that holds `leaf` at `index` by this path; `None` where the
/// path is no such one (RFC 9162, 2.1.3.2).
pub(crate) fn root_by(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut root) = (index, size - 1, leaf);
    for hash in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(hash, &root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

impl LeafProof {
    /// The proof from its text; `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != HEADER {
            return None;
        }
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next()?.strip_prefix("index ")?;
        let is_plain = index == "0" || !index.starts_with(['0', '+']);
        let index = index.parse().ok().filter(|_| is_plain)?;
        let hashes: Option<Vec<Hash>> = lines.map(hash_from_base64).collect();
        let hashes = hashes.filter(|hashes| hashes.len() <= HASHES_MAX)?;
        Some(Self { index, hashes, checkpoint: checkpoint.to_owned() })
    }
}

impl fmt::Display for LeafProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::evidence::tree::{Frontier, leaf_hash};

    fn grown(size: u64) -> (Known, Frontier, Vec<Hash>) {
        let (mut known, mut frontier) = (Known::default(), Frontier::default());
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for (index, leaf) in (0..).zip(&leaves) {
            known.add(0, index, &[*leaf]);
            for full in frontier.append(*leaf) {
                known.add(full.level, full.index, &[full.hash]);
            }
        }
        (known, frontier, leaves)
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_nothing_else() {
        for size in 1..70 {
            let (known, frontier, leaves) = grown(size);
            for (index, leaf) in (0..size).zip(&leaves) {
                let path = Plan::of_inclusion(index, size).unwrap().made(&known).unwrap();
                assert_eq!(root_by(*leaf, index, size, &path), Some(frontier.root()));
                let beside = root_by(*leaf, index ^ 1, size, &path);
                assert!(size == 1 || beside != Some(frontier.root()));
                let longer = [&path[..], &[*leaf]].concat();
                assert_ne!(root_by(*leaf, index, size, &longer), Some(frontier.root()));
            }
            assert!(Plan::of_inclusion(size, size).is_none());
        }
    }

    #[test]
    fn a_large_tree_is_proven_by_few_hashes_of_tiles() {
        let size = 70_001;
        let (known, frontier, leaves) = grown(size);
        for index in [0, 255, 256, 65_535, 65_536, 69_999, 70_000] {
            let plan = Plan::of_inclusion(index, size).unwrap();
            let fetched: u64 =
                plan.needed().iter().map(|all| all.range.end - all.range.start).sum();
            assert!(fetched <= 3 * 256, "{fetched}");
            let path = plan.made(&known).unwrap();
            let leaf = leaves[usize::try_from(index).unwrap()];
            assert_eq!(root_by(leaf, index, size, &path), Some(frontier.root()));
        }
        let roots = Plan::of_tree(size).made(&known).unwrap();
        assert_eq!(Frontier::new(size, roots).unwrap(), frontier);
    }

    #[test]
    fn consistency_proofs_are_those_of_rfc_6962() {
        let (known, _, leaves) = grown(7);
        let over = |from: usize, to: usize| {
            let mut frontier = Frontier::default();
            leaves[from..to].iter().for_each(|leaf| drop(frontier.append(*leaf)));
            frontier.root()
        };
        // The examples of 2.1.3.
        let cases = [
            (3, vec![leaves[2], leaves[3], over(0, 2), over(4, 7)]),
            (4, vec![over(4, 7)]),
            (6, vec![over(4, 6), leaves[6], over(0, 4)]),
            (7, vec![]),
        ];
        for (former, expected) in cases {
            let proof = Plan::of_consistency(former, 7).unwrap().made(&known).unwrap();
            assert_eq!(proof, expected, "{former}");
        }
        assert!(Plan::of_consistency(8, 7).is_none() && Plan::of_consistency(0, 7).is_none());
    }

    #[test]
    fn the_text_of_a_proof_is_read_back() {
        let checkpoint = "o\n3\nAAAA\n\n\u{2014} o AAAA\n".to_owned();
        let proof = LeafProof { index: 2, hashes: vec![[1; 32], [2; 32]], checkpoint };
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 2\nAQEB"), "{text}");
        assert_eq!(LeafProof::parse(&text).unwrap(), proof);
        let extra = text.replace("index", "extra AAAA\nindex");
        assert_eq!(LeafProof::parse(&extra).unwrap(), proof);
        for (part, other) in [("index 2", "index 02"), ("@v1", "@v2"), ("\n\n", "\n"), ("AQ", "A")]
        {
            assert!(LeafProof::parse(&text.replacen(part, other, 1)).is_none(), "{part}");
        }
    }
}
