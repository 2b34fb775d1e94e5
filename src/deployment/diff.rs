//! Differences between two deployments, and how far a change did what it was asked.

mod compare;
mod places;
mod sent;
mod walk;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::compare::{effect, settle};
use self::places::{Bounds, Pair, places};
use self::sent::{Sent, copy};
use super::Object;
use super::members::Members;
use super::patch::Patch;
use super::predict::{Omitted, predict};
use crate::base::pointer;
use crate::provider::{Operation, Provider};

/// One place where two documents differ.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Whether the place appeared, vanished or changed.
    pub op: DifferenceOp,
    /// JSON Pointer (RFC 6901) of the place.
    pub path: String,
    /// The value before; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The value after; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// Whether the server changes this place by itself.
    pub computed: bool,
    /// Whether upstream takes this value and never shows it: it was sent, and may be the same that
    /// stood there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub write_only: bool,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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

/// The most differences that are told, beside the members of the document, and the most bytes of
/// their pointers. Where there are more, places around them are told instead.
const DIFFERENCES: Bounds = Bounds { places: 10_000, bytes: 1 << 20 };

/// The same, of changed places: they are kept with every change.
const CHANGED: Bounds = Bounds { places: 256, bytes: 64 << 10 };

/// A place that a change has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPlace {
    /// JSON Pointer (RFC 6901) of the place.
    pub path: String,
    /// Whether any place below it may have changed: a list of another length, or a place that
    /// stands for the many inside it.
    pub is_whole: bool,
}

/// Every place where `before` and `after` differ, sorted by path. A missing document differs as
/// an empty object does, so that on create every top-level member is one difference. Objects are
/// compared member by member, arrays of equal length element by element, other arrays whole.
/// Where differences are too many, or their pointers too long, the places around them are told.
///
/// A place that `patch` has set to what came is not computed, wherever it stands. What `patch`
/// sends and upstream never shows is told as added.
#[must_use]
pub fn diff(
    provider: &Provider,
    operation: Operation,
    patch: &Object,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<Difference> {
    let missing = Value::Object(Object::new());
    let (from, to) = (before.unwrap_or(&missing), after.unwrap_or(&missing));
    let marks: Vec<&str> = computed_by(provider, operation).collect();
    let found = places::<false>(&Pair { from, to, patch, marks: &marks }, DIFFERENCES);
    let told = found.into_iter().map(|found| Difference {
        op: match (found.from, found.to) {
            (Some(_), Some(_)) => DifferenceOp::Replace,
            (None, _) => DifferenceOp::Add,
            (_, None) => DifferenceOp::Remove,
        },
        path: found.pointer,
        from: found.from.cloned(),
        to: found.to.cloned(),
        computed: found.is_marked,
        write_only: false,
    });
    let sent = Sent::of(provider, patch, from, to).values.into_iter();
    let sent = sent.map(|(path, value)| Difference {
        op: DifferenceOp::Add,
        path,
        from: None,
        to: Some(value.clone()),
        computed: false,
        write_only: true,
    });
    let mut told: Vec<_> = told.chain(sent).collect();
    told.sort_by(|one, other| one.path.cmp(&other.path));
    told
}

/// Where [`diff`] finds differences that are not computed; what appeared or vanished is told by its
/// leaves. No place at or below which something changed is missing: each is there, or
/// stands below one that is whole.
#[must_use]
pub fn changed(
    provider: &Provider,
    operation: Operation,
    patch: &Object,
    before: Option<&Value>,
    after: &Value,
) -> Vec<ChangedPlace> {
    let missing = Value::Object(Object::new());
    let from = before.unwrap_or(&missing);
    let marks: Vec<&str> = computed_by(provider, operation).collect();
    let found = places::<true>(&Pair { from, to: after, patch, marks: &marks }, CHANGED);
    let told = found
        .into_iter()
        .map(|found| ChangedPlace { path: found.pointer, is_whole: found.is_whole });
    let sent = Sent::of(provider, patch, from, after);
    let more = sent.more_in.into_iter().map(|name| {
        let path = pointer::child("", name);
        ChangedPlace { path, is_whole: true }
    });
    let sent = sent.values.into_iter().map(|(path, _)| ChangedPlace { path, is_whole: false });
    told.chain(sent).chain(more).collect()
}

/// Where `patch` asks a deployment to change: where the documented reading of it differs from what
/// stood `before`, told as [`changed`] tells it.
#[must_use]
pub fn asked(
    provider: &Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<&Value>,
    patch: &Patch,
) -> Vec<ChangedPlace> {
    let (from, to) = meant(provider, operation, omitted, before, patch);
    changed(provider, operation, &patch.object, Some(&from), &to)
}

/// The same with the values there, told as [`diff`] tells it.
#[must_use]
pub fn asked_values(
    provider: &Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<&Value>,
    patch: &Patch,
) -> Vec<Difference> {
    let (from, to) = meant(provider, operation, omitted, before, patch);
    diff(provider, operation, &patch.object, Some(&from), Some(&to))
}

/// The members that the documented reading of `patch` makes another of, as they stood `before` and
/// as they would be.
fn meant(
    provider: &Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<&Value>,
    patch: &Patch,
) -> (Value, Value) {
    let prediction = predict(provider, operation, omitted, before, patch);
    let (mut from, mut to) = (Object::new(), Object::new());
    for (name, asked) in prediction.readings.first().into_iter().flat_map(Members::iter) {
        let standing = before.and_then(|before| before.get(name));
        if standing.is_some_and(|standing| same(standing, asked)) {
            continue;
        }
        to.insert(name.to_owned(), asked.clone());
        from.extend(standing.map(|standing| (name.to_owned(), standing.clone())));
    }
    (from.into(), to.into())
}

/// The part of a patch that [`diff`] and [`changed`] look at: what it sets where the provider
/// computes, and what is never shown.
#[must_use]
pub fn told_by_patch(provider: &Provider, patch: &Object) -> Object {
    let mut part = Object::new();
    for path in provider.computed.iter().copied().chain(provider.write_only()) {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (name, below) = path.split_at(path.find('/').unwrap_or(path.len()));
        if let Some(asked) = patch.get(name) {
            copy(asked, below, part.entry(name).or_insert(Value::Null));
        }
    }
    part
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
            let found = diff(provider, operation, &Object::new(), Some(&active), Some(&paused));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].computed, computed);
        }
    }

    #[test]
    fn a_missing_document_differs_member_by_member() {
        let provider = Provider::named("qoder").unwrap();
        let document = json!({"a/b": {"c": 1}, "updated_at": "t"});
        let made = diff(provider, Operation::Create, &Object::new(), None, Some(&document));
        let paths: Vec<_> = made.iter().map(|d| (d.op, d.path.as_str(), d.computed)).collect();
        let add = DifferenceOp::Add;
        assert_eq!(paths, [(add, "/a~1b", false), (add, "/updated_at", true)]);
        let gone = diff(provider, Operation::Update, &Object::new(), Some(&document), None);
        assert!(gone.iter().all(|d| d.op == DifferenceOp::Remove && d.to.is_none()));
        assert_eq!(diff(provider, Operation::Run, &Object::new(), None, None), []);
    }
}
