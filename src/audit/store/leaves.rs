//! Records as leaves, read by every kind of store with the same words. Names of tables are plain: a
//! store's connections find its own.

pub(super) mod owned;
mod shape;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::shape::{Shape, Shown, shape};
use super::Boxed;
use super::rows::{BadColumn, Bytes, Row, cell, maybe};
use crate::audit::document::unpack;
use crate::audit::evidence::leaf::{Fact, Facts, LeafKind, Salt};
use crate::audit::evidence::tree::Hash;
use crate::base::ids::{ChangeId, unhex};

/// A leaf, and what is found of its record.
#[derive(Debug)]
pub(in crate::audit) struct LeafRow {
    pub(in crate::audit) position: u64,
    /// The number of its kind, and the row of its record.
    pub(in crate::audit) record: (i64, i64),
    /// `None` until it is in the tree.
    pub(in crate::audit) hash: Option<Hash>,
    /// `None` of a record that is not whole any more.
    pub(in crate::audit) salt: Option<Salt>,
    /// The entry, of such a one.
    pub(in crate::audit) entry: Option<Vec<u8>>,
    pub(in crate::audit) found: FoundRecord,
}

/// The tables of records: the number of the kind, the table, and its key.
pub(super) const RECORDS: [(i64, &str, &str); 9] = [
    (1, "ends", "seq"),
    (2, "settlements", "seq"),
    (3, "late", "seq"),
    (4, "events", "seq"),
    (5, "policies", "number"),
    (6, "keys", "number"),
    (7, "approvals", "number"),
    (8, "approval_steps", "number"),
    (9, "log_keys", "number"),
];

/// Places that were given to records of a kind and are in no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) struct Gap {
    pub(in crate::audit) kind: i64,
    pub(in crate::audit) first: i64,
    pub(in crate::audit) last: i64,
}

/// A change that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) struct Unfit {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) id: ChangeId,
}

/// A record that is finished and in no tree yet.
#[derive(Debug)]
pub(in crate::audit) struct Unsealed {
    /// The number of its kind, and its row.
    pub(in crate::audit) record: (i64, i64),
    pub(in crate::audit) found: FoundRecord,
}

/// The record of a leaf.
#[derive(Debug)]
pub(in crate::audit) enum FoundRecord {
    Whole(Box<Facts>),
    /// It holds what no version writes.
    Unreadable(Boxed),
    Missing,
}

