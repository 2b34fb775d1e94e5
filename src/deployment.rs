//! The resource's meaning: what a body asks for, what a deployment will be, what has changed.
//!
//! Everything below is pure: values in, values out.

pub mod diff;
pub mod digest;
pub(crate) mod excerpt;
mod ignorable;
pub mod members;
pub(crate) mod name;
pub mod patch;
pub(crate) mod pointer;
pub mod predict;
mod text;

use serde_json::{Map, Value};

/// A JSON object. Its members are kept sorted by name, so that equal objects print alike.
pub type Object = Map<String, Value>;

/// The id of the Deployment that `answer` is, or none where it is no Deployment: an object whose
/// `type` is `deployment` and whose `id` is a non-empty string.
#[must_use]
pub fn id_of(answer: &Value) -> Option<&str> {
    let object = answer.as_object()?;
    let is_deployment = object.get("type").and_then(Value::as_str) == Some("deployment");
    object.get("id").and_then(Value::as_str).filter(|id| is_deployment && !id.is_empty())
}
