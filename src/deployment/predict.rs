//! The deployment to be if upstream does what is asked: by field table, not by merge-patch.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Object;
use super::members::Members;
use super::patch::Patch;
use crate::base::pointer::{self, child, covers, find};
use crate::provider::{Operation, Provider, Update};

/// The predicted deployment, under every reading of the call that a provider may hold, told by
/// what stood before and what is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction<'a> {
    /// One to six, all different; the first is the documented reading. More than one only where
    /// the reading of a nested metadata value (replace or merge), of PUT (omitted = removed), of a
    /// reserved key that is to be deleted (kept or deleted) or of a body on an action (ignored or
    /// taken as an update) is open.
    pub readings: Vec<Members<'a>>,
    /// JSON Pointers of what can't be told beforehand (a re-pinned `agent.version`, say).
    pub open: Vec<String>,
}

/// How the call's method reads the members that the body omits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// POST and PATCH: they are preserved.
    Preserved,
    /// PUT: they may be preserved or removed; both readings are predicted.
    Open,
}

impl Omitted {
    /// How a call by that method reads them.
    #[must_use]
    pub fn by(method: &http::Method) -> Self {
        if method == http::Method::PUT { Self::Open } else { Self::Preserved }
    }
}

/// How an object in a metadata patch meets the object that stands under the same key.
#[derive(Clone, Copy)]
enum Nested {
    /// It replaces it: the documented reading.
    Replaced,
    /// It is merged into it (RFC 7396).
    Merged,
}

/// Predicts what `operation` makes of `before` (none on create).
#[must_use]
pub fn predict<'a>(
    provider: &Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<&'a Value>,
    patch: &'a Patch,
) -> Prediction<'a> {
    let before = before.map(Members::of).unwrap_or_default();
    let readings = match operation {
        Operation::Create => {
            vec![apply(provider, &Members::default(), patch, Nested::Replaced)]
        }
        Operation::Update => updated(provider, omitted, &before, patch),
        Operation::Archive | Operation::Pause | Operation::Unpause | Operation::Run => {
            acted(provider, operation, &before, patch)
        }
    };
    let open = open(provider, operation, patch, readings.first());
    let mut distinct: Vec<Members<'_>> = Vec::new();
    for reading in readings {
        if !distinct.contains(&reading) {
            distinct.push(reading);
        }
    }
    Prediction { readings: distinct, open }
}

fn updated<'a>(
    provider: &Provider,
    omitted: Omitted,
    before: &Members<'a>,
    patch: &'a Patch,
) -> Vec<Members<'a>> {
    let mut readings = vec![apply(provider, before, patch, Nested::Replaced)];
    if nests(provider, patch) {
        readings.push(apply(provider, before, patch, Nested::Merged));
    }
    if omitted == Omitted::Open {
        let mut kept = before.clone();
        kept.retain(|name| provider.update_of(name) == Update::Computed);
        readings.push(apply(provider, &kept, patch, Nested::Replaced));
    }
    for (field, key) in provider.reserved_keys {
        let is_deleted = |patch: &Value| patch.get(key).is_some_and(Value::is_null);
        let standing = before.get(field).and_then(|standing| standing.get(key));
        if let Some(standing) =
            standing.filter(|_| patch.object.get(*field).is_some_and(is_deleted))
        {
            let keeping = readings.iter().map(|reading| with_key(reading, field, key, standing));
            readings = keeping.collect::<Vec<_>>().into_iter().chain(readings).collect();
        }
    }
    readings
}

/// The reading in which `value` stands under a key of a field.
fn with_key<'a>(
    reading: &Members<'a>,
    field: &'static str,
    key: &str,
    value: &Value,
) -> Members<'a> {
    let mut reading = reading.clone();
    let mut members = reading.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    members.insert(key.to_owned(), value.clone());
    reading.set(field, Cow::Owned(members.into()));
    reading
}

/// Whether an object stands under a key of a field that is patched key by key: only there replacing
/// and merging differ.
fn nests(provider: &Provider, patch: &Patch) -> bool {
    let keyed = |name: &str| provider.update_of(name) == Update::PerKey;
    let keyed = patch.object.iter().filter(|(name, _)| keyed(name));
    let mut values = keyed.filter_map(|(_, asked)| asked.as_object()).flat_map(Object::values);
    values.any(Value::is_object)
}

/// An action takes no body. A lenient server might take one as an update all the same, so that
/// reading is predicted too and the policy sees it.
fn acted<'a>(
    provider: &Provider,
    operation: Operation,
    before: &Members<'a>,
    patch: &'a Patch,
) -> Vec<Members<'a>> {
    let mut readings = vec![before.clone()];
    if !patch.object.is_empty() {
        readings.extend(updated(provider, Omitted::Preserved, before, patch));
    }
    for reading in &mut readings {
        let (status, reason) = match operation {
            Operation::Pause => ("paused", json!({"type": "manual"})),
            Operation::Unpause => ("active", Value::Null),
            _ => continue,
        };
        reading.set("status", Cow::Owned(status.into()));
        reading.set("paused_reason", Cow::Owned(reason));
    }
    readings
}

