//! JSON that is written in texts: a store may take such a text for the object or list that it says.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use crate::base::pointer;
use crate::base::work;
use crate::deployment::patch::{DEPTH_MAX, parse_value};

/// The longest text that is read as JSON, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// The most bytes of texts that are read as JSON within one decision, each text once: their keys
/// are compared as those of the body are.
const TEXTS_BYTES_MAX: usize = 64 << 10;

/// The JSON that is written in a text.
#[derive(Clone)]
pub(super) enum Written {
    /// No key in any object.
    Plain,
    /// This object or list.
    Json(Rc<Value>),
    /// It begins as JSON with keys does, and can't be read as the one thing that every reader
    /// takes it for: it is malformed, gives a member twice, or is too long to be read.
    Unclear,
}

/// The texts of one decision that may be JSON, each read once.
pub(super) struct Texts(RefCell<Read>);

struct Read {
    known: HashMap<Box<str>, Written>,
    bytes_left: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self(RefCell::new(Read { known: HashMap::new(), bytes_left: TEXTS_BYTES_MAX }))
    }
}

impl Texts {
    /// The JSON that is written in `text`.
    pub(super) fn read(&self, text: &str) -> Written {
        let json = text.trim_start_matches('\u{feff}').trim();
        if !json.starts_with(['{', '[']) || !may_hold_key(json) {
            return Written::Plain;
        }
        let mut read = self.0.borrow_mut();
        if let Some(written) = read.known.get(json) {
            return written.clone();
        }
        let Some(left) = read.bytes_left.checked_sub(json.len()) else { return Written::Unclear };
        if json.len() > TEXT_BYTES_MAX {
            return Written::Unclear;
        }
        work::count(json.len());
        read.bytes_left = left;
        let value = parse_value(json.as_bytes(), DEPTH_MAX);
        let written = value.map_or(Written::Unclear, |value| Written::Json(Rc::new(value)));
        read.known.insert(json.into(), written.clone());
        written
    }

    /// The value that a JSON Pointer names below `value`, inside texts of JSON too.
    pub(super) fn find<'v>(&self, value: &'v Value, pointer: &str) -> Option<Cow<'v, Value>> {
        let Some(path) = pointer.strip_prefix('/') else {
            return pointer.is_empty().then_some(Cow::Borrowed(value));
        };
        if let Value::String(text) = value {
            let Written::Json(value) = self.read(text) else { return None };
            return self.find(&value, pointer).map(|found| Cow::Owned(found.into_owned()));
        }
        let (key, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        let inner = pointer::find(value, pointer.get(..=key.len())?)?;
        self.find(inner, rest)
    }
}

/// Whether an object that gives a member may begin somewhere in `json`.
fn may_hold_key(json: &str) -> bool {
    work::count(json.len());
    json.split('{').skip(1).any(|inside| inside.trim_start().starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> &'static str {
        match Texts::default().read(text) {
            Written::Plain => "plain",
            Written::Json(_) => "json",
            Written::Unclear => "unclear",
        }
    }

    #[test]
    fn a_text_is_plain_or_one_thing_or_unclear() {
        for plain in ["", "a", "{}", "[1]", "[urgent] call", "{{name}}", "[a](b)", "a {\"b\":1}"] {
            assert_eq!(written(plain), "plain", "{plain}");
        }
        for json in ["{\"a\":1}", "\u{feff} {\n\"a\":1} ", "[{\"a\":[]}]", "[[{ \"\":0}]]"] {
            assert_eq!(written(json), "json", "{json}");
        }
        for unclear in [
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":1,}",
        ] {
            assert_eq!(written(unclear), "unclear", "{unclear}");
        }
        let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "a".repeat(bytes));
        assert_eq!(written(&long(4_000)), "json");
        assert_eq!(written(&long(4_090)), "unclear");
    }

    #[test]
    fn no_more_is_read_than_a_decision_may_take() {
        let texts = Texts::default();
        let text = |number: usize| format!("{{\"{number}\":\"{}\"}}", "a".repeat(4_000));
        let is_read = |number| matches!(texts.read(&text(number)), Written::Json(_));
        let read: Vec<bool> = (0..20).map(is_read).collect();
        assert_eq!(read.iter().filter(|read| **read).count(), 16);
        assert!(is_read(3) && !is_read(19));
    }
}
