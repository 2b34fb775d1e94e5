//! Leaves: what is said of a record in the tree. In clear, what shows that there is one: ids,
//! times, outcomes, digests. The rest, and the bodies, by commitments: whoever has a record and its
//! salt can show that it is the one; once both are erased, nothing tells what they were.

use hmac::{Hmac, Mac as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::tree::{Hash, leaf_hash};
use crate::base::canonical::canonical;
use crate::base::ids::Hex;

/// The version of entries, in each of them.
const VERSION: u8 = 1;

/// The most bytes of an entry.
#[cfg(test)]
const ENTRY_BYTES_MAX: usize = 4 << 10;

/// The most bytes of a text that an entry has in clear; one that is longer is committed to alone.
const CLEAR_BYTES_MAX: usize = 256;

/// A record's own secret, without which its commitments tell nothing of it.
pub(crate) type Salt = [u8; 32];

/// The kinds of records, each a table; the numbers stand in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LeafKind {
    /// A finished change.
    Change,
    /// The settlement of one whose end was unclear.
    Settlement,
    /// An end that came late.
    Late,
    /// Something that is no governed call.
    Event,
    /// A policy's text.
    Policy,
    /// A key of fingerprints, from which change on.
    Key,
    /// A change that waits for somebody's approval, or review.
    Approval,
    /// A step of an approval.
    Step,
    /// A key by which checkpoints are signed.
    LogKey,
}

/// A record as it is read, ready to be a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) kind: LeafKind,
    /// The members that the entry has in clear.
    pub(crate) clear: Map<String, Value>,
    /// Everything that is recorded of it but for its bodies.
    pub(crate) record: Value,
    /// SHA-256 of the bodies' texts, by their names.
    pub(crate) bodies: Vec<(&'static str, Hash)>,
}

impl LeafKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Change,
        Self::Settlement,
        Self::Late,
        Self::Event,
        Self::Policy,
        Self::Key,
        Self::Approval,
        Self::Step,
        Self::LogKey,
    ];

    /// Its number in the tables.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Change => 1,
            Self::Settlement => 2,
            Self::Late => 3,
            Self::Event => 4,
            Self::Policy => 5,
            Self::Key => 6,
            Self::Approval => 7,
            Self::Step => 8,
            Self::LogKey => 9,
        }
    }

    /// The kind of that number.
    pub(crate) fn numbered(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name that entries and findings use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Settlement => "settlement",
            Self::Late => "late",
            Self::Event => "event",
            Self::Policy => "policy",
            Self::Key => "key",
            Self::Approval => "approval",
            Self::Step => "approval_step",
            Self::LogKey => "log_key",
        }
    }
}

impl Facts {
    /// SHA-256 of the canonical text of all that is recorded but the bodies.
    fn record_digest(&self) -> Hash {
        Sha256::digest(canonical(&self.record)).into()
    }

    /// The entry of the leaf: canonical JSON.
    pub(crate) fn entry(&self, salt: &Salt) -> Vec<u8> {
        let mut commitments = Map::new();
        for (name, digest) in &self.bodies {
            commitments.insert((*name).to_owned(), shown(&commitment(salt, name, digest)));
        }
        let record = commitment(salt, "record", &self.record_digest());
        commitments.insert("record".to_owned(), shown(&record));
        let mut entry = self.clear.clone();
        entry
            .retain(|_name, value| value.as_str().is_none_or(|text| text.len() <= CLEAR_BYTES_MAX));
        entry.insert("commitments".to_owned(), Value::Object(commitments));
        entry.insert("kind".to_owned(), json!(self.kind.name()));
        entry.insert("v".to_owned(), json!(VERSION));
        canonical(&Value::Object(entry))
    }

    /// The hash of the leaf.
    pub(crate) fn hash(&self, salt: &Salt) -> Hash {
        leaf_hash(&self.entry(salt))
    }
}

/// The commitment to a part of a record whose text has this SHA-256: HMAC-SHA-256, under the salt,
/// of the part's name, a new line and the digest.
pub(crate) fn commitment(salt: &Salt, name: &str, digest: &Hash) -> Hash {
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(salt) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(name.as_bytes());
    mac.update(b"\n");
    mac.update(digest);
    mac.finalize().into_bytes().into()
}

fn shown(hash: &Hash) -> Value {
    json!(Hex(hash).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let Value::Object(clear) = json!({"seq": 7, "outcome": "applied"}) else { panic!() };
        let record = json!({"client_ip": "192.0.2.1"});
        Facts { kind: LeafKind::Change, clear, record, bodies: vec![("patch", [1; 32])] }
    }

    #[test]
    fn an_entry_commits_to_all_and_shows_what_is_clear() {
        let (facts, salt) = (facts(), [9; 32]);
        let entry: Value = serde_json::from_slice(&facts.entry(&salt)).unwrap();
        assert_eq!(entry["kind"], "change");
        assert_eq!((&entry["seq"], &entry["v"]), (&json!(7), &json!(1)));
        assert_eq!(entry["commitments"]["patch"], shown(&commitment(&salt, "patch", &[1; 32])));
        assert!(!entry.to_string().contains("192.0.2.1"));
        let hash = facts.hash(&salt);
        assert_ne!(facts.hash(&[8; 32]), hash);
        let mut other = facts.clone();
        other.record = json!({"client_ip": "192.0.2.2"});
        assert_ne!(other.hash(&salt), hash);
        let mut other = facts;
        other.bodies[0].1[0] ^= 1;
        assert_ne!(other.hash(&salt), hash);
    }

    #[test]
    fn an_entry_stays_short_whatever_a_record_holds() {
        let mut facts = facts();
        for name in ["deployment_id", "operation", "by"] {
            facts.clear.insert(name.to_owned(), json!("a".repeat(5_000)));
        }
        assert!(facts.entry(&[0; 32]).len() < ENTRY_BYTES_MAX);
    }

    #[test]
    fn kinds_keep_their_numbers() {
        for (kind, number) in LeafKind::ALL.into_iter().zip(1..) {
            assert_eq!(kind.number(), number);
            assert_eq!(LeafKind::numbered(number), Some(kind));
        }
        assert_eq!(LeafKind::numbered(0), None);
    }
}
