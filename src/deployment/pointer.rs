//! JSON Pointers (RFC 6901): names of places inside a document.

use serde_json::Value;

/// The pointer to the member or element `key` of what `path` names.
pub(crate) fn child(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Whether `path` is the place `above` or one below it.
pub(crate) fn covers(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Takes the member that `pointer` names out of its object, if it is there.
pub(crate) fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(object) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
        object.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_with_slash_and_tilde_is_escaped_and_found_again() {
        let mut document = json!({"a": {"b/c~1": 1, "d": 2}});
        let pointer = child("/a", "b/c~1");
        assert_eq!(pointer, "/a/b~1c~01");
        assert_eq!(document.pointer(&pointer), Some(&json!(1)));
        remove(&mut document, &pointer);
        assert_eq!(document, json!({"a": {"d": 2}}));
    }

    #[test]
    fn a_place_covers_itself_and_what_is_below_but_no_namesake() {
        assert!(covers("/a", "/a") && covers("/a", "/a/b") && covers("", "/a"));
        assert!(!covers("/a", "/ab") && !covers("/a/b", "/a"));
    }
}
