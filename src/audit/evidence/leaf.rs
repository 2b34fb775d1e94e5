//! Leaves: what is said of a record in the tree. In clear, what shows that there is one: ids,
//! times, outcomes, digests. The rest, and the bodies, by commitments: whoever has a record and its
//! salt can show that it is the one; once both are erased, nothing tells what they were.

use std::io::Write as _;
use std::ops::Range;

use hmac::{Hmac, Mac as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::tree::{Hash, leaf_hash};
use crate::base::canonical::print_string;
use crate::base::ids::Hex;

/// The version of entries, in each of them.
const VERSION: u8 = 1;

/// The most bytes of an entry.
#[cfg(test)]
const ENTRY_BYTES_MAX: usize = 4 << 10;

/// The most bytes of a text that an entry has in clear; one that is longer is committed to alone.
const CLEAR_BYTES_MAX: usize = 256;

/// The room that the text of a record is given at once, in bytes: enough for most.
const RECORD_BYTES: usize = 1_024;

/// The same of an entry.
const ENTRY_BYTES: usize = 1_024;

/// The room for members that a record is given at once: enough for most.
const MEMBERS: usize = 32;

const COMMITMENTS: &str = "commitments";

const KIND: &str = "kind";

/// The members that entries of every kind have, in the order of their names.
const OWN: [&str; 3] = [COMMITMENTS, KIND, "v"];

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: LeafKind,
    /// Everything that is recorded of it but for its bodies: an object as canonical JSON. Until it
    /// is whole, its last brace is missing.
    record: Vec<u8>,
    /// Its members, in the order of their names.
    members: Vec<Member>,
    /// SHA-256 of the bodies' texts, by their names in their order.
    bodies: Vec<(&'static str, Hash)>,
}

/// A member of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: &'static str,
    /// The place of its value in the record.
    value: Range<usize>,
    /// Whether the entry has it in clear.
    is_clear: bool,
}

/// A value of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact<'v> {
    Integer(i64),
    Flag(bool),
    Text(&'v str),
    /// Hex digits behind these letters.
    Hex(&'static str, &'v [u8]),
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
    /// A record of which nothing is known yet.
    pub(crate) fn of(kind: LeafKind) -> Self {
        let mut record = Vec::with_capacity(RECORD_BYTES);
        record.push(b'{');
        Self { kind, record, members: Vec::with_capacity(MEMBERS), bodies: Vec::new() }
    }

    /// Adds a member. They come in the order of their names, which need no escaping.
    pub(crate) fn add(&mut self, name: &'static str, value: Fact<'_>, is_clear: bool) {
        let record = &mut self.record;
        if record.len() > 1 {
            record.push(b',');
        }
        record.push(b'"');
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(b"\":");
        let start = record.len();
        // Writing into memory does not fail.
        match value {
            Fact::Integer(number) => drop(write!(record, "{number}")),
            Fact::Flag(flag) => drop(write!(record, "{flag}")),
            Fact::Text(text) => print_string(text, record),
            Fact::Hex(letters, bytes) => drop(write!(record, "\"{letters}{}\"", Hex(bytes))),
        }
        let is_short = !matches!(value, Fact::Text(text) if text.len() > CLEAR_BYTES_MAX);
        let is_clear = is_clear && is_short;
        self.members.push(Member { name, value: start..record.len(), is_clear });
    }

    /// Adds a body, by the SHA-256 of its text. They come in the order of their names too.
    pub(crate) fn add_body(&mut self, name: &'static str, digest: Hash) {
        self.bodies.push((name, digest));
    }

    /// Ends a record that is whole.
    pub(crate) fn whole(mut self) -> Self {
        self.record.push(b'}');
        self
    }

    /// Everything that is recorded of it but for its bodies.
    pub(crate) fn record(&self) -> Value {
        serde_json::from_slice(&self.record).unwrap_or_default()
    }

    /// The value of a member; `None` where the record has none, or one of another type.
    pub(crate) fn value<V: DeserializeOwned>(&self, name: &str) -> Option<V> {
        let member = self.members.iter().find(|member| member.name == name)?;
        serde_json::from_slice(self.printed(member)).ok()
    }

    /// The text of a member that the entry has in clear; `None` where it has none, or no text.
    pub(crate) fn clear(&self, name: &str) -> Option<String> {
        let member = self.shown().find(|member| member.name == name)?;
        serde_json::from_slice(self.printed(member)).ok()
    }

    /// The members that the entry has in clear.
    fn shown(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_clear)
    }

    /// The value of a member, as JSON.
    fn printed(&self, member: &Member) -> &[u8] {
        self.record.get(member.value.clone()).unwrap_or_default()
    }

    /// Whether an entry of the kind has the same members in clear.
    pub(crate) fn is_shown_by(&self, entry: &[u8]) -> bool {
        let Ok(Value::Object(mut entry)) = serde_json::from_slice(entry) else { return false };
        let is_of_kind = entry.get(KIND).and_then(Value::as_str) == Some(self.kind.name());
        for own in OWN {
            entry.remove(own);
        }
        let value = |member| serde_json::from_slice::<Value>(self.printed(member)).ok();
        is_of_kind
            && entry.len() == self.shown().count()
            && self.shown().all(|member| entry.get(member.name) == value(member).as_ref())
    }

    /// The entry of the leaf: canonical JSON.
    pub(crate) fn entry(&self, salt: &Salt) -> Vec<u8> {
        let mut entry = Vec::with_capacity(ENTRY_BYTES);
        let mut own = OWN.into_iter().peekable();
        for member in self.shown() {
            while let Some(before) = own.next_if(|own| *own < member.name) {
                self.add_own(before, salt, &mut entry);
            }
            begin(member.name, &mut entry);
            entry.extend_from_slice(self.printed(member));
        }
        for name in own {
            self.add_own(name, salt, &mut entry);
        }
        entry.push(b'}');
        entry
    }

    /// Adds a member that entries of every kind have.
    fn add_own(&self, name: &'static str, salt: &Salt, entry: &mut Vec<u8>) {
        begin(name, entry);
        match name {
            COMMITMENTS => {
                let record = ("record", Sha256::digest(&self.record).into());
                let mut commitments = Vec::new();
                for (name, digest) in self.bodies.iter().chain([&record]) {
                    begin(name, &mut commitments);
                    let commitment = commitment(salt, name, digest);
                    drop(write!(commitments, "\"{}\"", Hex(&commitment)));
                }
                entry.append(&mut commitments);
                entry.push(b'}');
            }
            KIND => drop(write!(entry, "\"{}\"", self.kind.name())),
            _version => drop(write!(entry, "{VERSION}")),
        }
    }

    /// The hash of the leaf.
    pub(crate) fn hash(&self, salt: &Salt) -> Hash {
        leaf_hash(&self.entry(salt))
    }
}

