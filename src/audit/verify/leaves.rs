//! One pass over the leaves: each against its record, and all of them together against the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::ahead::Ahead;
use super::beside::Told;
use super::checkpoints::Signed;
use super::erasures::Erasures;
use super::prunes::Prunes;
use super::{FindingKind, Findings, Pace};
use crate::audit::erased::{Left, left};
use crate::audit::evidence::leaf::{Facts, LeafKind, Salt};
use crate::audit::evidence::tree::{Frontier, Hash, TILE_WIDTH, leaf_hash};
use crate::audit::hashes::frontier;
use crate::audit::pruned::Positions;
use crate::audit::store::{Boxed, FoundRecord, LeafRow, Reads};

/// How many leaves are read at once: whole tiles.
const PART: u64 = 16 * TILE_WIDTH;

/// The most times that a part that seems amiss is looked at again, and the most in a pass: in a log
/// that was altered all over, a second look shows what the first one did.
const LOOKS_MAX: usize = 2;
const SECOND_LOOKS_MAX: usize = 200;

/// A pass, as far as it has come.
#[derive(Clone)]
pub(super) struct Pass {
    from: u64,
    at: u64,
    /// How many leaves are in the tree.
    size: u64,
    /// The tree over the hashes as they lie there, and the one over those that the records have.
    stored: Frontier,
    derived: Frontier,
    /// Leaves since the last full tile whose records have other hashes.
    doubted: Vec<(u64, String)>,
    /// Full tiles whose hash is not the one that lies there, though every record fits its leaf.
    doubted_tiles: Vec<u64>,
    has_gaps: bool,
    /// The leaves whose records were pruned, by the log's word, and how many were found to be.
    pruned: Arc<Positions>,
    gone: u64,
    /// The same of those of which parts were erased, with what is left of each.
    erased: Arc<BTreeMap<u64, Left>>,
    in_part: u64,
    /// The sizes at which roots are asked for, and the two roots.
    sizes: BTreeSet<u64>,
    roots: BTreeMap<u64, (Hash, Hash)>,
    /// How often a part was looked at once more.
    second_looks: usize,
}

impl Pass {
    /// Begins at a leaf, of which the tree before is taken as it is.
    pub(super) async fn begin(
        reads: &Reads,
        from: u64,
        size: u64,
        (sizes, pruned, erased): (BTreeSet<u64>, Positions, BTreeMap<u64, Left>),
    ) -> Result<Self, Boxed> {
        let begin = if from == 0 { Frontier::default() } else { frontier(reads, from).await? };
        let mut pass = Self {
            from,
            at: from,
            size,
            stored: begin.clone(),
            derived: begin,
            doubted: Vec::new(),
            doubted_tiles: Vec::new(),
            has_gaps: false,
            pruned: Arc::new(pruned),
            gone: 0,
            erased: Arc::new(erased),
            in_part: 0,
            sizes,
            roots: BTreeMap::new(),
            second_looks: 0,
        };
        pass.note_root();
        Ok(pass)
    }

    /// The next leaf.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// How many records were found to be pruned.
    pub(super) fn pruned(&self) -> u64 {
        self.gone
    }

    /// How many records were found to be erased in part.
    pub(super) fn erased(&self) -> u64 {
        self.in_part
    }

    /// Looks at the next leaves, up to `end`, and gives what their records tell of what lies beside
    /// them. Where anything seems amiss, it looks again with
    /// the words that have come meanwhile: what is pruned or erased beside it is no finding.
    pub(super) async fn part(
        &mut self,
        ahead: &mut Ahead<'_>,
        (end, pace): (u64, Pace),
        findings: &mut Findings,
    ) -> Result<Vec<Told>, Boxed> {
        for _look in 0..LOOKS_MAX {
            let (former, before) = (self.clone(), findings.mark());
            let told = self.look(ahead, (end, pace), findings).await?;
            let is_sound = findings.mark() == before && self.doubted.len() <= former.doubted.len();
            if is_sound || self.second_looks >= SECOND_LOOKS_MAX {
                return Ok(told);
            }
            let second_looks = self.second_looks + 1;
            let mut told = Findings::default();
            let prunes = Prunes::found(ahead.reads(), &mut told).await?;
            let erasures = Erasures::found(ahead.reads(), &mut told).await?;
            findings.back(before);
            let (pruned, erased) = (Arc::new(prunes.leaves), Arc::new(erasures.left));
            *self = Self { pruned, erased, second_looks, ..former };
        }
        self.look(ahead, (end, pace), findings).await
    }

