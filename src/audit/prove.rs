//! Proof of one change, whole: the record, what its leaf commits to, and the path from the leaf to
//! a tree that was signed. It is checked without the log.

mod erasure;
mod held;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use self::erasure::ErasureProof;
use self::erasure::event_of;
use self::held::{commits, committed, digest, faults};
use super::evidence::checkpoint::Checkpoint;
use super::evidence::leaf::{Facts, Salt};
use super::evidence::note::{Note, VerifierKey};
use super::evidence::proof::{LeafProof, Plan, root_by};
use super::evidence::tile::{Tile, TileKind};
use super::evidence::tree::{Hash, leaf_hash};
use super::hashes::known;
use super::pruned::{PrunedSpan, span};
use super::query::{QueryError, Reader};
use super::store::{Boxed, FoundRecord, LeafRow, Reads};
use super::verify::{Finding, FindingKind};
use crate::base::ids::{ChangeId, Hex, unhex};
use crate::deployment::patch::parse_value;

/// The most bytes of a bundle that is read.
pub const BUNDLE_BYTES_MAX: u64 = 256 << 20;

/// The bodies of a change, by their names.
const BODIES: [&str; 3] = ["patch", "before", "after"];

/// The most levels of a bundle: a body has 128 at most, and is two levels deep.
const BUNDLE_DEPTH_MAX: usize = 132;

/// The version of bundles.
const VERSION: &str = "changegate-proof/v1";

/// A change with everything that proves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The form of the bundle.
    pub version: String,
    /// The gateway's decision.
    pub decision: Value,
    /// The entry of its leaf.
    pub entry: Value,
    /// Everything that is recorded of it but for the bodies.
    pub record: Value,
    /// The bodies that are kept: `patch`, `before`, `after`.
    pub bodies: Map<String, Value>,
    /// The text of the policy that decided.
    pub policy: Option<String>,
    /// The record's secret, in hex: with it, the commitments of the entry are opened.
    pub salt: String,
    /// The proof of the leaf (C2SP tlog-proof).
    pub proof: String,
    /// By which erasure a part of it is gone. The record, the bodies and the salt are of what is
    /// left then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub erasure: Option<ErasureProof>,
}

/// Why a change is not proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log has no such change.
    #[error("the log has no change {0}: `audit list` shows which it has")]
    Unknown(ChangeId),
    /// Changes of its time were pruned.
    #[error("the log has no change {0}: {1}")]
    Pruned(ChangeId, PrunedSpan),
    /// It is under no checkpoint.
    #[error(
        "change {0} is not under a checkpoint yet: it is once it has ended, and evidence.interval \
         has passed"
    )]
    TooNew(ChangeId),
    /// The event of its erasure is under none.
    #[error(
        "the erasure of change {0} is not under a checkpoint yet: it is once a gateway has run for \
         evidence.interval"
    )]
    ErasureTooNew(ChangeId),
    /// Its record, or the tree, was altered.
    #[error(
        "change {0} is not what was recorded: `changegate audit verify` tells what was altered"
    )]
    Altered(ChangeId),
    /// The log can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl From<Boxed> for ProveError {
    fn from(error: Boxed) -> Self {
        QueryError::Store(error).into()
    }
}

impl Reader {
    /// The newest checkpoint.
    pub async fn checkpoint(&self) -> Result<Option<String>, QueryError> {
        self.reads().checkpoint().await.map_err(QueryError::Store)
    }

    /// The keys by which trees are signed, as verifiers take them.
    pub async fn log_keys(&self) -> Result<Vec<String>, QueryError> {
        self.reads().log_keys().await.map_err(QueryError::Store)
    }

    /// The bytes of a tile, by its path below `tile/`; `None` where the tree has no such one, or
    /// where an entry in it is not there any more.
    pub async fn tile(&self, path: &str) -> Result<Option<Vec<u8>>, QueryError> {
        let Some(tile) = Tile::parse(path) else { return Ok(None) };
        self.tile_of(tile).await.map_err(QueryError::Store)
    }

    async fn tile_of(&self, tile: Tile) -> Result<Option<Vec<u8>>, Boxed> {
        let reads = self.reads();
        if !tile.is_in(reads.tree_size().await?) {
            return Ok(None);
        }
        match tile.kind {
            TileKind::Hashes(level) => {
                let hashes = reads.hashes(level, tile.range()).await?;
                Ok((hashes.len() == usize::from(tile.width)).then(|| hashes.concat()))
            }
            TileKind::Entries => {
                let leaves = reads.leaves(tile.range()).await?;
                let mut bytes = Vec::new();
                for leaf in &leaves {
                    let Some(entry) = entry_of(leaf) else { return Ok(None) };
                    bytes.extend(u16::try_from(entry.len())?.to_be_bytes());
                    bytes.extend(entry);
                }
                Ok((leaves.len() == usize::from(tile.width)).then_some(bytes))
            }
        }
    }