/// Begins a member whose name needs no escaping, the first of an object or a later one.
fn begin(name: &str, text: &mut Vec<u8>) {
    text.push(if text.is_empty() { b'{' } else { b',' });
    text.push(b'"');
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\":");
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::canonical::canonical;

    fn facts(ip: &str, patch: Hash) -> Facts {
        let mut facts = Facts::of(LeafKind::Change);
        facts.add("client_ip", Fact::Text(ip), false);
        facts.add("id", Fact::Hex("chg_", &[0xab, 1]), true);
        facts.add("outcome", Fact::Text("ap\"plied"), true);
        facts.add("seq", Fact::Integer(7), true);
        facts.add_body("patch", patch);
        facts.whole()
    }

    #[test]
    fn an_entry_commits_to_all_and_shows_what_is_clear() {
        let (facts, salt) = (self::facts("192.0.2.1", [1; 32]), [9; 32]);
        let text = facts.entry(&salt);
        let entry: Value = serde_json::from_slice(&text).unwrap();
        let record = json!({"client_ip": "192.0.2.1", "id": "chg_ab01", "outcome": "ap\"plied",
            "seq": 7});
        assert_eq!(facts.record(), record);
        let digest = Sha256::digest(canonical(&record)).into();
        let shown = |name, digest| Hex(&commitment(&salt, name, digest)).to_string();
        let expected = json!({"v": 1, "kind": "change", "id": "chg_ab01", "outcome": "ap\"plied",
            "seq": 7, "commitments": {"patch": shown("patch", &[1; 32]),
            "record": shown("record", &digest)}});
        assert_eq!((&entry, text), (&expected, canonical(&expected)));
        assert_eq!(facts.clear("id").as_deref(), Some("chg_ab01"));
        assert_eq!((facts.clear("client_ip"), facts.clear("seq")), (None, None));
        let hash = facts.hash(&salt);
        assert_ne!(facts.hash(&[8; 32]), hash);
        assert_ne!(self::facts("192.0.2.2", [1; 32]).hash(&salt), hash);
        assert_ne!(self::facts("192.0.2.1", [2; 32]).hash(&salt), hash);
    }

    #[test]
    fn an_entry_shows_the_same_as_a_record_of_which_only_the_rest_is_gone() {
        let entry = facts("192.0.2.1", [1; 32]).entry(&[9; 32]);
        assert!(facts("192.0.2.2", [2; 32]).is_shown_by(&entry));
        for (from, to) in [("\"seq\":7", "\"seq\":8"), (",\"seq\":7", ""), ("change", "event")] {
            let other = String::from_utf8(entry.clone()).unwrap().replace(from, to);
            assert!(!facts("192.0.2.1", [1; 32]).is_shown_by(other.as_bytes()), "{other}");
        }
        assert!(!facts("192.0.2.1", [1; 32]).is_shown_by(b"{"));
    }

    #[test]
    fn an_entry_stays_short_whatever_a_record_holds() {
        let mut facts = Facts::of(LeafKind::Change);
        let long = "a".repeat(5_000);
        for name in ["by", "deployment_id", "operation"] {
            facts.add(name, Fact::Text(&long), true);
        }
        assert!(facts.whole().entry(&[0; 32]).len() < ENTRY_BYTES_MAX);
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
