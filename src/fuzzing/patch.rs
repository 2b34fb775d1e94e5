//! The strict reading of bodies, beside a second reader.

use serde_json::Value;

use super::{assert_shown, json};
use crate::base::canonical::canonical;
use crate::deployment::Object;
use crate::deployment::diff::same;
use crate::deployment::name::{folded_start, is_taken_for};
use crate::deployment::patch::{PatchError, parse, parse_value};
use crate::provider::Provider;

/// Any body is refused, or is one that every reader reads alike: the two here, and serde's own.
///
/// # Panics
/// Where that does not hold.
pub fn patch(body: &[u8]) {
    let [provider, ..] = Provider::ALL;
    for depth_max in [3, 64] {
        let value = parse_value(body, depth_max);
        assert_eq!(value.as_ref().ok(), json::read(body, depth_max, true).as_ref());
        let object = parse(provider, body, depth_max);
        let second = json::read(body, depth_max, false);
        let fits = |value: &Value| {
            value.as_object().is_some_and(|object| {
                metadata_fits(object.get("metadata")) && !misleads(provider, object)
            })
        };
        let expected = second.filter(fits);
        let found = object.as_ref().ok().map(|patch| Value::Object(patch.object.clone()));
        assert_eq!(found, expected);
        for error in [value.as_ref().err(), object.as_ref().err()].into_iter().flatten() {
            assert_refusal(error);
        }
        let Ok(value) = value else { continue };
        assert_eq!(serde_json::from_slice::<Value>(body).ok().as_ref(), Some(&value));
        let again = canonical(&value);
        let again = parse_value(&again, depth_max);
        assert!(again.is_ok_and(|again| same(&again, &value)), "printed, it is the same: {value}");
    }
}

fn assert_refusal(error: &PatchError) {
    assert_shown(&error.message);
    assert!(error.param.as_ref().is_none_or(|param| !param.chars().any(char::is_control)));
}

/// Whether a careless server takes a member for a field that it is not, or for another method.
fn misleads(provider: &Provider, object: &Object) -> bool {
    let fields = || provider.fields.iter().map(|field| field.name);
    let known = || fields().chain(["_method", "_httpmethod"]);
    let taken = |name: &String| known().any(|known| is_taken_for(name, known));
    // The first word of a name that goes on, for servers that read names as paths.
    let leads = |name: &String| {
        let start = folded_start(name, 64).0;
        let mut words = start.split(|c: char| !c.is_alphanumeric() && c != '_');
        let root = words.find(|word| !word.is_empty()).unwrap_or_default();
        root.len() < start.len() && fields().any(|field| field == root)
    };
    let is_field = |name: &String| fields().any(|field| field == name);
    object.keys().any(|name| !is_field(name) && (taken(name) || leads(name)))
}

fn metadata_fits(metadata: Option<&Value>) -> bool {
    fn keys(value: &Value) -> usize {
        match value {
            Value::Object(members) => members.values().map(|value| 1 + keys(value)).sum(),
            Value::Array(elements) => elements.iter().map(keys).sum(),
            _ => 0,
        }
    }
    fn longest(value: &Value) -> usize {
        match value {
            Value::Object(members) => {
                let names = members.keys().map(|name| name.chars().count());
                names.chain(members.values().map(longest)).max().unwrap_or(0)
            }
            Value::Array(elements) => elements.iter().map(longest).max().unwrap_or(0),
            _ => 0,
        }
    }
    metadata.is_none_or(|metadata| {
        metadata.is_object() && keys(metadata) <= 1_000 && longest(metadata) <= 128
    })
}
