//! Documents of cases: typed in the case, as a table or as JSON, or in a file of their own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::ReadFile;
use crate::base::pointer::keys;
use crate::deployment::patch::{DEPTH_MAX, parse_value};
use crate::settings::document::json;
use crate::settings::raw::{Node, Value as Typed};

/// The most bytes of all documents of a file of cases, those of its variants included.
pub(super) const DOCUMENTS_BYTES_MAX: usize = 64 << 20;

/// The document of a typed value: a table, or a text in JSON.
pub(super) fn typed(node: &Node) -> Result<Value, (crate::settings::complaint::Location, String)> {
    let refuse = |message: String| Err((node.place.clone(), message));
    match &node.value {
        Typed::Table(_) => json(node),
        Typed::Text(text) => parsed(text).or_else(refuse),
        _ => refuse(format!("{} is no document: write a table, or JSON in quotes", node.shown())),
    }
}

/// Reads a text as strictly as the gateway reads a body.
pub(super) fn parsed(text: &str) -> Result<Value, String> {
    match parse_value(text.trim().as_bytes(), DEPTH_MAX) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err("this is not a JSON object: write { … }".to_owned()),
        Err(error) => Err(format!("this is not JSON as it should be: {error}")),
    }
}

/// Documents that stand in files, each read once.
pub(super) struct Files<'r> {
    read: &'r mut ReadFile<'r>,
    known: HashMap<PathBuf, Result<Arc<Value>, String>>,
}

impl<'r> Files<'r> {
    pub(super) fn new(read: &'r mut ReadFile<'r>) -> Self {
        Self { read, known: HashMap::new() }
    }

    /// The document in a file, and the bytes that it takes where it was not read before.
    pub(super) fn get(&mut self, path: PathBuf) -> (Result<Arc<Value>, String>, usize) {
        if let Some(known) = self.known.get(&path) {
            return (known.clone(), 0);
        }
        let text = (self.read)(&path);
        let bytes = text.as_ref().map_or(0, String::len);
        let named = |error| format!("{}: {error}", path.display());
        let read = text.and_then(|text| parsed(&text).map(Arc::new).map_err(named));
        self.known.insert(path, read.clone());
        (read, bytes)
    }
}

/// A change of a document at a place.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// A value stands there.
    Set(Value),
    /// Nothing stands there.
    Remove,
}

/// Changes a document at a JSON Pointer; objects that are not there yet on the way to it are made.
/// Gives the fault where there is no such place.
pub(super) fn edit(document: &mut Value, pointer: &str, edit: Edit) -> Result<(), String> {
    let keys: Vec<_> = keys(pointer).collect();
    let Some((last, way)) = keys.split_last() else {
        return Err("the whole document is set by its own key".to_owned());
    };
    let mut place = document;
    for key in way {
        place = step(place, key)?;
    }
    match (place, edit) {
        (Value::Object(members), Edit::Set(value)) => _ = members.insert(last.to_string(), value),
        (Value::Object(members), Edit::Remove) => {
            if members.remove(&**last).is_none() {
                return Err(format!("there is no `{last}` to remove"));
            }
        }
        (Value::Array(items), Edit::Set(value)) if is_end(last, items) => items.push(value),
        (Value::Array(items), edit) => {
            let at = last.parse().ok().filter(|at| *at < items.len());
            let Some(at) = at else { return Err(no_element(last, items)) };
            match edit {
                Edit::Set(value) => {
                    if let Some(item) = items.get_mut(at) {
                        *item = value;
                    }
                }
                Edit::Remove => _ = items.remove(at),
            }
        }
        _ => return Err(format!("what is around `{last}` is no object and no list")),
    }
    Ok(())
}

/// The place one key further.
fn step<'v>(place: &'v mut Value, key: &str) -> Result<&'v mut Value, String> {
    match place {
        Value::Object(members) => {
            let member =
                members.entry(key).or_insert_with(|| Value::Object(serde_json::Map::new()));
            // Null is where an object may come to be.
            if member.is_null() {
                *member = Value::Object(serde_json::Map::new());
            }
            Ok(member)
        }
        Value::Array(items) => {
            let fault = no_element(key, items);
            let at: Option<usize> = key.parse().ok();
            at.and_then(|at| items.get_mut(at)).ok_or(fault)
        }
        _ => Err(format!("what is around `{key}` is no object and no list")),
    }
}

fn is_end(key: &str, items: &[Value]) -> bool {
    key == "-" || key.parse() == Ok(items.len())
}

fn no_element(key: &str, items: &[Value]) -> String {
    format!("a list of {} has no element `{key}`", items.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_set_and_removed_by_pointer() {
        let mut document = json!({"a": {"b": [1, {"c": 2}]}, "n": null});
        for (pointer, value) in [("/a/b/1/c", 3), ("/a/b/-", 4), ("/x/y", 5), ("/n/m", 6)] {
            edit(&mut document, pointer, Edit::Set(json!(value))).unwrap();
        }
        edit(&mut document, "/a/b/0", Edit::Remove).unwrap();
        let expected = json!({"a": {"b": [{"c": 3}, 4]}, "n": {"m": 6}, "x": {"y": 5}});
        assert_eq!(document, expected);
        for pointer in ["/a/b/7", "/a/b/0/c/d", "", "/a/b/x"] {
            assert!(edit(&mut document, pointer, Edit::Set(json!(1))).is_err(), "{pointer}");
        }
        assert!(edit(&mut document, "/gone", Edit::Remove).is_err());
        assert_eq!(document, expected);
    }
}
