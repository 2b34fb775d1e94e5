//! Effects that no call may have, by the policy of these tests.

use serde_json::{Map, Value};
use unicode_security::skeleton;

use super::understood::fold;

/// A deployment as it is before anybody changes it.
pub(super) fn fresh(id: &str) -> Value {
    serde_json::json!({
        "type": "deployment",
        "id": id,
        "name": "fresh",
        "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"},
        "metadata": {
            "cas_config": {"config": {"max_concurrent": 1, "max_retries": 0}},
            "team": "a",
        },
    })
}

/// How an object meets the one that stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nested {
    Replaced,
    Merged,
}

/// Lays a body over a deployment, names without regard to case, width and space.
pub(super) fn laid(before: &Value, body: &Value, nested: Nested) -> Value {
    let mut after = before.as_object().cloned().unwrap_or_default();
    for (key, value) in body.as_object().into_iter().flatten() {
        let name = fold(key);
        if ["id", "type"].contains(&name.as_str()) {
            continue;
        }
        let value = match name.as_str() {
            "metadata" => keyed(after.get("metadata"), value, nested),
            "schedule" => named(value),
            _ => value.clone(),
        };
        after.insert(name, value);
    }
    after.into()
}

fn named(schedule: &Value) -> Value {
    match schedule.as_object() {
        Some(members) => members.iter().map(|(key, value)| (fold(key), value.clone())).collect(),
        None => schedule.clone(),
    }
}

fn keyed(standing: Option<&Value>, asked: &Value, nested: Nested) -> Value {
    let Some(asked) = asked.as_object() else { return asked.clone() };
    let mut after = standing.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in asked {
        if value.is_null() {
            after.remove(key);
        } else if nested == Nested::Merged && value.is_object() && after.contains_key(key) {
            let merged = keyed(after.get(key), value, nested);
            after.insert(key.clone(), merged);
        } else {
            after.insert(key.clone(), value.clone());
        }
    }
    after.into()
}

/// Returns how a deployment breaks the policy, if it does; `created` if it did not exist before.
pub(super) fn harm(deployment: &Value, created: bool) -> Option<String> {
    let metadata = deployment.get("metadata").and_then(Value::as_object);
    let looks = |text: &str| fold(&skeleton(&fold(text)).collect::<String>());
    let forbidden = |key: &String| {
        let look = looks(key);
        look == looks("owner_override") || look.starts_with(&looks("secret_"))
    };
    if let Some(key) = metadata.into_iter().flat_map(Map::keys).find(|key| forbidden(key)) {
        return Some(format!("metadata.{key} is set"));
    }
    let protected = deployment.pointer("/metadata/cas_config/config/max_concurrent");
    if protected != (!created).then_some(&Value::from(1)) {
        return Some(format!("the protected key is {protected:?}"));
    }
    let schedule = deployment.get("schedule").unwrap_or(&Value::Null);
    if schedule.is_null() {
        return None;
    }
    let zone = schedule.get("timezone").and_then(Value::as_str);
    if !zone.is_some_and(|zone| ["UTC", "Asia/Shanghai"].contains(&zone)) {
        return Some(format!("the schedule is {schedule}"));
    }
    let expression = schedule.get("expression").map(ToString::to_string).unwrap_or_default();
    let expression = fold(&expression).replace("tz=utc", "").replace("tz=asia/shanghai", "");
    expression.contains("tz=").then(|| format!("the expression is {expression}"))
}
