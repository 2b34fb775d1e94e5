//! The strict reading of a governed body: bytes that every parser must read alike, or a refusal.

use serde_json::Value;

use super::Object;

/// What a governed call's body asks for: one JSON object, proven unambiguous.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// The object's members.
    pub object: Object,
}

/// Why a body is refused. The message names the place and the fix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct PatchError {
    /// What is wrong and how to mend it; it never quotes a value.
    pub message: String,
    /// The dotted path of the offending member, where there is one.
    pub param: Option<String>,
}

/// Reads a governed body (RFC 8259): exactly one object, valid UTF-8, no byte order mark, no
/// duplicate keys after unescaping, no lone surrogates, no trailing bytes, at most `depth_max`
/// levels of nesting, no control character in any key, `metadata` an object where it is given.
pub fn parse(body: &[u8], depth_max: usize) -> Result<Patch, PatchError> {
    let _ = (body, depth_max);
    todo!()
}

/// Reads any JSON text as strictly as [`parse`] does, for upstream's answers.
pub fn parse_value(text: &[u8], depth_max: usize) -> Result<Value, PatchError> {
    let _ = (text, depth_max);
    todo!()
}
