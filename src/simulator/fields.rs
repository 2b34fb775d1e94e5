//! The fields that a client may set in a deployment, and how an update meets those that are there.

use serde_json::{Value, json};

use super::catalog::Catalog;
use super::problem::Problem;
use super::timetable::Timetable;
use crate::deployment::Object;

const NAME_CHARS_MAX: usize = 256;
const EVENTS_MAX: usize = 50;
const EVENT_TYPES: [&str; 3] = ["user.message", "user.define_outcome", "system.message"];
const RESOURCE_TYPES: [&str; 4] = ["github_repository", "git_repository", "file", "memory_store"];
const VAULTS_MAX: usize = 50;
const METADATA_KEYS_MAX: usize = 16;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 512;

/// The metadata key that steers execution: its value is an object and counts toward no limit.
pub(super) const EXECUTION: &str = "cas_config";

/// The fields that a create must carry.
const REQUIRED: [&str; 4] = ["agent", "environment_id", "initial_events", "name"];

/// The client-set fields of a new deployment.
pub(super) fn created(
    body: &Object,
    execution: bool,
    catalog: &Catalog,
) -> Result<Object, Problem> {
    if let Some(missing) = REQUIRED.into_iter().find(|name| !body.contains_key(*name)) {
        return Err(Problem::field(missing, format!("{missing} is required")));
    }
    let mut metadata = Object::new();
    if execution {
        let config = json!({"max_concurrent": 1, "max_retries": 0, "timeout_ms": 300_000});
        let steering = json!({"config": config, "session_strategy": "new_session"});
        metadata.insert(EXECUTION.to_owned(), steering);
    }
    let defaults = [
        ("description", Value::Null),
        ("metadata", metadata.into()),
        ("resources", json!([])),
        ("schedule", Value::Null),
        ("vault_ids", json!([])),
    ];
    let defaults = defaults.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    updated(&defaults, body, catalog)
}

/// The client-set fields after an update. What the body omits is preserved, metadata is patched
/// key by key, everything else is replaced whole. Members that are the server's own, or unknown,
/// count for nothing: clients send whole objects back.
pub(super) fn updated(
    before: &Object,
    body: &Object,
    catalog: &Catalog,
) -> Result<Object, Problem> {
    let mut after = before.clone();
    for (name, value) in body {
        let accepted = match name.as_str() {
            "name" => title(value)?,
            "description" => description(value)?,
            "agent" => catalog.pin(value)?,
            "environment_id" => catalog.environment(value)?,
            "schedule" => schedule(value)?,
            "initial_events" => initial_events(value)?,
            "resources" => resources(value)?,
            "vault_ids" => vault_ids(value)?,
            "metadata" => metadata(before.get("metadata"), value)?,
            "environment_variables" => environment_variables(value)?,
            "budget" => budget(value)?,
            _ => continue,
        };
        after.insert(name.clone(), accepted);
    }
    // These two are shown only where they are set.
    for optional in ["environment_variables", "budget"] {
        if after.get(optional) == Some(&Value::Null) {
            after.remove(optional);
        }
    }
    Ok(after)
}

