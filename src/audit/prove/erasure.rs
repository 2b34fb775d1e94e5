//! Proof that a part of a change is gone by an erasure, and that what is shown is what it has left.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::held::{commits, digest, faults};
use crate::audit::erased::{cut, named_leaves};
use crate::audit::evidence::leaf::{Facts, Salt};
use crate::audit::evidence::note::VerifierKey;
use crate::audit::evidence::proof::LeafProof;
use crate::audit::evidence::tree::leaf_hash;
use crate::audit::store::{Boxed, Reads};
use crate::audit::verify::FindingKind;
use crate::base::canonical::canonical;
use crate::base::ids::{Hex, unhex};

/// The erasure of a change in part, with everything that proves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureProof {
    /// The entry that the change would have, were it made of what is left, under the bundle's salt.
    pub left: Value,
    /// The entry of the event that tells of the erasure.
    pub entry: Value,
    /// Everything that is recorded of that event.
    pub record: Value,
    /// The event's secret, in hex.
    pub salt: String,
    /// The proof of the event's leaf (C2SP tlog-proof).
    pub proof: String,
}

/// The place of the newest event of an erasure that names a leaf.
pub(super) async fn event_of(reads: &Reads, position: u64) -> Result<Option<i64>, Boxed> {
    let (mut found, mut after) = (None, 0);
    loop {
        let words = reads.erase_words(after).await?;
        let Some(last) = words.last() else { return Ok(found) };
        after = last.seq;
        for word in words {
            let named = named_leaves(&word.detail).unwrap_or_default();
            if named.iter().any(|(leaf, _left)| *leaf == position) {
                found = Some(word.seq);
            }
        }
    }
}

impl ErasureProof {
    /// That of what is left of a change under a salt, by an event with a proof.
    pub(super) fn of(
        (left, left_salt): (&Facts, &Salt),
        (event, salt): (&Facts, &Salt),
        proof: &LeafProof,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            left: serde_json::from_slice(&left.entry(left_salt))?,
            entry: serde_json::from_slice(&event.entry(salt))?,
            record: event.record(),
            salt: Hex(salt).to_string(),
            proof: proof.to_string(),
        })
    }

    /// The faults of it, for the leaf at a position with that entry; `None` where it is none.
    pub(super) fn faults(
        &self,
        position: u64,
        entry: &Value,
        keys: &[VerifierKey],
    ) -> Option<Vec<(FindingKind, String)>> {
        let proof = LeafProof::parse(&self.proof)?;
        let salt: Salt = unhex(&self.salt)?;
        let mut found = faults("the erasure", &self.entry, &proof, keys)?;
        let mut add = |about: &str| found.push((FindingKind::AlteredRecord, about.to_owned()));
        if !commits(&self.entry, &salt, "record", &digest(&self.record)) {
            add("the erasure is not the one that was committed to");
        }
        if self.record.get("event").and_then(Value::as_str) != Some("erase") {
            add("what is shown as the erasure is another event");
        }
        let detail = self.record.get("detail").and_then(Value::as_str).unwrap_or_default();
        let left = cut(&leaf_hash(&canonical(&self.left)));
        if !named_leaves(detail).unwrap_or_default().contains(&(position, left)) {
            add("what is left is not what the erasure has left of the change");
        }
        if clear(&self.left) != clear(entry) {
            add("what is left shows another change than the entry");
        }
        Some(found)
    }
}

/// The members of an entry that are in clear.
fn clear(entry: &Value) -> Map<String, Value> {
    let mut entry = entry.as_object().cloned().unwrap_or_default();
    entry.remove("commitments");
    entry
}