    /// The proof that a change is in the tree that was signed last (C2SP tlog-proof).
    pub async fn leaf_proof(&self, id: ChangeId) -> Result<String, ProveError> {
        let (_leaf, proof) = self.proven(id).await?;
        Ok(proof.to_string())
    }

    async fn proven(&self, id: ChangeId) -> Result<(LeafRow, LeafProof), ProveError> {
        let Some(index) = self.reads().position_of(id).await? else {
            if self.bare_change(id).await?.is_some() {
                return Err(ProveError::TooNew(id));
            }
            let pruned = self.pruned(id).await?;
            return Err(pruned.map_or(ProveError::Unknown(id), |span| ProveError::Pruned(id, span)));
        };
        self.proven_at(index, id).await?.ok_or(ProveError::TooNew(id))
    }

    /// A leaf with the proof that it is in the tree that was signed last, for a change; `None`
    /// where it came later.
    async fn proven_at(
        &self,
        index: u64,
        id: ChangeId,
    ) -> Result<Option<(LeafRow, LeafProof)>, ProveError> {
        let reads = self.reads();
        let Some(note) = reads.checkpoint().await? else { return Ok(None) };
        let altered = || ProveError::Altered(id);
        let parsed = Note::parse(&note).ok_or_else(altered)?;
        let checkpoint = Checkpoint::parse(&parsed.text).ok_or_else(altered)?;
        let Some(plan) = Plan::of_inclusion(index, checkpoint.size) else { return Ok(None) };
        let hashes = path(reads, &plan).await?.ok_or_else(altered)?;
        let leaf = reads.leaves(index..index + 1).await?.pop().ok_or_else(altered)?;
        let hash = leaf.hash.ok_or_else(altered)?;
        if root_by(hash, index, checkpoint.size, &hashes) != Some(checkpoint.root) {
            return Err(altered());
        }
        Ok(Some((leaf, LeafProof { index, hashes, checkpoint: note })))
    }

    /// What was pruned together with changes of the time of this one, which the log does not have.
    pub async fn pruned(&self, id: ChangeId) -> Result<Option<PrunedSpan>, QueryError> {
        let (made_at, mut after) = (id.made_at(), 0);
        loop {
            let words = self.reads().prune_words(after).await.map_err(QueryError::Store)?;
            let Some(last) = words.last() else { return Ok(None) };
            after = last.seq;
            let mut spans = words.iter().filter_map(|word| span(word.at, &word.detail));
            if let Some(span) = spans.find(|span| (span.since..=span.until).contains(&made_at)) {
                return Ok(Some(span));
            }
        }
    }

    /// A change with everything that proves it.
    pub async fn prove(&self, id: ChangeId) -> Result<Bundle, ProveError> {
        let (leaf, proof) = self.proven(id).await?;
        let altered = || ProveError::Altered(id);
        let (FoundRecord::Whole(facts), Some(salt)) = (&leaf.found, &leaf.salt) else {
            return Err(altered());
        };
        let entry = entry_of(&leaf).ok_or_else(altered)?;
        let erasure = match &leaf.entry {
            None => None,
            Some(_) => Some(self.erasure((id, leaf.position), (facts, salt)).await?),
        };
        let change = self.change(id).await?.ok_or_else(altered)?;
        let mut bodies = Map::new();
        if let Some(shown) = change.bodies {
            let all = [("patch", shown.patch), ("before", shown.before), ("after", shown.after)];
            bodies.extend(all.into_iter().filter_map(|(name, body)| Some((name.into(), body?))));
        }
        Ok(Bundle {
            version: VERSION.to_owned(),
            decision: facts.clear("decision").map_or(Value::Null, Value::String),
            entry: serde_json::from_slice(&entry).map_err(|_not_json| altered())?,
            record: facts.record(),
            bodies,
            policy: self.policy(&change.policy_digest).await?,
            salt: Hex(salt).to_string(),
            proof: proof.to_string(),
            erasure,
        })
    }

    /// By which erasure only that is left of a change.
    async fn erasure(
        &self,
        (id, position): (ChangeId, u64),
        left: (&Facts, &Salt),
    ) -> Result<ErasureProof, ProveError> {
        let altered = || ProveError::Altered(id);
        let event = event_of(self.reads(), position).await?.ok_or_else(altered)?;
        let index = self.reads().leaves_of(&[], &[event]).await?;
        let index = index.first().and_then(|index| u64::try_from(*index).ok());
        let index = index.ok_or(ProveError::ErasureTooNew(id))?;
        let proven = self.proven_at(index, id).await?;
        let (leaf, proof) = proven.ok_or(ProveError::ErasureTooNew(id))?;
        let (FoundRecord::Whole(facts), Some(salt)) = (&leaf.found, &leaf.salt) else {
            return Err(altered());
        };
        entry_of(&leaf).ok_or_else(altered)?;
        ErasureProof::of(left, (facts, salt), &proof).map_err(|_not_json| altered())
    }
}

