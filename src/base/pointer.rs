//! JSON Pointers (RFC 6901): names of places inside a document.

use std::borrow::Cow;

use serde_json::Value;

use crate::base::scan::any;

/// The pointer to the member or element `key` of what `path` names.
pub(crate) fn child(path: &str, key: &str) -> String {
    let mut path = path.to_owned();
    push_segment(&mut path, key);
    path
}

/// Adds the segment that names the member or element `key`.
pub(crate) fn push_segment(path: &mut String, key: &str) {
    path.push('/');
    path.push_str(&segment_of(key));
}

/// The segment that names `key` (RFC 6901, 3).
pub(crate) fn segment_of(key: &str) -> Cow<'_, str> {
    if is_plain(key) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
}

/// Names the member or element `key` below `path` for as long as `inside` runs.
pub(crate) fn below<T>(path: &mut String, key: &str, inside: impl FnOnce(&mut String) -> T) -> T {
    let parent_bytes = path.len();
    push_segment(path, key);
    let done = inside(path);
    path.truncate(parent_bytes);
    done
}

/// Whether `path` is the place `above` or one below it.
pub(crate) fn covers(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The value that `pointer` names below `value`, as [`Value::pointer`] finds it, which copies every
/// segment to unescape it.
pub(crate) fn find<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    keys_of(pointer)?.try_fold(value, |value, key| match value {
        Value::Object(members) => members.get(&*key),
        Value::Array(items) => items.get(index(&key)?),
        _ => None,
    })
}

/// The same, to be altered.
pub(crate) fn find_mut<'v>(value: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    keys_of(pointer)?.try_fold(value, |value, key| match value {
        Value::Object(members) => members.get_mut(&*key),
        Value::Array(items) => items.get_mut(index(&key)?),
        _ => None,
    })
}

/// The keys that a pointer leads through, one after the other.
pub(crate) fn keys(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(unescaped)
}

/// The same; `None` where it is not a pointer.
fn keys_of(pointer: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    let is_pointer = pointer.is_empty() || pointer.starts_with('/');
    is_pointer.then(|| keys(pointer))
}

/// The element that a key names: a number without leading zeros.
fn index(key: &str) -> Option<usize> {
    let is_spelt_so = key == "0" || key.starts_with(|c: char| matches!(c, '1'..='9'));
    key.parse().ok().filter(|_| is_spelt_so)
}

/// Takes the member that `pointer` names out of its object, if it is there.
pub(crate) fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(object) = find_mut(document, parent).and_then(Value::as_object_mut) {
        object.remove(&*unescaped(key));
    }
}

/// The key that a segment names (RFC 6901, 4).
pub(crate) fn unescaped(segment: &str) -> Cow<'_, str> {
    if is_plain(segment) {
        return Cow::Borrowed(segment);
    }
    Cow::Owned(segment.replace("~1", "/").replace("~0", "~"))
}

/// Whether a key and the segment that names it are the same text.
fn is_plain(key: &str) -> bool {
    !any(key.as_bytes(), |byte| byte == b'~' || byte == b'/')
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
        let mut path = "/a".to_owned();
        assert_eq!(below(&mut path, "b/c~1", |path| path.clone()), pointer);
        assert_eq!(path, "/a");
        assert_eq!(document.pointer(&pointer), Some(&json!(1)));
        remove(&mut document, &pointer);
        assert_eq!(document, json!({"a": {"d": 2}}));
    }

    #[test]
    fn what_is_found_is_what_serde_json_finds() {
        let mut document = json!({"a": [0, {"b": 1}], "c~/": {"": [[2]]}, "0": 3, "": 4});
        for pointer in [
            "",
            "/",
            "/a",
            "/a/0",
            "/a/1/b",
            "/a/01",
            "/a/+1",
            "/a/-",
            "/a/2",
            "/a/0/b",
            "/c~0~1",
            "/c~0~1//0/0",
            "/0",
            "a",
            "/a/",
            "//",
            "/a/18446744073709551616",
            "/c~1~0",
        ] {
            assert_eq!(find(&document, pointer), document.pointer(pointer), "{pointer}");
            let altered = document.pointer_mut(pointer).cloned();
            assert_eq!(find_mut(&mut document, pointer).cloned(), altered, "{pointer}");
        }
    }

    #[test]
    fn a_place_covers_itself_and_what_is_below_but_no_namesake() {
        assert!(covers("/a", "/a") && covers("/a", "/a/b") && covers("", "/a"));
        assert!(!covers("/a", "/ab") && !covers("/a/b", "/a"));
    }
}
