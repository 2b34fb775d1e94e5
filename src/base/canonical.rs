//! Values as JSON text in the one form that RFC 8785 (JCS) gives each, so that anybody can make the
//! text anew from a document and compare its digest.
//!
//! One rule is our own: an integer beyond 2^53 that fits 64 bits is told by all of its digits,
//! whether it was written as one or as a double. The RFC takes every number for a double, and would
//! round it; what upstream said must be what is read back.
//!
//! Deployments are mostly long texts with little to escape, and each is printed several times: a
//! printer made for that takes a fraction of the time of one that goes from byte to byte.

use std::io::Write as _;

use serde_json::{Number, Value};

use crate::base::scan::any;
use crate::base::work;

/// The room that a text is given at once, in bytes: enough for most deployments.
const TEXT_BYTES: usize = 4096;

/// How many bytes are looked at together of a string with something to escape.
const TOGETHER: usize = 32;

/// The doubles whose integers are read back as such: those of `i64` and `u64`.
const INTEGERS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0;

/// 2^53, up to which doubles hold every integer.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The one text of a value, by RFC 8785 (JCS); integers of 64 bits keep their digits.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    without(value, &[])
}

/// A value's canonical text, without the members that `omitted` points to (RFC 6901; names that
/// need no escaping, and not through arrays).
pub(crate) fn without(value: &Value, omitted: &[&str]) -> Vec<u8> {
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
        Value::Number(number) => print_number(number, text),
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

/// A double as ECMAScript prints it (RFC 8785, 3.2.2.3); an integer of 64 bits by its digits.
fn print_number(number: &Number, text: &mut Vec<u8>) {
    // Writing into memory does not fail.
    match number.as_f64().filter(|_| number.is_f64()) {
        None => drop(write!(text, "{number}")),
        // No double beyond 2^53 has a fraction.
        Some(double) if INTEGERS.contains(&double) && double.abs() > EXACT_MAX => {
            drop(write!(text, "{double:.0}"));
        }
        Some(double) => text.extend_from_slice(ryu_js::Buffer::new().format(double).as_bytes()),
    }
}

/// Members in the order of their names' UTF-16 code units (RFC 8785, 3.2.3). They come in that of
/// their bytes, which is another one only for characters beyond ASCII.
fn print_members(members: &serde_json::Map<String, Value>, omitted: &[&str], text: &mut Vec<u8>) {
    if members.keys().all(|name| name.is_ascii()) {
        return print_in_order(members.iter(), omitted, text);
    }
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    print_in_order(sorted.into_iter(), omitted, text);
}

fn print_in_order<'v>(
    members: impl Iterator<Item = (&'v String, &'v Value)>,
    omitted: &[&str],
    text: &mut Vec<u8>,
) {
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

/// Adds a string to a text, as JSON.
pub(crate) fn print_string(string: &str, text: &mut Vec<u8>) {
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

    /// RFC 8785, appendix B.
    #[test]
    fn numbers_print_as_the_rfc_lists_them() {
        for (bits, printed) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let value = json!(f64::from_bits(bits));
            assert_eq!(String::from_utf8(without(&value, &[])).unwrap(), printed, "{bits:016x}");
            let read: Value = serde_json::from_str(printed).unwrap();
            assert!(crate::deployment::diff::same(&read, &value), "{printed}");
        }
    }

    #[test]
    fn integers_of_64_bits_keep_their_digits() {
        for (text, printed) in [
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-0", "0"),
            ("1152921504606846976.0", "1152921504606846976"),
            ("1152921504606847000", "1152921504606847000"),
            ("-9.223372036854775808e18", "-9223372036854775808"),
            ("18446744073709551616", "18446744073709552000"),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(String::from_utf8(without(&value, &[])).unwrap(), printed);
            let read: Value = serde_json::from_str(printed).unwrap();
            assert!(crate::deployment::diff::same(&read, &value), "{printed}");
        }
    }

    /// RFC 8785, 3.2.2 and 3.2.3.
    #[test]
    fn the_examples_of_the_rfc_print_as_there() {
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let value: Value = serde_json::from_str(input).unwrap();
        let printed = "{\"literals\":[null,true,false],\
            \"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(without(&value, &[])).unwrap(), printed);

        let names = ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}"];
        let value: Value = names.into_iter().map(|name| (name.to_owned(), json!(0))).collect();
        let printed = "{\"\\r\":0,\"1\":0,\"\u{80}\":0,\"\u{f6}\":0,\"\u{20ac}\":0,\
            \"\u{1f600}\":0,\"\u{fb33}\":0}";
        assert_eq!(String::from_utf8(without(&value, &[])).unwrap(), printed);
    }

    #[test]
    fn but_for_doubles_and_far_characters_a_text_is_the_one_that_serde_json_prints() {
        let all: String =
            (0..0x250).filter_map(char::from_u32).chain("\u{2028}\u{20ac}".chars()).collect();
        let mut texts: Vec<String> =
            all.chars().map(|c| format!("{}{c}x", "y".repeat(31))).collect();
        texts.extend((0..70).map(|length| "é\"".chars().cycle().take(length).collect()));
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1.5, 5e-324]);
        let members: serde_json::Map<_, _> =
            texts.iter().map(|text| (text.clone(), json!({}))).collect();
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