    /// Looks at the next leaves on a thread beside; at full pace, the ones after them are read
    /// meanwhile.
    async fn look(
        &mut self,
        ahead: &mut Ahead<'_>,
        (end, pace): (u64, Pace),
        findings: &mut Findings,
    ) -> Result<Vec<Told>, Boxed> {
        let until = (self.at + PART).min(end);
        let reads = ahead.reads();
        let leaves = match ahead.leaves(self.at..until).await {
            Ok(leaves) => leaves,
            Err(error) if reads.are_shared() => return Err(error),
            Err(error) => {
                let about = format!("the leaves from {} on can't be read: {error}", self.at);
                findings.add(FindingKind::AlteredRecord, Some(self.at), about);
                (self.has_gaps, self.at) = (true, until);
                return Ok(Vec::new());
            }
        };
        let tile = self.at / TILE_WIDTH;
        let tiles = reads.hashes(1, tile..until.div_ceil(TILE_WIDTH)).await.unwrap_or_default();
        let tiles: BTreeMap<u64, Hash> = (tile..).zip(tiles).collect();
        let mut pass = self.clone();
        let held = spawn_blocking(move || {
            let mut found = Findings::default();
            let told = leaves.iter().filter_map(Told::of).collect();
            pass.hold(leaves, until, &tiles, &mut found);
            (pass, found, told)
        });
        let next = if pace == Pace::Full { until..(until + PART).min(end) } else { 0..0 };
        let (held, ()) = tokio::join!(held, ahead.read(next));
        let (pass, found, told) = held?;
        *self = pass;
        findings.add_all(found);
        Ok(told)
    }

    fn hold(
        &mut self,
        leaves: Vec<LeafRow>,
        until: u64,
        tiles: &BTreeMap<u64, Hash>,
        findings: &mut Findings,
    ) {
        let mut leaves = leaves.into_iter().peekable();
        while self.at < until {
            match leaves.next_if(|leaf| leaf.position == self.at) {
                Some(leaf) => self.leaf(&leaf, tiles, findings),
                None => self.gap(tiles, findings),
            }
        }
    }

    /// A position that no leaf has.
    fn gap(&mut self, tiles: &BTreeMap<u64, Hash>, findings: &mut Findings) {
        // The end of the tree that is gone is told against the checkpoint.
        let about = format!("no leaf has the position {}", self.at);
        findings.add(FindingKind::Gap, Some(self.at), about);
        self.has_gaps = true;
        self.append([0; 32], [0; 32], tiles, findings);
    }

    fn leaf(&mut self, leaf: &LeafRow, tiles: &BTreeMap<u64, Hash>, findings: &mut Findings) {
        let what = what(leaf);
        let is_sealed = leaf.position < self.size || leaf.hash.is_some();
        let is_missing = matches!(leaf.found, FoundRecord::Missing) && leaf.entry.is_some();
        let derived = match (&leaf.found, &leaf.entry, &leaf.salt) {
            // Its hash is held against the tree alone. The event that names it is a leaf too, which
            // is held against its own.
            (FoundRecord::Missing, _, None) if self.is_pruned(leaf) => {
                self.gone += 1;
                let hash = leaf.hash.unwrap_or([0; 32]);
                return self.append(hash, hash, tiles, findings);
            }
            // A record that is not whole any more: its entry says what was.
            (FoundRecord::Whole(facts), Some(entry), Some(salt)) => {
                if let Some(about) = self.is_amiss(leaf.position, &what, facts, (entry, salt)) {
                    findings.add(FindingKind::AlteredRecord, Some(leaf.position), about);
                }
                self.in_part += 1;
                Some(leaf_hash(entry))
            }
            (FoundRecord::Whole(facts), None, Some(salt)) => {
                if self.erased.contains_key(&leaf.position) {
                    let about = format!("{what} is told to be erased, and is whole");
                    findings.add(FindingKind::AlteredRecord, Some(leaf.position), about);
                }
                Some(facts.hash(salt))
            }
            (FoundRecord::Missing, ..) => {
                let about = format!("{what} is gone: its leaf is there alone");
                findings.add(FindingKind::MissingRecord, Some(leaf.position), about);
                leaf.hash
            }
            (FoundRecord::Unreadable(error), ..) => {
                let about = format!("{what} can't be read: {error}");
                findings.add(FindingKind::AlteredRecord, Some(leaf.position), about);
                leaf.hash
            }
            (FoundRecord::Whole(_), _, None) => None,
        };
        if !is_sealed {
            self.at += 1;
            return;
        }
        let stored = leaf.hash.unwrap_or([0; 32]);
        let derived = derived.unwrap_or([0; 32]);
        if leaf.hash.is_none() || leaf.salt.is_none() && !is_missing {
            let about = format!("the hash or the salt of {what} is gone");
            findings.add(FindingKind::AlteredHash, Some(leaf.position), about);
        } else if stored != derived {
            self.doubted.push((leaf.position, what));
        }
        self.append(stored, derived, tiles, findings);
    }

