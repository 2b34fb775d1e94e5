//! Changes as events of the Open Cybersecurity Schema Framework, 1.8.0: Entity Management (3004)
//! for changes of a deployment, API Activity (6003) for runs, with the profile Security Control.
//! What is no change has no class of the schema but its base.

use std::io;

use serde_json::{Map, Value, json};

use crate::audit::query::BodyTexts;
use crate::audit::record::{Change, Outcome};
use crate::base::clock::Timestamp;
use crate::policy::Decision;
use crate::provider::Operation;

/// The version of the schema.
const VERSION: &str = "1.8.0";

/// An object of the schema.
pub type Members = Map<String, Value>;

/// The class of an event and what was done, by the schema's numbers and names.
struct Class {
    category: (u32, &'static str),
    named: (u32, &'static str),
    activity: (u32, &'static str),
}

const ENTITY: ((u32, &str), (u32, &str)) =
    ((3, "Identity & Access Management"), (3004, "Entity Management"));

const API: ((u32, &str), (u32, &str)) = ((6, "Application Activity"), (6003, "API Activity"));

impl Class {
    const fn of(operation: Operation) -> Self {
        let ((category, class), activity) = match operation {
            Operation::Create => (ENTITY, (1, "Create")),
            Operation::Update => (ENTITY, (3, "Update")),
            Operation::Archive => (ENTITY, (4, "Delete")),
            Operation::Pause => (ENTITY, (12, "Suspend")),
            Operation::Unpause => (ENTITY, (13, "Resume")),
            Operation::Run => (API, (99, "Run")),
        };
        Self { category, named: class, activity }
    }
}

/// The event of a change.
pub fn event(change: &Change, bodies: &BodyTexts) -> io::Result<Members> {
    let class = Class::of(change.operation);
    let [patch, before, after] = bodies.documents()?;
    let (was_stopped, status) = status(change);
    let name = change.operation.name();
    let mut event = members(json!({
        "category_uid": class.category.0,
        "category_name": class.category.1,
        "class_uid": class.named.0,
        "class_name": class.named.1,
        "activity_id": class.activity.0,
        "activity_name": class.activity.1,
        "type_uid": class.named.0 * 100 + class.activity.0,
        "type_name": format!("{}: {}", class.named.1, class.activity.1),
        "severity_id": if was_stopped { 3 } else { 1 },
        "severity": if was_stopped { "Medium" } else { "Informational" },
        "time": change.completed_at.unwrap_or(change.received_at).millis(),
        "start_time": change.received_at.millis(),
        "status_id": status.0,
        "status": status.1,
        "action_id": if was_stopped { 2 } else { 1 },
        "action": if was_stopped { "Denied" } else { "Allowed" },
        "disposition_id": if was_stopped { 2 } else { 1 },
        "disposition": if was_stopped { "Blocked" } else { "Allowed" },
        "metadata": metadata(change),
        "actor": { "user": user(change) },
        "src_endpoint": { "ip": change.client.ip },
        "unmapped": unmapped(change, bodies, patch.as_ref())?,
    }));
    event.extend(known(change));
    if class.named.0 == API.1.0 {
        event.insert(
            "api".into(),
            json!({
                "operation": format!("deployments.{name}"),
                "service": { "name": change.upstream_name },
                "request": { "uid": change.request_id },
            }),
        );
        event.insert("resources".into(), json!([resource(change)]));
    } else {
        let (before, after) = (before.as_ref(), after.as_ref());
        if change.operation == Operation::Create {
            event.insert("entity".into(), entity(change, after.or(patch.as_ref())));
        } else {
            event.insert("entity".into(), entity(change, before));
            if let Some(after) = after {
                event.insert("entity_result".into(), entity(change, Some(after)));
            }
        }
        event.insert("message".into(), json!(message(change)));
    }
    Ok(event)
}

/// The same without the bodies themselves: what they are called, and where they differ, stays.
pub fn event_without_bodies(change: &Change, bodies: &BodyTexts) -> io::Result<Members> {
    let mut event = event(change, bodies)?;
    for (object, body) in [("entity", "data"), ("entity_result", "data"), ("unmapped", "patch")] {
        if let Some(object) = event.get_mut(object).and_then(Value::as_object_mut) {
            object.remove(body);
        }
    }
    Ok(event)
}

/// An event of the base class, of what is no change and has this name.
#[must_use]
pub fn base_event(name: &str, at: Timestamp, unmapped: &Value) -> Members {
    members(json!({
        "category_uid": 0,
        "category_name": "Uncategorized",
        "class_uid": 0,
        "class_name": "Base Event",
        "activity_id": 99,
        "activity_name": name,
        "type_uid": 99,
        "type_name": "Base Event: Other",
        "severity_id": 1,
        "severity": "Informational",
        "time": at.millis(),
        "message": name,
        "metadata": { "version": VERSION, "product": product() },
        "unmapped": unmapped,
    }))
}

/// The members that only some changes have.
fn known(change: &Change) -> Members {
    let mut event = Members::new();
    if let Some(end) = change.completed_at {
        let took = end.millis().saturating_sub(change.received_at.millis()).max(0);
        event.insert("end_time".into(), json!(end.millis()));
        event.insert("duration".into(), json!(took));
    }
    if let Some(status) = change.upstream.as_ref().and_then(|answer| answer.status) {
        event.insert("status_code".into(), json!(status.to_string()));
    }
    let reason = change.reason.as_ref().and_then(|reason| reason.message.as_deref());
    if let Some(reason) = reason {
        event.insert("status_detail".into(), json!(reason));
    }
    if let Some(policy) = policy(change) {
        event.insert("policy".into(), policy);
    }
    if let Some(agent) = &change.client.user_agent {
        event.insert(
            "http_request".into(),
            json!({ "user_agent": agent, "uid": change.request_id }),
        );
    }
    event
}

fn members(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

/// Whether the gateway stopped it, and how it ended, by the schema's numbers.
fn status(change: &Change) -> (bool, (u32, &'static str)) {
    let was_stopped = matches!(change.decision, Decision::Deny | Decision::Refuse);
    let settled = change.settled.as_ref().and_then(|settled| settled.applied);
    let status = match (change.outcome, settled) {
        (Outcome::Applied, _) | (Outcome::Unknown, Some(true)) => (1, "Success"),
        (Outcome::Pending | Outcome::Unknown, None) => (0, "Unknown"),
        _ => (2, "Failure"),
    };
    (was_stopped, status)
}

fn product() -> Value {
    json!({
        "name": "Changegate",
        "vendor_name": "Changegate",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn metadata(change: &Change) -> Value {
    json!({
        "version": VERSION,
        "product": product(),
        "profiles": ["security_control"],
        "uid": change.id.to_string(),
        "sequence": change.seq,
        "correlation_uid": change.request_id,
        "log_provider": change.node,
        "original_time": change.received_at.to_string(),
    })
}

fn user(change: &Change) -> Value {
    let actor = &change.actor;
    let mut user = members(json!({ "uid": actor.fingerprint.to_string() }));
    if let Some(name) = &actor.name {
        user.insert("name".into(), json!(name));
    }
    if let Some(person) = &actor.person {
        user.insert("full_name".into(), json!(person));
    }
    if let Some(team) = &actor.team {
        user.insert("groups".into(), json!([{ "name": team }]));
    }
    Value::Object(user)
}

fn policy(change: &Change) -> Option<Value> {
    let mut rules: Vec<&str> = change.violations.iter().map(|at| at.rule.as_str()).collect();
    rules.dedup();
    let digest = change.policy_digest.as_str();
    if digest.is_empty() && rules.is_empty() {
        return None;
    }
    let mut policy = members(json!({ "name": "changegate", "is_applied": true }));
    if !digest.is_empty() {
        policy.insert("uid".into(), json!(digest));
    }
    if !rules.is_empty() {
        policy.insert("desc".into(), json!(rules.join(", ")));
    }
    Some(Value::Object(policy))
}

/// The deployment as a managed entity.
fn entity(change: &Change, document: Option<&Value>) -> Value {
    let mut entity = members(json!({ "type_id": 99, "type": "Deployment" }));
    let name = document.and_then(|document| document.get("name")).and_then(Value::as_str);
    let uid = change.deployment_id.as_deref();
    // The schema asks for one of them.
    let name = name.or_else(|| uid.is_none().then_some("unknown"));
    for (member, text) in [("name", name), ("uid", uid)] {
        if let Some(text) = text {
            entity.insert(member.into(), json!(text));
        }
    }
    if let Some(document) = document {
        entity.insert("data".into(), document.clone());
    }
    Value::Object(entity)
}

fn resource(change: &Change) -> Value {
    let uid = change.deployment_id.as_deref().unwrap_or("unknown");
    json!({ "uid": uid, "type": "Deployment" })
}

fn message(change: &Change) -> String {
    let deployment = change.deployment_id.as_deref().unwrap_or("a deployment");
    let (operation, outcome) = (change.operation.name(), change.outcome.name());
    format!("{operation} of {deployment}: {outcome}")
}

/// The members of a change that the schema has no place for.
fn unmapped(change: &Change, bodies: &BodyTexts, patch: Option<&Value>) -> io::Result<Value> {
    const MAPPED: [&str; 9] = [
        "id",
        "seq",
        "actor",
        "client",
        "request_id",
        "received_at",
        "completed_at",
        "policy_digest",
        "deployment_id",
    ];
    let mut rest = members(serde_json::to_value(change)?);
    rest.retain(|name, value| !MAPPED.contains(&name.as_str()) && !value.is_null());
    if let Some(patch) = patch {
        rest.insert("patch".into(), patch.clone());
    }
    rest.insert("diff".into(), serde_json::to_value(bodies.diff(change)?)?);
    Ok(Value::Object(rest))
}
