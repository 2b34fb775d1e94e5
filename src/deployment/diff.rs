//! What differs between two deployments, and how far a change did what it was asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::predict::Prediction;
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

/// Every place where `before` and `after` differ, sorted by path; none of them where one is
/// missing but both are not: a missing document differs as `null` does. Objects are compared
/// member by member, arrays of equal length element by element, other arrays whole.
#[must_use]
pub fn diff(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<Difference> {
    let _ = (provider, operation, before, after);
    todo!()
}

/// Compares what came with what was predicted.
#[must_use]
pub fn effect(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    prediction: &Prediction,
    after: &Value,
) -> Effect {
    let _ = (provider, operation, before, prediction, after);
    todo!()
}

/// Tells from a later `snapshot` whether a change with an unclear end was applied: `true` where
/// what it asked for is there and was not before, `false` where all of it is as before, none
/// where it can't be told.
#[must_use]
pub fn settle(
    provider: &Provider,
    operation: Operation,
    before: Option<&Value>,
    prediction: &Prediction,
    snapshot: &Value,
) -> Applied {
    let _ = (provider, operation, before, prediction, snapshot);
    todo!()
}
