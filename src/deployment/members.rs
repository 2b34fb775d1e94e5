//! A deployment as its members, most of them borrowed: to say what moves, nothing is copied that
//! stays.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::name::is_taken_for;
use crate::base::pointer::{find, unescaped};

/// The members of a deployment, sorted by name, each where it stands or made anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members<'a>(BTreeMap<&'a str, Cow<'a, Value>>);

impl<'a> Members<'a> {
    /// The members of `document`; `None` where it is not an object.
    #[must_use]
    pub fn of(document: &'a Value) -> Self {
        let members = document.as_object().into_iter().flatten();
        Self(members.map(|(name, value)| (name.as_str(), Cow::Borrowed(value))).collect())
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|value| &**value)
    }

    /// All of them, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    /// Those that a server may take for `known`: some read names without regard to case or width.
    pub(crate) fn taken_for(&self, known: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.iter().filter(move |(name, _value)| is_taken_for(name, known))
    }

    /// The value that a JSON Pointer (RFC 6901) names; `None` for the document itself.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let path = pointer.strip_prefix('/')?;
        let (name, below) = path.split_at(path.find('/').unwrap_or(path.len()));
        find(self.get(&unescaped(name))?, below)
    }

    /// The deployment that has these members.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// Has `value` stand under `name`, whatever stood there.
    pub(super) fn set(&mut self, name: &'a str, value: Cow<'a, Value>) {
        self.0.insert(name, value);
    }

    /// Keeps what `kept` says by its name.
    pub(super) fn retain(&mut self, mut kept: impl FnMut(&str) -> bool) {
        self.0.retain(|name, _value| kept(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_found_as_in_the_whole() {
        let whole = json!({"a": {"b": [1, {"c": 2}]}, "d/e~": 3, "": {"": 4}});
        let members = Members::of(&whole);
        assert_eq!(members.to_value(), whole);
        for pointer in ["/a", "/a/b/1/c", "/d~1e~0", "/", "//", "/x", "/a/x", "a", "/d", "/a/b/9"] {
            assert_eq!(members.pointer(pointer), whole.pointer(pointer), "{pointer}");
        }
        assert_eq!(Members::of(&json!([1])), Members::default());
    }
}
