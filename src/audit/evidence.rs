//! Evidence that nothing of the log is missing or altered: a Merkle tree over its records, in the
//! formats of transparency logs (RFC 6962; C2SP's tlog-tiles, tlog-checkpoint, signed-note,
//! tlog-cosignature and tlog-proof). Pure: neither a clock nor a store.

pub(crate) mod checkpoint;
pub(crate) mod cosigned;
pub(crate) mod leaf;
pub(crate) mod note;
pub(crate) mod proof;
pub(crate) mod tile;
pub(crate) mod tree;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes as base64 with padding, as notes have them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of base64 with padding; `None` where it is none.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A hash from its base64.
pub(crate) fn hash_from_base64(text: &str) -> Option<tree::Hash> {
    from_base64(text)?.try_into().ok()
}
