//! Values as literals of SQL, which nothing in them can end.

use serde::{Serialize, Serializer};

use crate::base::ids::Hex;

/// The escape of NUL in JSON, which PostgreSQL takes in no text, and what stands in its place: the
/// replacement character.
const NUL: &str = "\\u0000";
const REPLACED: &str = "\\ufffd";

/// A value as a literal of JSON. It stands between dollar signs, and none is in it: within JSON
/// they stand in strings alone, where each may be escaped.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    let text = if text.contains(NUL) { without_nul(&text) } else { text };
    let mut literal = String::with_capacity(text.len() + 16);
    literal.push_str("$json$");
    let mut parts = text.split('$');
    literal.extend(parts.next());
    for part in parts {
        literal.push_str("\\u0024");
        literal.push_str(part);
    }
    literal.push_str("$json$");
    Ok(literal)
}

/// Bytes as an expression.
pub(super) fn bytes(bytes: &[u8]) -> String {
    format!("decode('{}', 'hex')", Hex(bytes))
}

/// A text as an expression; `None` is NULL.
pub(super) fn text(text: Option<&str>) -> String {
    // A text is always JSON.
    let literal = text.and_then(|text| json(&[text]).ok());
    literal.map_or_else(|| "NULL".to_owned(), |literal| format!("({literal}::json ->> 0)"))
}

/// Bytes as PostgreSQL reads them: hex digits, marked.
pub(in crate::audit::store::postgres) struct Bytes<'b>(
    pub(in crate::audit::store::postgres) &'b [u8],
);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("\\x{}", Hex(self.0)))
    }
}

/// Bytes that nothing else holds.
pub(in crate::audit::store::postgres) fn hex(bytes: &[u8]) -> String {
    format!("\\x{}", Hex(bytes))
}

/// JSON without an escaped NUL. A backslash before the escape's own may be an escaped one.
fn without_nul(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(NUL) {
        let (before, after) = rest.split_at(place);
        kept.push_str(before);
        let backslashes = before.bytes().rev().take_while(|byte| *byte == b'\\').count();
        kept.push_str(if backslashes % 2 == 0 { REPLACED } else { NUL });
        rest = after.get(NUL.len()..).unwrap_or_default();
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_literal_ends_it() {
        for text in ["$json$; DROP TABLE x", "$", "'\\'", "a\0b", "\\u0000", "\\\0", "ü"] {
            let literal = json(&[text]).unwrap();
            let inside = literal.strip_prefix("$json$").unwrap().strip_suffix("$json$").unwrap();
            assert!(!inside.contains('$'), "{literal}");
            let read: Vec<String> = serde_json::from_str(inside).unwrap();
            assert_eq!(read, [text.replace('\0', "\u{fffd}")]);
        }
    }
}