/// The question for the records of a kind among those that `source` names as `l`, in a log that
/// several gateways share or in one of a gateway's own.
pub(super) fn select(kind: LeafKind, source: &str, is_shared: bool) -> String {
    let Shape { columns, from, of_several, .. } = shape(kind);
    let column = |(sql, name, shown): &(&str, &str, Shown)| match shown {
        Shown::OfSeveral(_) if !is_shared => format!("NULL AS \"{name}\""),
        _there => format!("{sql} AS \"{name}\""),
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    let beside = if is_shared { of_several } else { "" };
    format!("SELECT l.ref, {} FROM {source} l {from}{beside}", columns.join(", "))
}

/// The same question of a log in SQLite, which copies each column of a row, one that holds nothing
/// too: `record` is a list of all values in JSON, but for that which is a frame, `frame`.
pub(super) fn select_packed(kind: LeafKind, source: &str) -> String {
    let Shape { columns, from, .. } = shape(kind);
    let mut frame = "NULL";
    let mut packed = Vec::with_capacity(columns.len());
    for (sql, _name, shown) in *columns {
        match shown {
            Shown::OfSeveral(_) => {}
            Shown::Frame => frame = sql,
            Shown::Hex(_) | Shown::Digest => {
                packed.push(format!("CASE WHEN {sql} IS NOT NULL THEN lower(hex({sql})) END"));
            }
            Shown::Integer | Shown::Flag | Shown::Text => packed.push((*sql).to_owned()),
        }
    }
    let packed = packed.join(", ");
    format!("SELECT l.ref, json_array({packed}) AS record, {frame} AS frame FROM {source} l {from}")
}

/// A record, from a row of that question.
pub(super) fn packed_facts(kind: LeafKind, row: &impl Row) -> Result<Facts, Boxed> {
    let Shape { columns, clear, .. } = shape(kind);
    let packed: &str = cell(row, "record")?;
    let mut values = serde_json::from_str::<Vec<Value>>(packed)?.into_iter();
    let mut facts = Facts::of(kind);
    for (_sql, name, shown) in *columns {
        let name = *name;
        let is_clear = clear.contains(&name);
        match shown {
            Shown::OfSeveral(_) => continue,
            Shown::Frame => {
                if let Some(frame) = row.bytes("frame")? {
                    facts.add_body(name, body_digest(*shown, &frame)?);
                }
                continue;
            }
            _packed => {}
        }
        match (shown, values.next().ok_or(BadColumn(name))?) {
            (_, Value::Null) => {}
            (Shown::Integer, Value::Number(number)) => {
                let number = number.as_i64().ok_or(BadColumn(name))?;
                facts.add(name, Fact::Integer(number), is_clear);
            }
            (Shown::Flag, Value::Number(flag)) => {
                facts.add(name, Fact::Flag(flag.as_i64() != Some(0)), is_clear);
            }
            (Shown::Text, Value::String(text)) => facts.add(name, Fact::Text(&text), is_clear),
            (Shown::Hex(letters), Value::String(digits)) => {
                facts.add(name, Fact::Text(&format!("{letters}{digits}")), is_clear);
            }
            (Shown::Digest, Value::String(digits)) => {
                facts.add_body(name, unhex(&digits).ok_or(BadColumn(name))?);
            }
            _another => return Err(BadColumn(name).into()),
        }
    }
    Ok(facts.whole())
}

/// A record, from a row of the question that is not packed.
pub(super) fn facts(kind: LeafKind, row: &impl Row) -> Result<Facts, Boxed> {
    let Shape { columns, clear, .. } = shape(kind);
    let mut facts = Facts::of(kind);
    for (_sql, name, shown) in *columns {
        let name = *name;
        let is_clear = clear.contains(&name);
        match shown.plain() {
            Shown::Integer => {
                if let Some(number) = row.integer(name)? {
                    facts.add(name, Fact::Integer(number), is_clear);
                }
            }
            Shown::Flag => {
                if let Some(flag) = row.flag(name)? {
                    facts.add(name, Fact::Flag(flag), is_clear);
                }
            }
            Shown::Text => {
                if let Some(text) = row.text(name)? {
                    facts.add(name, Fact::Text(text), is_clear);
                }
            }
            Shown::Hex(letters) => {
                if let Some(bytes) = row.bytes(name)? {
                    facts.add(name, Fact::Hex(letters, &bytes), is_clear);
                }
            }
            shown @ (Shown::Frame | Shown::Digest | Shown::OfSeveral(_)) => {
                if let Some(bytes) = row.bytes(name)? {
                    facts.add_body(name, body_digest(shown, &bytes)?);
                }
            }
        }
    }
    Ok(facts.whole())
}

fn body_digest(shown: Shown, bytes: &[u8]) -> Result<Hash, Boxed> {
    match shown {
        Shown::Frame => Ok(Sha256::digest(unpack(bytes, None)?).into()),
        _digest => Ok(bytes.try_into()?),
    }
}

/// A leaf without its record, from a row.
pub(super) fn leaf(row: &impl Row) -> Result<LeafRow, Boxed> {
    let bytes = |column| -> Result<Option<Bytes<'_>>, Boxed> { maybe(row, column) };
    let hash = bytes("hash")?.map(|hash| (&*hash).try_into()).transpose()?;
    let salt = bytes("salt")?.map(|salt| (&*salt).try_into()).transpose()?;
    Ok(LeafRow {
        position: u64::try_from(cell::<i64>(row, "position")?)?,
        record: (cell(row, "kind")?, cell(row, "ref")?),
        hash,
        salt,
        entry: bytes("entry")?.map(Bytes::into_owned),
        found: FoundRecord::Missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_the_order_of_their_names_and_need_no_escaping() {
        for kind in LeafKind::ALL {
            let Shape { columns, clear, .. } = shape(kind);
            let names: Vec<&str> = columns.iter().map(|(_sql, name, _shown)| *name).collect();
            assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(names.iter().all(|name| name.chars().all(is_plain)), "{names:?}");
            assert!(clear.iter().all(|name| names.contains(name)), "{clear:?}");
        }
    }
}