    /// What is wrong with a record of which a part was erased: that no event says so, or that what
    /// is left is not what was left then, or what its leaf shows.
    fn is_amiss(
        &self,
        position: u64,
        what: &str,
        facts: &Facts,
        (entry, salt): (&[u8], &Salt),
    ) -> Option<String> {
        match self.erased.get(&position) {
            None => Some(format!("a part of {what} is gone, and no erasure says so")),
            Some(told) if *told != left(facts, salt) => {
                Some(format!("what is left of {what} is not what its erasure has left"))
            }
            Some(_) if !facts.is_shown_by(entry) => {
                Some(format!("what is left of {what} is not what its leaf says"))
            }
            Some(_) => None,
        }
    }

    /// Whether a prune names the leaf: one that was in the tree.
    fn is_pruned(&self, leaf: &LeafRow) -> bool {
        leaf.hash.is_some() && leaf.position < self.size && self.pruned.has(leaf.position)
    }

    fn append(
        &mut self,
        stored: Hash,
        derived: Hash,
        tiles: &BTreeMap<u64, Hash>,
        findings: &mut Findings,
    ) {
        let full = self.stored.append(stored);
        let own = self.derived.append(derived);
        self.at += 1;
        self.note_root();
        let (Some(full), Some(own)) = (full.first(), own.first()) else { return };
        let expected = tiles.get(&full.index);
        if expected == Some(&full.hash) {
            self.settle(FindingKind::AlteredRecord, findings);
        } else if expected == Some(&own.hash) {
            self.settle(FindingKind::AlteredHash, findings);
        } else {
            self.settle(FindingKind::AlteredRecord, findings);
            self.doubted_tiles.push(full.index);
        }
    }

    fn note_root(&mut self) {
        if self.sizes.contains(&self.at) {
            self.roots.insert(self.at, (self.stored.root(), self.derived.root()));
        }
    }

    /// Tells of the leaves that are in doubt.
    fn settle(&mut self, kind: FindingKind, findings: &mut Findings) {
        for (position, what) in self.doubted.drain(..) {
            let about = match kind {
                FindingKind::AlteredHash => format!("the hash of {what} is not that of its leaf"),
                _record => format!("{what} is not what its leaf says"),
            };
            findings.add(kind, Some(position), about);
        }
    }

    /// Holds the tree against what was signed.
    pub(super) fn end(mut self, signed: &Signed, findings: &mut Findings) {
        let roots = |pass: &Self, size: u64| pass.roots.get(&size).copied();
        let mut is_stored = false;
        let mut is_derived = false;
        for tree in signed.trees() {
            if let Some((stored, derived)) = roots(&self, tree.checkpoint.size) {
                is_stored |= stored == tree.checkpoint.root;
                is_derived |= derived == tree.checkpoint.root;
            }
        }
        let kind = if is_derived && !is_stored {
            FindingKind::AlteredHash
        } else {
            FindingKind::AlteredRecord
        };
        self.settle(kind, findings);
        let is_explained = self.has_gaps
            || findings.has(FindingKind::AlteredHash)
            || findings.has(FindingKind::AlteredRecord);
        for tile in std::mem::take(&mut self.doubted_tiles) {
            let (first, last) = (tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH - 1);
            if is_stored {
                let about = format!("the hash over the leaves {first} to {last} is another one");
                findings.add(FindingKind::AlteredHash, Some(first), about);
            } else if !is_explained {
                let about = format!(
                    "of the leaves {first} to {last} some are not those that were signed, and \
                     their records with them"
                );
                findings.add(FindingKind::AlteredRecord, Some(first), about);
            }
        }
        let is_explained = is_explained
            || findings.has(FindingKind::AlteredHash)
            || findings.has(FindingKind::AlteredRecord);
        for tree in signed.trees() {
            let (name, size) = (&tree.name, tree.checkpoint.size);
            match roots(&self, size) {
                // Before what was looked at.
                None if size < self.from => {}
                None if size > self.at => {
                    let about = format!(
                        "{name} is over {size} leaves, and the log has {}: its end was cut, or an \
                         older backup put back",
                        self.at
                    );
                    findings.add(FindingKind::CutTail, None, about);
                }
                Some((stored, _)) if stored == tree.checkpoint.root => {}
                _another if !is_explained => {
                    let about = format!(
                        "the tree of the first {size} leaves is not the one that {name} signs"
                    );
                    findings.add(FindingKind::AlteredHash, None, about);
                }
                _explained => {}
            }
        }
    }
}

/// The record that a leaf is of, in words.
fn what(leaf: &LeafRow) -> String {
    let (kind, reference) = leaf.record;
    let name = LeafKind::numbered(kind).map_or("record", LeafKind::name);
    let id = match &leaf.found {
        FoundRecord::Whole(facts) => {
            let id = facts.clear("id").or_else(|| facts.clear("change"));
            id.map(|id| format!(" {id}"))
        }
        _none => None,
    };
    let number = match LeafKind::numbered(kind) {
        Some(LeafKind::Change | LeafKind::Settlement | LeafKind::Late | LeafKind::Event) => "seq",
        _other => "number",
    };
    let position = leaf.position;
    format!("{name}{} ({number} {reference}, leaf {position})", id.unwrap_or_default())
}
