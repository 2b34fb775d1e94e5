//! What differs between two deployments, and how far a change did what it was asked.

mod compare;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::compare::{effect, settle};
use super::Object;
use super::members::Members;
use super::pointer::{below, covers};
use crate::provider::{Operation, Provider};

/// One place where two documents differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Whether the place appeared, vanished or changed.
    pub op: DifferenceOp,
    /// JSON Pointer (RFC 6901) of the place.
    pub path: String,
    /// The value before, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The value after, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// Whether the server changes this place by itself.
    pub computed: bool,
}

/// The kind of a [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceOp {
    /// Only after has it.
    Add,
    /// Only before has it.
    Remove,
    /// Both have it, with other values.
    Replace,
}

/// How the deployment after compares with the one predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Equal to the predicted one, computed fields aside.
    Exact,
    /// Some of what was asked.
    Partial,
    /// Equal to the one before, computed fields aside, though a change was asked.
    None,
    /// Something that was not asked moved.
    Other,
}

/// Whether an unclear change turned out to be applied.
pub type Applied = Option<bool>;

/// Every place where `before` and `after` differ, sorted by path. A missing document differs as
/// an empty object does, so that on create every top-level member is one difference. Objects are
/// compared member by member, arrays of equal length element by element, other arrays whole.
#[must_use]
pub fn diff(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<Difference> {
    let missing = Value::Object(Object::new());
    let mut found = Vec::new();
    each_difference(
        before.unwrap_or(&missing),
        after.unwrap_or(&missing),
        &mut |path, from, to| {
            let op = match (from, to) {
                (Some(_), Some(_)) => DifferenceOp::Replace,
                (None, _) => DifferenceOp::Add,
                (_, None) => DifferenceOp::Remove,
            };
            let computed = is_computed(provider, operation, path);
            let (from, to) = (from.cloned(), to.cloned());
            found.push(Difference { op, path: path.to_owned(), from, to, computed });
        },
    );
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Where [`diff`] finds differences that are not computed, sorted.
#[must_use]
pub fn changed(
    provider: &Provider,
    operation: Operation,
    before: &Value,
    after: &Value,
) -> Vec<String> {
    let mut paths = Vec::new();
    each_difference(before, after, &mut |path, _, _| {
        if !is_computed(provider, operation, path) {
            paths.push(path.to_owned());
        }
    });
    paths.sort();
    paths
}

/// Whether two values mean the same: numbers are compared by their value, so that `1` is `1.0`.
#[must_use]
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        // Members are sorted by name.
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((name, one), (other_name, other))| {
                    name == other_name && same(one, other)
                })
        }
        _ => one == other,
    }
}

/// JSON Pointers of what the server changes by itself, seen from `operation`: pausing and
/// unpausing is a client's doing.
fn computed_by(provider: &Provider, operation: Operation) -> impl Iterator<Item = &str> {
    let asked = matches!(operation, Operation::Pause | Operation::Unpause);
    let computed = provider.computed.iter().copied();
    computed.filter(move |path| !(asked && matches!(*path, "/status" | "/paused_reason")))
}

fn is_computed(provider: &Provider, operation: Operation, path: &str) -> bool {
    computed_by(provider, operation).any(|above| covers(above, path))
}

/// One place where two documents differ: its JSON Pointer, and what each has there.
type Visit<'v> = dyn FnMut(&str, Option<&Value>, Option<&Value>) + 'v;

/// Visits every place where two documents differ.
fn each_difference(before: &Value, after: &Value, visit: &mut Visit<'_>) {
    walk(&mut String::new(), Some(before), Some(after), visit);
}

/// Visits every place where the members of a document differ from those of another.
fn each_difference_of_members(before: &Members<'_>, after: &Object, visit: &mut Visit<'_>) {
    walk_members(&mut String::new(), before.iter(), named(after), visit);
}

fn named(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    object.iter().map(|(name, value)| (name.as_str(), value))
}

/// Visits members of two objects by name, both at once: they are sorted.
fn each_member<'v>(
    from: impl Iterator<Item = (&'v str, &'v Value)>,
    to: impl Iterator<Item = (&'v str, &'v Value)>,
    visit: &mut Visit<'_>,
) {
    let (mut from, mut to) = (from.peekable(), to.peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (Some((one, _)), Some((other, _))) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let one = if order.is_le() { from.next() } else { None };
        let other = if order.is_ge() { to.next() } else { None };
        if let Some((name, _)) = one.or(other) {
            visit(name, one.map(|(_, value)| value), other.map(|(_, value)| value));
        }
    }
}

fn walk(path: &mut String, from: Option<&Value>, to: Option<&Value>, visit: &mut Visit<'_>) {
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            walk_members(path, named(from), named(to), visit);
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) if from.len() == to.len() => {
            for (index, (from, to)) in from.iter().zip(to).enumerate() {
                if !same(from, to) {
                    below(path, &index.to_string(), |path| {
                        walk(path, Some(from), Some(to), visit);
                    });
                }
            }
        }
        (Some(from), Some(to)) if same(from, to) => {}
        (None, None) => {}
        (from, to) => visit(path, from, to),
    }
}

fn walk_members<'v>(
    path: &mut String,
    from: impl Iterator<Item = (&'v str, &'v Value)>,
    to: impl Iterator<Item = (&'v str, &'v Value)>,
    visit: &mut Visit<'_>,
) {
    each_member(from, to, &mut |key, from, to| {
        // Most members are the same: their places need no name.
        if !from.zip(to).is_some_and(|(from, to)| same(from, to)) {
            below(path, key, |path| walk(path, from, to, visit));
        }
    });
}

/// An integer and a double are the same where the double's exact value is that integer.
fn same_number(one: &serde_json::Number, other: &serde_json::Number) -> bool {
    let exact = |number: &serde_json::Number| match number.as_f64() {
        Some(double) if number.is_f64() => {
            (double.fract() == 0.0).then(|| format!("{double:.0}").parse::<i128>().ok())?
        }
        _ => number.to_string().parse().ok(),
    };
    exact(one).is_some_and(|one| exact(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_the_same_by_value_and_to_the_last_digit() {
        assert!(same(&json!(1), &json!(1.0)));
        assert!(same(&json!([{"a": 0}]), &json!([{"a": -0.0}])));
        assert!(!same(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992.0)));
        assert!(!same(&json!(1), &json!("1")));
        assert!(!same(&json!(1.5), &json!(1)));
        assert!(same(&json!(1e300), &json!(1e300)));
    }

    #[test]
    fn the_marks_are_of_the_operation() {
        let provider = Provider::named("qoder").unwrap();
        let (active, paused) = (json!({"status": "active"}), json!({"status": "paused"}));
        for (operation, computed) in [(Operation::Update, true), (Operation::Pause, false)] {
            let found = diff(provider, operation, Some(&active), Some(&paused));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].computed, computed);
        }
    }

    #[test]
    fn a_missing_document_differs_member_by_member() {
        let provider = Provider::named("qoder").unwrap();
        let document = json!({"a/b": {"c": 1}, "updated_at": "t"});
        let made = diff(provider, Operation::Create, None, Some(&document));
        let paths: Vec<_> = made.iter().map(|d| (d.op, d.path.as_str(), d.computed)).collect();
        let add = DifferenceOp::Add;
        assert_eq!(paths, [(add, "/a~1b", false), (add, "/updated_at", true)]);
        let gone = diff(provider, Operation::Update, Some(&document), None);
        assert!(gone.iter().all(|d| d.op == DifferenceOp::Remove && d.to.is_none()));
        assert_eq!(diff(provider, Operation::Run, None, None), []);
    }
}