fn title(value: &Value) -> Result<Value, Problem> {
    let fits = |name: &str| (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    accept(value, value.as_str().is_some_and(fits), "name", "name must have 1 to 256 characters")
}

fn description(value: &Value) -> Result<Value, Problem> {
    let fits = value.is_string() || value.is_null();
    accept(value, fits, "description", "description must be a string or null")
}

fn environment_variables(value: &Value) -> Result<Value, Problem> {
    let fits = value.is_string() || value.is_null();
    let message = "environment_variables must be one string of KEY=VALUE pairs, or null";
    accept(value, fits, "environment_variables", message)
}

fn budget(value: &Value) -> Result<Value, Problem> {
    accept(
        value,
        value.is_object() || value.is_null(),
        "budget",
        "budget must be an object or null",
    )
}

/// A schedule without what the server computes.
fn schedule(value: &Value) -> Result<Value, Problem> {
    let Some(given) = value.as_object() else {
        let message = "schedule must be an object or null";
        return accept(value, value.is_null(), "schedule", message);
    };
    Timetable::read(value)?;
    let own = ["type", "expression", "timezone"];
    let kept = given.iter().filter(|(name, _value)| own.contains(&name.as_str()));
    Ok(Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

fn initial_events(value: &Value) -> Result<Value, Problem> {
    let events = value.as_array().filter(|events| (1..=EVENTS_MAX).contains(&events.len()));
    let events = events.ok_or_else(|| {
        Problem::field("initial_events", "initial_events must be an array of 1 to 50 events")
    })?;
    typed("initial_events", events, &EVENT_TYPES)?;
    Ok(value.clone())
}

/// Resources without their credentials, which are taken and never shown again, and with the place
/// where each is mounted.
fn resources(value: &Value) -> Result<Value, Problem> {
    if value.is_null() {
        return Ok(json!([]));
    }
    let items = value
        .as_array()
        .ok_or_else(|| Problem::field("resources", "resources must be an array or null"))?;
    typed("resources", items, &RESOURCE_TYPES)?;
    let mut kept = items.clone();
    for item in kept.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("authorization_token");
        item.remove("password");
        if let Some(place) = mount_path(item).filter(|_| !item.contains_key("mount_path")) {
            item.insert("mount_path".to_owned(), place.into());
        }
    }
    Ok(kept.into())
}

/// The place where a resource is mounted that names none.
fn mount_path(resource: &Object) -> Option<String> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    match text("type")? {
        "github_repository" | "git_repository" => {
            let repository = text("url")?.trim_end_matches('/').rsplit('/').next()?;
            Some(format!("/workspace/{}", repository.trim_end_matches(".git")))
        }
        "file" => Some(format!("/mnt/session/uploads/{}", text("file_id")?)),
        _ => None,
    }
}

fn vault_ids(value: &Value) -> Result<Value, Problem> {
    if value.is_null() {
        return Ok(json!([]));
    }
    let ids = value.as_array();
    let fits = ids.is_some_and(|ids| ids.len() <= VAULTS_MAX && ids.iter().all(Value::is_string));
    accept(value, fits, "vault_ids", "vault_ids must be an array of at most 50 ids, or null")
}

fn metadata(before: Option<&Value>, patch: &Value) -> Result<Value, Problem> {
    let patch = patch
        .as_object()
        .ok_or_else(|| Problem::field("metadata", "metadata must be an object"))?;
    let mut after = before.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in patch {
        if !value.is_null() {
            after.insert(key.clone(), metadatum(key, value)?);
        } else if key != EXECUTION {
            after.remove(key);
        }
    }
    if after.keys().filter(|key| *key != EXECUTION).count() > METADATA_KEYS_MAX {
        return Err(Problem::field("metadata", "metadata must have at most 16 keys"));
    }
    Ok(after.into())
}

fn metadatum(key: &str, value: &Value) -> Result<Value, Problem> {
    let param = format!("metadata.{key}");
    if key == EXECUTION {
        let mut kept = value.clone();
        let Some(object) = kept.as_object_mut() else {
            return Err(Problem::field(param, "metadata.cas_config must be an object"));
        };
        // The counters are the server's: what a client says of them is dropped.
        object.remove("stats");
        return Ok(kept);
    }
    if !(1..=METADATA_KEY_CHARS_MAX).contains(&key.chars().count()) {
        return Err(Problem::field(param, "a metadata key must have 1 to 64 characters"));
    }
    let fits = |text: &str| text.chars().count() <= METADATA_VALUE_CHARS_MAX;
    let fits = value.as_str().is_some_and(fits);
    accept(value, fits, &param, "a metadata value must be a string of at most 512 characters")
}

fn typed(field: &str, items: &[Value], known: &[&str]) -> Result<(), Problem> {
    let is_known = |item: &Value| {
        item.get("type").and_then(Value::as_str).is_some_and(|kind| known.contains(&kind))
    };
    match items.iter().position(|item| !is_known(item)) {
        None => Ok(()),
        Some(index) => {
            let message = format!("type must be one of {}", known.join(", "));
            Err(Problem::field(format!("{field}.{index}.type"), message))
        }
    }
}

fn accept(value: &Value, fits: bool, param: &str, message: &str) -> Result<Value, Problem> {
    if fits { Ok(value.clone()) } else { Err(Problem::field(param, message)) }
}
