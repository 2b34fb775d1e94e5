//! Records as rows that are kept beyond their store's.

use super::shape::{Shown, shape};
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::store::Boxed;
use crate::audit::store::owned_row::{OwnedCell, OwnedRow};
use crate::audit::store::rows::Row;

/// The columns of such a row, to be kept beyond it.
pub(in crate::audit::store) fn owned(kind: LeafKind, row: &impl Row) -> Result<OwnedRow, Boxed> {
    let mut owned = OwnedRow::default();
    for (_sql, name, shown) in shape(kind).columns {
        let cell = match shown.plain() {
            Shown::Integer => row.integer(name)?.map(OwnedCell::Integer),
            Shown::Flag => row.flag(name)?.map(OwnedCell::Flag),
            Shown::Text => row.text(name)?.map(|text| OwnedCell::Text(text.to_owned())),
            Shown::Hex(_) | Shown::Frame | Shown::Digest | Shown::OfSeveral(_) => {
                row.bytes(name)?.map(|bytes| OwnedCell::Bytes(bytes.into_owned()))
            }
        };
        owned.put(name, cell);
    }
    Ok(owned)
}
