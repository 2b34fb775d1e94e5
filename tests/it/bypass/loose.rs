//! The loosest reading of a JSON text: the last of equal keys wins, comments and anything else that
//! is no JSON are skipped, several values are read as one.

use serde_json::{Map, Value};

/// How deep it reads; what is deeper is nothing.
const DEPTH_MAX: usize = 200;

struct Loose<'t> {
    rest: &'t [u8],
    depth: usize,
}

/// Returns the value a text is taken for: all its objects merged, or else its last value.
pub(super) fn json(text: &[u8]) -> Value {
    // What some servers put before an answer so that no script can take it for one.
    let rest = text.strip_prefix(b")]}'").unwrap_or(text);
    let mut loose = Loose { rest, depth: 0 };
    let mut whole = Value::Null;
    while let Some(value) = loose.value() {
        match (&mut whole, value) {
            (Value::Object(whole), Value::Object(more)) => whole.extend(more),
            (Value::Object(_), _) => {}
            (whole, value) => *whole = value,
        }
    }
    whole
}

impl Loose<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Skips to what may begin a value or end a list of them.
    fn skip(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b'/', b'/', ..] | [b'#', ..] => while !matches!(self.next()?, b'\n' | b'\r') {},
                [b'/', b'*', ..] => {
                    while !self.rest.starts_with(b"*/") {
                        self.next()?;
                    }
                    self.rest = self.rest.get(2..)?;
                }
                [first, ..] if first.is_ascii_alphanumeric() || b"{}[]\"'-+.$_".contains(first) => {
                    return Some(*first);
                }
                [] => return None,
                _ => _ = self.next(),
            }
        }
    }

    fn value(&mut self) -> Option<Value> {
        match self.skip()? {
            b'{' => self.object(),
            b'[' => Some(self.array()),
            b'"' | b'\'' => self.text().map(Value::String),
            b'}' | b']' => {
                self.next();
                Some(Value::Null)
            }
            _ => {
                let word = self.word();
                Some(serde_json::from_str(&word).unwrap_or(Value::String(word)))
            }
        }
    }

    fn word(&mut self) -> String {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-+._$".contains(b);
        let length = self.rest.iter().take_while(|b| plain(b)).count();
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8_lossy(word).into_owned()
    }

    fn object(&mut self) -> Option<Value> {
        self.next();
        let mut members = Map::new();
        self.depth += 1;
        while let Some(first) = self.skip() {
            let key = match first {
                b'}' | b']' => {
                    self.next();
                    break;
                }
                b'"' | b'\'' => self.text()?,
                b'{' | b'[' => {
                    self.value();
                    continue;
                }
                _ => self.word(),
            };
            let value = self.value().unwrap_or(Value::Null);
            if self.depth < DEPTH_MAX {
                members.insert(key, value);
            }
        }
        self.depth -= 1;
        Some(members.into())
    }

    fn array(&mut self) -> Value {
        self.next();
        let mut elements = Vec::new();
        self.depth += 1;
        while let Some(first) = self.skip() {
            if matches!(first, b']' | b'}') {
                self.next();
                break;
            }
            // So deep a text is no more read as it is, but its end is still found.
            let value = if self.depth < DEPTH_MAX {
                self.value()
            } else {
                self.next().map(|_| Value::Null)
            };
            elements.extend(value);
        }
        self.depth -= 1;
        elements.into()
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.next()?;
        let mut units: Vec<u8> = Vec::new();
        loop {
            match self.next() {
                None => break,
                Some(b) if b == quote => break,
                Some(b'\\') => match self.next()? {
                    b'u' => {
                        let (hex, rest) = self.rest.split_at_checked(4)?;
                        self.rest = rest;
                        let code = u32::from_str_radix(&String::from_utf8_lossy(hex), 16).ok()?;
                        // A surrogate is dropped: some servers do.
                        let shown = char::from_u32(code).map(String::from).unwrap_or_default();
                        units.extend_from_slice(shown.as_bytes());
                    }
                    b'n' => units.push(b'\n'),
                    b't' => units.push(b'\t'),
                    other => units.push(other),
                },
                Some(b) => units.push(b),
            }
        }
        Some(String::from_utf8_lossy(&units).into_owned())
    }
}

#[test]
fn what_is_no_json_is_read_all_the_same() {
    for (text, read) in [
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":1} {"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#")]}',{"a":1}"#, r#"{"a":1}"#),
        ("{/*x*/a:'b',}//c", r#"{"a":"b"}"#),
        (r#"{"\u0061":NaN,"b\ud800":-1e5}"#, r#"{"a":"NaN","b":-100000.0}"#),
        (r#"{"a":[1,[2],{"b":null}]"#, r#"{"a":[1,[2],{"b":null}]}"#),
    ] {
        assert_eq!(json(text.as_bytes()).to_string(), read, "{text}");
    }
}
