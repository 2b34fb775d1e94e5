//! The strict reading of bodies, beside a second reader.

use serde_json::Value;

use super::{assert_shown, json};
use crate::deployment::digest::canonical;
use crate::deployment::patch::{PatchError, parse, parse_value};

/// Any body is refused, or is one that every reader reads alike: the two here, and serde's own.
///
/// # Panics
/// Where that does not hold.
pub fn patch(body: &[u8]) {
    for depth_max in [3, 64] {
        let value = parse_value(body, depth_max);
        assert_eq!(value.as_ref().ok(), json::read(body, depth_max, true).as_ref());
        let object = parse(body, depth_max);
        let second = json::read(body, depth_max, false);
        let fits =
            |value: &Value| value.as_object().is_some_and(|o| metadata_fits(o.get("metadata")));
        let expected = second.filter(fits);
        let found = object.as_ref().ok().map(|patch| Value::Object(patch.object.clone()));
        assert_eq!(found, expected);
        for error in [value.as_ref().err(), object.as_ref().err()].into_iter().flatten() {
            assert_refusal(error);
        }
        let Ok(value) = value else { continue };
        assert_eq!(serde_json::from_slice::<Value>(body).ok().as_ref(), Some(&value));
        let again = canonical(&value);
        assert_eq!(parse_value(&again, depth_max).as_ref(), Ok(&value), "printed, it is the same");
    }
}

fn assert_refusal(error: &PatchError) {
    assert_shown(&error.message);
    assert!(error.param.as_ref().is_none_or(|param| !param.chars().any(char::is_control)));
}

fn metadata_fits(metadata: Option<&Value>) -> bool {
    fn keys(value: &Value) -> usize {
        match value {
            Value::Object(members) => members.values().map(|value| 1 + keys(value)).sum(),
            Value::Array(elements) => elements.iter().map(keys).sum(),
            _ => 0,
        }
    }
    metadata.is_none_or(|metadata| metadata.is_object() && keys(metadata) <= 1_000)
}
