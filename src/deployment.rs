//! The resource's meaning: what a body asks for, what a deployment will be, what has changed.
//!
//! Everything below is pure: values in, values out.

pub mod diff;
pub mod digest;
mod ignorable;
pub mod key;
pub mod members;
pub(crate) mod name;
pub mod origin;
pub mod patch;
pub mod predict;
pub mod prose;
pub mod revert;
pub(crate) mod timetable;

use serde_json::{Map, Value};

use crate::provider::Provider;

/// A JSON object. Its members are kept sorted by name, so that equal objects print alike.
pub type Object = Map<String, Value>;

/// The id of the Deployment that `answer` is, or none where it is not a Deployment: an object whose
/// `type` is `deployment` and whose `id` is a non-empty string.
#[must_use]
pub fn id_of(answer: &Value) -> Option<&str> {
    let object = answer.as_object()?;
    let is_deployment = object.get("type").and_then(Value::as_str) == Some("deployment");
    object.get("id").and_then(Value::as_str).filter(|id| is_deployment && !id.is_empty())
}

/// Whether `answer` is a Deployment with every field that the provider always shows, null ones
/// included: what was asked of it may have been less than the whole.
#[must_use]
pub fn is_whole(provider: &Provider, answer: &Value) -> bool {
    id_of(answer).is_some() && provider.always_shown.iter().all(|name| answer.get(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_that_lacks_what_is_always_shown_is_not_whole() {
        let whole = json!({
            "id": "dep_1", "type": "deployment", "agent": null, "metadata": {}, "schedule": null
        });
        for provider in Provider::ALL {
            assert!(is_whole(provider, &whole));
            for name in provider.always_shown.iter().chain(&["id", "type"]) {
                let mut partial = whole.clone();
                partial.as_object_mut().unwrap().remove(*name);
                assert!(!is_whole(provider, &partial), "{name}");
            }
        }
    }
}
