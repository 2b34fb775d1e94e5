//! Values that upstream takes and never shows: where a patch sends one, nothing else tells of it.

use serde_json::Value;

use crate::base::pointer::{find, push_segment};
use crate::base::work;
use crate::deployment::Object;
use crate::provider::Provider;

/// The most values of one patch that are told.
const SENT_MAX: usize = 64;

/// Write-only values that a patch sends, by their JSON Pointers.
#[derive(Debug, Default)]
pub(super) struct Sent<'p> {
    pub(super) values: Vec<(String, &'p Value)>,
    /// The members of the document inside which there are more.
    pub(super) more_in: Vec<&'p str>,
}

impl<'p> Sent<'p> {
    /// Those of `patch` that are not shown `before` or `after`, where others tell of them.
    pub(super) fn of(
        provider: &Provider,
        patch: &'p Object,
        before: &Value,
        after: &Value,
    ) -> Self {
        let mut sent = Self::default();
        for path in provider.write_only() {
            let path = path.strip_prefix('/').unwrap_or(path);
            let (name, below) = path.split_once('/').unwrap_or((path, ""));
            let Some((name, value)) = patch.get_key_value(name) else { continue };
            let mut place = String::new();
            push_segment(&mut place, name);
            if !sent.collect(value, below, &place) {
                sent.more_in.push(name);
            }
        }
        let is_shown = |place: &str| [before, after].iter().any(|all| find(all, place).is_some());
        sent.values.retain(|(place, _value)| !is_shown(place));
        sent.values.sort_by(|(one, _), (other, _)| one.cmp(other));
        sent
    }

    /// Adds the values at `path` below `value`, which stands at `place`; whether there was room.
    fn collect(&mut self, value: &'p Value, path: &str, place: &str) -> bool {
        work::count(1);
        if path.is_empty() {
            let has_room = self.values.len() < SENT_MAX;
            if has_room && !value.is_null() {
                self.values.push((place.to_owned(), value));
            }
            return has_room;
        }
        let (key, rest) = path.split_once('/').unwrap_or((path, ""));
        let inner = |segment: &str| {
            let mut inner = place.to_owned();
            push_segment(&mut inner, segment);
            inner
        };
        match (key, value) {
            ("*", Value::Array(elements)) => {
                (0..).zip(elements).all(|(index, element): (usize, _)| {
                    self.collect(element, rest, &inner(&index.to_string()))
                })
            }
            (_, Value::Object(members)) => {
                members.get(key).is_none_or(|member| self.collect(member, rest, &inner(key)))
            }
            _ => true,
        }
    }
}

/// Copies what `from` has at `path`, in which `*` is any element of a list, to the same place of
/// `into`.
pub(super) fn copy(from: &Value, path: &str, into: &mut Value) {
    work::count(1);
    let Some(path) = path.strip_prefix('/') else {
        *into = from.clone();
        return;
    };
    let (key, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    match (key, from) {
        ("*", Value::Array(elements)) => {
            if !into.is_array() {
                *into = Value::Array(vec![Value::Null; elements.len()]);
            }
            let copies = into.as_array_mut().into_iter().flatten();
            elements.iter().zip(copies).for_each(|(element, into)| copy(element, rest, into));
        }
        (_, Value::Object(members)) => {
            let Some(member) = members.get(key) else { return };
            if !into.is_object() {
                *into = Value::Object(Object::new());
            }
            if let Value::Object(into) = into {
                copy(member, rest, into.entry(key).or_insert(Value::Null));
            }
        }
        _ => {}
    }
}
