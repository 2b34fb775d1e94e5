//! The record of an erasure: of which changes what went, and what is left of their records.

use serde_json::{Value, json};

use super::evidence::leaf::{Facts, Salt};
use super::evidence::tree::Hash;
use super::pruned::Positions;
use super::record::{Event, EventKind};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChangeId, Hex, unhex};
use crate::base::key::KeyId;

/// The bytes by which an event tells what is left of a record.
const LEFT_BYTES: usize = 16;

/// What is left of a record, as an event tells it: the beginning of the hash that its leaf would
/// have, were it made of that, under a salt of its own.
pub(super) type Left = [u8; LEFT_BYTES];

/// What a step of an erasure took, all in one transaction with the event that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErasureRecord {
    /// The change or deployment whose bodies were to go.
    pub(super) target: EraseTarget,
    pub(super) reason: String,
    /// The login of who asked for it.
    pub(super) by: Option<String>,
    /// Changes of which all bodies and texts went, and such that shared a document with them.
    pub(super) changes: Vec<ChangeId>,
    pub(super) beside: Vec<ChangeId>,
    pub(super) documents: usize,
    pub(super) originals: usize,
    /// The keys that these were sealed under.
    pub(super) sealed_under: Vec<KeyId>,
    /// The leaves of which a part of the record is gone, in order, each with what is left.
    pub(super) leaves: Vec<(u64, Left)>,
}

/// The change or deployment that is to lose its bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseTarget {
    /// Those of one change.
    Change(ChangeId),
    /// Those of every change of a deployment, by its id.
    Deployment(String),
}

impl EraseTarget {
    /// The member of an event that names it, and the name.
    pub(super) fn named(&self) -> (&'static str, String) {
        match self {
            Self::Change(id) => ("change", id.to_string()),
            Self::Deployment(id) => ("deployment_id", id.clone()),
        }
    }
}

impl std::fmt::Display for EraseTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Change(id) => write!(f, "change {id}"),
            Self::Deployment(id) => write!(f, "deployment {id}"),
        }
    }
}

/// What is left of a record, under that salt.
pub(super) fn left(facts: &Facts, salt: &Salt) -> Left {
    cut(&facts.hash(salt))
}

/// The part of a hash that an event tells.
pub(super) fn cut(hash: &Hash) -> Left {
    let mut left = [0; LEFT_BYTES];
    for (byte, of) in left.iter_mut().zip(hash) {
        *byte = *of;
    }
    left
}

impl ErasureRecord {
    /// The event that tells of it.
    pub(super) fn event(&self, at: Timestamp) -> Event {
        let positions = self.leaves.iter().map(|(position, _left)| *position).collect();
        let left: Vec<String> =
            self.leaves.iter().map(|(_position, left)| Hex(left).to_string()).collect();
        let keys: Vec<String> = self.sealed_under.iter().map(ToString::to_string).collect();
        let mut detail = json!({
            "reason": self.reason,
            "changes": self.changes,
            "beside": self.beside,
            "documents": self.documents,
            "originals": self.originals,
            "sealed_under": keys,
            "leaves": Positions::of(positions).to_string(),
            "left": left,
        });
        if let Some(members) = detail.as_object_mut() {
            let (member, name) = self.target.named();
            members.insert(member.to_owned(), json!(name));
            members.extend(self.by.iter().map(|by| ("by".to_owned(), json!(by))));
        }
        let (actor, client_ip, request_id) = (None, None, None);
        Event { at, kind: EventKind::Erase, actor, client_ip, request_id, detail }
    }
}

/// The leaves that an event of an erasure names, each with what is left of its record; `None` where
/// it is none that this program writes.
pub(super) fn named_leaves(detail: &str) -> Option<Vec<(u64, Left)>> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    let positions = Positions::parse(detail.get("leaves")?.as_str()?)?;
    let left = detail.get("left")?.as_array()?;
    let left = left.iter().map(|text| unhex(text.as_str()?)).collect::<Option<Vec<Left>>>()?;
    // One more would show that they are not the same number.
    let positions: Vec<u64> = positions.iter().take(left.len().saturating_add(1)).collect();
    (positions.len() == left.len()).then(|| positions.into_iter().zip(left).collect())
}

/// The keys that the originals of an erasure were sealed under, and its target, by its event.
pub(super) fn sealed_under(detail: &Value) -> Vec<String> {
    let keys = detail.get("sealed_under").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(|key| key.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_the_leaves_and_what_is_left_of_each() {
        let record = ErasureRecord {
            target: EraseTarget::Deployment("dep_1".to_owned()),
            reason: "asked for".to_owned(),
            by: Some("ops".to_owned()),
            changes: vec![ChangeId::new(Timestamp::from_millis(1))],
            beside: Vec::new(),
            documents: 2,
            originals: 1,
            sealed_under: vec![KeyId::from_bytes([7; 8])],
            leaves: vec![(3, [1; 16]), (4, [2; 16]), (9, [3; 16])],
        };
        let event = record.event(Timestamp::from_millis(5));
        assert_eq!(event.detail["leaves"], "3-4,9");
        assert_eq!(
            (&event.detail["deployment_id"], &event.detail["by"]),
            (&"dep_1".into(), &"ops".into())
        );
        assert_eq!(named_leaves(&event.detail.to_string()), Some(record.leaves));
        assert_eq!(sealed_under(&event.detail), [KeyId::from_bytes([7; 8]).to_string()]);
        let text = event.detail.to_string();
        for bad in ["{}".to_owned(), text.replace("3-4,9", "3-5,9"), text.replace("3-4,9", "3")] {
            assert_eq!(named_leaves(&bad), None, "{bad}");
        }
        let endless = text.replace("3-4,9", "0-18446744073709551615");
        assert_eq!(named_leaves(&endless), None);
    }
}
