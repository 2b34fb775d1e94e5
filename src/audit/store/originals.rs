//! Sealed originals, read by every kind of store with the same words.

use super::Boxed;
use super::rows::{Bytes, Row, cell, change_id};
use crate::audit::originals::{Half, SealedOriginals};
use crate::base::ids::ChangeId;
use crate::base::key::KeyId;

/// Sealed originals of a half of a change.
#[derive(Clone, Debug)]
pub(in crate::audit) struct OriginalRow {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) change: ChangeId,
    pub(in crate::audit) half: Half,
    pub(in crate::audit) sealed: SealedOriginals,
}

/// A data key that is wrapped anew.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Rewrapped {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) half: Half,
    pub(in crate::audit) key: KeyId,
    pub(in crate::audit) wrapped: Vec<u8>,
}

/// The question for the key that the newest ones were sealed under.
pub(super) const NEWEST: &str = "SELECT key FROM originals ORDER BY seq DESC, half DESC LIMIT 1";

/// That key, from a row.
pub(super) fn sealed_under(row: &impl Row) -> Result<KeyId, Boxed> {
    let key: Bytes<'_> = cell(row, "key")?;
    Ok(KeyId::from_bytes((&*key).try_into()?))
}

/// The question for those of one change.
pub(super) fn of_change(seq: i64) -> String {
    select(&format!("o.seq = {seq}"))
}

/// The question for those of changes behind the place `after`, of at most so many halves.
pub(super) fn behind(after: i64, limit: u16) -> String {
    // What is wrapped is asked for, and not what that opens.
    let select = select(&format!("o.seq > {after}"));
    format!("{} LIMIT {limit}", select.replace("o.body", "substr(o.body, 1, 0) AS body"))
}

fn select(which: &str) -> String {
    format!(
        "SELECT o.seq, c.id, CAST(o.half AS bigint) AS half, o.key, o.wrapped, o.body \
         FROM originals o JOIN changes c ON c.seq = o.seq WHERE {which} ORDER BY o.seq, o.half"
    )
}

/// Sealed originals, from a row of such a question.
pub(super) fn original(row: &impl Row) -> Result<OriginalRow, Boxed> {
    let half = Half::numbered(cell(row, "half")?).ok_or("a half of a change is unknown")?;
    let key: Bytes<'_> = cell(row, "key")?;
    let bytes = |column| cell::<Bytes<'_>>(row, column).map(Bytes::into_owned);
    let (wrapped, body) = (bytes("wrapped")?, bytes("body")?);
    let sealed = SealedOriginals { key: KeyId::from_bytes((&*key).try_into()?), wrapped, body };
    Ok(OriginalRow { seq: cell(row, "seq")?, change: change_id(row)?, half, sealed })
}
