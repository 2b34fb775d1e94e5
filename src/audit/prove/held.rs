//! A leaf held against the tree that it is proven to be in.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::audit::evidence::checkpoint::{Checkpoint, is_witness};
use crate::audit::evidence::leaf::{Salt, commitment};
use crate::audit::evidence::note::{Algorithm, Note, VerifierKey};
use crate::audit::evidence::proof::{LeafProof, root_by};
use crate::audit::evidence::tree::{Hash, leaf_hash};
use crate::audit::verify::FindingKind;
use crate::base::canonical::canonical;
use crate::base::ids::Hex;

/// The faults of an entry whose leaf that is; `None` where the proof is none.
pub(super) fn faults(
    what: &str,
    entry: &Value,
    proof: &LeafProof,
    keys: &[VerifierKey],
) -> Option<Vec<(FindingKind, String)>> {
    let note = Note::parse(&proof.checkpoint)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    let mut faults = Vec::new();
    match note.signed_by(keys) {
        Err(bad) => {
            faults.push((FindingKind::Unsigned, format!("the checkpoint was altered: {bad}")));
        }
        Ok(by) if !by.iter().any(|one| one.key.algorithm() == Algorithm::Ed25519) => {
            let about = "no key that was named signs the checkpoint".to_owned();
            faults.push((FindingKind::UnknownKey, about));
        }
        Ok(_) => {}
    }
    let leaf = leaf_hash(&canonical(entry));
    if root_by(leaf, proof.index, checkpoint.size, &proof.hashes) != Some(checkpoint.root) {
        let about = format!("{what} is not in the tree that was signed");
        faults.push((FindingKind::AlteredHash, about));
    }
    Some(faults)
}

/// How many of the witnesses among these keys sign a checkpoint, and how many these are.
pub(super) fn witnesses(checkpoint: &str, keys: &[VerifierKey]) -> (usize, usize) {
    let mut all: Vec<VerifierKey> = Vec::new();
    for key in keys.iter().filter(|key| is_witness(key, keys)) {
        if !all.contains(key) {
            all.push(key.clone());
        }
    }
    let note = Note::parse(checkpoint);
    let by = note.and_then(|note| note.signed_by(&all).ok().map(|by| by.len()));
    (by.unwrap_or_default(), all.len())
}

/// SHA-256 of a value's canonical text.
pub(super) fn digest(value: &Value) -> Hash {
    Sha256::digest(canonical(value)).into()
}

/// Whether an entry commits to a part of that digest.
pub(super) fn commits(entry: &Value, salt: &Salt, name: &str, digest: &Hash) -> bool {
    let expected = Hex(&commitment(salt, name, digest)).to_string();
    committed(entry).is_some_and(|committed| {
        committed.get(name).and_then(Value::as_str) == Some(expected.as_str())
    })
}

/// The commitments of an entry, by their names.
pub(super) fn committed(entry: &Value) -> Option<&Map<String, Value>> {
    entry.get("commitments").and_then(Value::as_object)
}