fn apply<'a>(
    provider: &Provider,
    before: &Members<'a>,
    patch: &'a Patch,
    nested: Nested,
) -> Members<'a> {
    let mut after = before.clone();
    for (name, asked) in &patch.object {
        let asked = without_computed_below(provider, &child("", name), asked);
        let standing = before.get(name);
        let value = match provider.update_of(name) {
            Update::Computed => continue,
            // The API refuses to clear these, so there is nothing to predict but what stands.
            Update::Required | Update::AgentReference if asked.is_null() => continue,
            Update::Replace if asked.is_null() => Cow::Owned(cleared(standing)),
            Update::Replace | Update::Required => asked,
            Update::AgentReference => Cow::Owned(agent(asked.into_owned())),
            Update::PerKey => Cow::Owned(per_key(standing, asked.into_owned(), nested)),
        };
        after.set(name, value);
    }
    after
}

/// The value that the server shows for a cleared field: a list without elements, or null.
fn cleared(standing: Option<&Value>) -> Value {
    if standing.is_some_and(Value::is_array) { json!([]) } else { Value::Null }
}

/// An agent may be named by its id alone; it is shown as an object.
fn agent(asked: Value) -> Value {
    match asked {
        Value::String(id) => json!({"id": id, "type": "agent"}),
        Value::Object(mut reference) => {
            reference.entry("type").or_insert_with(|| "agent".into());
            reference.retain(|name, value| name != "version" || !value.is_null());
            reference.into()
        }
        other => other,
    }
}

fn per_key(standing: Option<&Value>, asked: Value, nested: Nested) -> Value {
    let Value::Object(asked) = asked else { return asked };
    let mut after = standing.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in asked {
        match (nested, after.get_mut(&key)) {
            _ if value.is_null() => _ = after.remove(&key),
            (Nested::Merged, Some(standing)) if standing.is_object() && value.is_object() => {
                merge(standing, value);
            }
            _ => _ = after.insert(key, value),
        }
    }
    after.into()
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// The value at `place`, a JSON Pointer, without what the server computes below it: what a client
/// sends there is not predicted, nor what stands there judged.
pub(crate) fn without_computed_below<'v>(
    provider: &Provider,
    place: &str,
    value: &'v Value,
) -> Cow<'v, Value> {
    let mut value = Cow::Borrowed(value);
    for inside in provider.computed.iter().filter_map(|path| path.strip_prefix(place)) {
        if inside.starts_with('/') && find(&value, inside).is_some() {
            pointer::remove(value.to_mut(), inside);
        }
    }
    value
}

fn open(
    provider: &Provider,
    operation: Operation,
    patch: &Patch,
    documented: Option<&Members<'_>>,
) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    for (name, asked) in &patch.object {
        let field = child("", name);
        let inside = |path: &&&str| covers(&field, path) && **path != field;
        open.extend(provider.computed.iter().filter(inside).map(|path| (*path).to_owned()));
        let pinned = asked.get("version").is_some_and(|version| !version.is_null());
        if provider.update_of(name) == Update::AgentReference && !asked.is_null() && !pinned {
            open.push(child(&field, "version"));
        }
    }
    if operation == Operation::Create {
        let unnamed = |name: &&str| documented.is_none_or(|object| object.get(name).is_none());
        let fields = provider.fields.iter().map(|field| field.name);
        open.extend(fields.filter(unnamed).map(|name| child("", name)));
    }
    if operation == Operation::Archive {
        open.extend(["/archived_at", "/status", "/paused_reason"].map(str::to_owned));
        if provider.archive_renames {
            open.push("/name".to_owned());
        }
    }
    open.sort();
    open.dedup();
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;

    #[test]
    fn every_case_is_predicted_as_its_file_says() {
        for case in cases("predict") {
            let [input, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let input: Value = serde_json::from_str(input).expect(&case.title);
            let omitted = match input.get("put") {
                Some(_) => Omitted::Open,
                None => Omitted::Preserved,
            };
            let operation = Operation::named(input["operation"].as_str().unwrap()).unwrap();
            let object = input.get("patch").and_then(Value::as_object).cloned();
            let patch = Patch { object: object.unwrap_or_default() };
            let prediction = predict(
                Provider::named(input["provider"].as_str().unwrap_or("qoder-cn")).unwrap(),
                operation,
                omitted,
                input.get("before"),
                &patch,
            );
            let mut found: Vec<String> =
                prediction.readings.iter().map(|reading| reading.to_value().to_string()).collect();
            found.push(format!("open {}", prediction.open.join(" ")).trim_end().to_owned());
            assert_eq!(found.join("\n"), *expected, "{}", case.title);
        }
    }
}