/// The entry of a leaf; `None` where nothing tells it any more, or it is not the one that was
/// hashed.
fn entry_of(leaf: &LeafRow) -> Option<Vec<u8>> {
    let entry = match (&leaf.entry, &leaf.found, &leaf.salt) {
        (Some(entry), _, _) => entry.clone(),
        (None, FoundRecord::Whole(facts), Some(salt)) => facts.entry(salt),
        _gone => return None,
    };
    (leaf.hash == Some(leaf_hash(&entry))).then_some(entry)
}

async fn path(reads: &Reads, plan: &Plan) -> Result<Option<Vec<Hash>>, Boxed> {
    Ok(plan.made(&known(reads, plan).await?))
}

/// Checks a bundle by these keys of verifiers, and tells its faults; `None` where it is no bundle.
#[must_use]
pub fn check(text: &[u8], keys: &[String]) -> Option<Vec<Finding>> {
    // Of members that come twice, others may read the other one.
    let bundle = parse_value(text, BUNDLE_DEPTH_MAX).ok()?;
    let bundle: Bundle = serde_json::from_value(bundle).ok()?;
    let proof = LeafProof::parse(&bundle.proof)?;
    let salt: Salt = unhex(&bundle.salt)?;
    if bundle.version != VERSION {
        return None;
    }
    let keys: Vec<VerifierKey> = keys.iter().filter_map(|key| VerifierKey::parse(key)).collect();
    let mut found = faults("the entry", &bundle.entry, &proof, &keys)?;
    let mut shown = &bundle.entry;
    if let Some(erasure) = &bundle.erasure {
        found.extend(erasure.faults(proof.index, &bundle.entry, &keys)?);
        shown = &erasure.left;
    }
    let unopened = unopened(&bundle, shown, &salt).into_iter();
    found.extend(unopened.map(|about| (FindingKind::AlteredRecord, about)));
    let finding = |(kind, about)| Finding { kind, leaf: Some(proof.index), about };
    Some(found.into_iter().map(finding).collect())
}

/// How many of the witnesses among these keys sign the checkpoint of a bundle, and how many these
/// are.
#[must_use]
pub fn witnesses(text: &[u8], keys: &[String]) -> (usize, usize) {
    let keys: Vec<VerifierKey> = keys.iter().filter_map(|key| VerifierKey::parse(key)).collect();
    let bundle = serde_json::from_slice::<Bundle>(text).ok();
    let proof = bundle.and_then(|bundle| LeafProof::parse(&bundle.proof));
    proof.map_or((0, 0), |proof| held::witnesses(&proof.checkpoint, &keys))
}

/// The parts of a bundle that are not what an entry says.
fn unopened(bundle: &Bundle, entry: &Value, salt: &Salt) -> Vec<String> {
    let nothing = Map::new();
    let is_committed = |name| committed(entry).is_some_and(|all| all.contains_key(name));
    let mut wrong = Vec::new();
    if !commits(entry, salt, "record", &digest(&bundle.record)) {
        wrong.push("the record is not the one that was committed to".to_owned());
    }
    for name in BODIES {
        let found = bundle.bodies.get(name);
        let holds = |body| commits(entry, salt, name, &digest(body));
        if !found.map_or(!is_committed(name), holds) {
            wrong.push(format!("{name} is not the one that was committed to"));
        }
    }
    let others = bundle.bodies.keys().filter(|name| !BODIES.contains(&name.as_str()));
    wrong.extend(others.map(|name| format!("{name} is no body of a change")));
    let entry = entry.as_object().unwrap_or(&nothing);
    let own = ["commitments", "kind", "v"];
    for (name, value) in entry.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        if bundle.record.get(name) != Some(value) {
            wrong.push(format!("{name} of the record is not that of the entry"));
        }
    }
    if entry.get("decision") != Some(&bundle.decision) {
        wrong.push("the decision is not that of the entry".to_owned());
    }
    let named = entry.get("policy").and_then(Value::as_str).unwrap_or_default();
    let text = bundle.policy.as_deref().unwrap_or_default();
    if Hex(&Sha256::digest(text)).to_string() != named && !(named.is_empty() && text.is_empty()) {
        wrong.push("the policy is not the one that decided".to_owned());
    }
    wrong
}
