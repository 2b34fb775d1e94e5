//! Values as JSON text. It is what `serde_json` prints, byte for byte, in a fraction of the time:
//! deployments are mostly long texts with little to escape, and each is printed several times.

use std::io::Write as _;

use serde_json::Value;

use super::Object;
use crate::scan::any;
use crate::work;

/// The room that a text is given at once, in bytes: enough for most deployments.
const TEXT_BYTES: usize = 4096;

/// How many bytes are looked at together of a string with something to escape.
const TOGETHER: usize = 32;

/// A value's text without white space, members sorted by name, and without those that `omitted`
/// points to (RFC 6901; names that need no escaping, and not through arrays).
pub(super) fn without(value: &Value, omitted: &[&str]) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BYTES);
    let omitted: Vec<&str> = omitted.iter().filter_map(|path| path.strip_prefix('/')).collect();
    print(value, &omitted, &mut text);
    text
}

fn print(value: &Value, omitted: &[&str], text: &mut Vec<u8>) {
    work::count(1 + omitted.len());
    match value {
        Value::Null => text.extend_from_slice(b"null"),
        Value::Bool(true) => text.extend_from_slice(b"true"),
        Value::Bool(false) => text.extend_from_slice(b"false"),
        // Writing into memory does not fail.
        Value::Number(number) => drop(write!(text, "{number}")),
        Value::String(string) => print_string(string, text),
        Value::Array(items) => {
            text.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                print(item, &[], text);
            }
            text.push(b']');
        }
        Value::Object(members) => print_members(members, omitted, text),
    }
}

fn print_members(members: &Object, omitted: &[&str], text: &mut Vec<u8>) {
    text.push(b'{');
    let start = text.len();
    for (name, value) in members {
        let below = omitted.iter().filter_map(|path| path.strip_prefix(name.as_str()));
        let below: Vec<&str> = below.filter(|_| !name.contains('/')).collect();
        if below.contains(&"") {
            continue;
        }
        if text.len() > start {
            text.push(b',');
        }
        print_string(name, text);
        text.push(b':');
        let below: Vec<&str> = below.iter().filter_map(|rest| rest.strip_prefix('/')).collect();
        print(value, &below, text);
    }
    text.push(b'}');
}

fn print_string(string: &str, text: &mut Vec<u8>) {
    text.reserve(string.len() + 2);
    text.push(b'"');
    if is_plain(string.as_bytes()) {
        text.extend_from_slice(string.as_bytes());
    } else {
        for piece in string.as_bytes().chunks(TOGETHER) {
            if is_plain(piece) {
                text.extend_from_slice(piece);
            } else {
                piece.iter().copied().for_each(|byte| print_byte(byte, text));
            }
        }
    }
    text.push(b'"');
}

/// Whether there is nothing to escape.
fn is_plain(bytes: &[u8]) -> bool {
    !any(bytes, is_escaped)
}

/// Whether a byte may not stand in a string as it is (RFC 8259, 7).
const fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn print_byte(byte: u8, text: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        0..b' ' => return drop(write!(text, "\\u{byte:04x}")),
        _ => return text.push(byte),
    };
    text.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_the_one_that_serde_json_prints() {
        let all: String =
            (0..0x250).filter_map(char::from_u32).chain("\u{2028}😀".chars()).collect();
        let mut texts: Vec<String> =
            all.chars().map(|c| format!("{}{c}x", "y".repeat(31))).collect();
        texts.extend((0..70).map(|length| "é\"".chars().cycle().take(length).collect()));
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1e300, -0.0, 1e16, 5e-324]);
        let members: Object = texts.iter().map(|text| (text.clone(), json!({}))).collect();
        let value =
            json!([all, texts, numbers, members, [], {}, null, true, false, [[1], {"a": []}]]);
        assert_eq!(without(&value, &[]), serde_json::to_vec(&value).unwrap());
    }

    #[test]
    fn what_is_pointed_to_is_left_out_and_nothing_else() {
        let value =
            json!({"a": {"b": 1, "bc": 2}, "b": 3, "ab": {"b": 4}, "c": [{"b": 5}], "a/b": 6});
        for (omitted, printed) in [
            (&["/a/b"][..], r#"{"a":{"bc":2},"a/b":6,"ab":{"b":4},"b":3,"c":[{"b":5}]}"#),
            (&["/a"], r#"{"a/b":6,"ab":{"b":4},"b":3,"c":[{"b":5}]}"#),
            (&["/a", "/ab/b", "/c/b", "/d"], r#"{"a/b":6,"ab":{},"b":3,"c":[{"b":5}]}"#),
            (&["/a/b", "/a/bc", "/ab", "/b", "/c"], r#"{"a":{},"a/b":6}"#),
        ] {
            assert_eq!(String::from_utf8(without(&value, omitted)).unwrap(), printed);
        }
    }
}
