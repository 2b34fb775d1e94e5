//! The part of a record that a role may see. An auditor sees all of it. A viewer sees that
//! something changed, when, by whom and what came of it, and nothing of what is inside a
//! deployment.
//!
//! The members that a viewer sees, each listed: one that a record gains later is hidden
//! until it is listed as well.

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Problem;
use crate::audit::approval::Approval;
use crate::audit::query::{DeploymentSummary, EventFilter, Filter, Page};
use crate::audit::record::{Change, Event};
use crate::config::Role;

/// Members of a [`Change`] that a viewer sees as they are.
const CHANGE: [&str; 22] = [
    "reverts",
    "id",
    "seq",
    "provider",
    "upstream_name",
    "operation",
    "method",
    "deployment_id",
    "actor",
    "client",
    "request_id",
    "received_at",
    "decided_at",
    "completed_at",
    "decision",
    "outcome",
    "settled",
    "late",
    "upstream",
    "effect",
    "policy_digest",
    "node",
];

/// Members of a [`Change`] that list violated rules.
const VIOLATIONS: [&str; 3] = ["violations", "standing", "after_violations"];

/// Members of a violation that a viewer sees as they are.
const VIOLATION: [&str; 2] = ["rule", "enforcement"];

/// Members of a [`Change`] of which a viewer sees some members.
const PARTS: [(&str, &[&str]); 4] = [
    ("body", &["bytes"]),
    ("reason", &["status", "type"]),
    ("approval", &["id", "change", "asked_by", "asked_at", "decided"]),
    ("break_glass", &["person", "approval", "decided"]),
];

/// Members of an [`Event`] that a viewer sees as they are.
const EVENT: [&str; 5] = ["at", "kind", "actor", "client_ip", "request_id"];

/// Members of an event's detail that a viewer sees as they are.
const DETAIL: [&str; 61] = [
    "after",
    "after_at",
    "before_at",
    "places",
    "format",
    "approval",
    "step",
    "token",
    "method",
    "path",
    "status",
    "message",
    "request_bytes",
    "response_bytes",
    "duration_ms",
    "since",
    "until",
    "count",
    "refusals",
    "policy_digest",
    "error",
    "change",
    "deployment_id",
    "applied",
    "by",
    "version",
    "unknown",
    "key",
    "former_key",
    "key_id",
    "changed",
    "actor",
    "changes",
    "events",
    "from",
    "to",
    "beside",
    "decision",
    "deployment",
    "documents",
    "team",
    "first_seq",
    "found",
    "former_policy_digest",
    "last_seq",
    "leaves",
    "left",
    "lost",
    "operation",
    "originals",
    "person",
    "pruned",
    "rows",
    "rules",
    "sealed_under",
    "seen",
    "signed",
    "sink",
    "timeline",
    "what",
    "witness",
];

/// The kinds of event whose `path` is that of a request, and whose `message` is of the gateway's
/// own answer.
const REQUESTS: [&str; 2] = ["other_write", "refused_write"];

/// The kind of event whose `from` and `to` are places of the log.
const PLACED: &str = "move";

/// The filters that ask for a place inside a deployment.
const PLACES: [&str; 2] = ["path", "asked_path"];

/// Members of an [`Approval`] that a viewer sees as they are.
const APPROVAL: [&str; 13] = [
    "id",
    "kind",
    "state",
    "change",
    "upstream_name",
    "operation",
    "deployment_id",
    "actor",
    "rules",
    "approvers",
    "opened_at",
    "expires_at",
    "run_until",
];

/// Members of a step of an [`Approval`] that a viewer sees as they are: reasons may repeat what is
/// inside a deployment.
const STEP: [&str; 6] = ["step", "at", "by", "token", "until", "change"];

/// Members of a decision that a [`Change`] tells of, for a viewer.
const DECIDED: [&str; 4] = ["verdict", "by", "token", "at"];

/// Members of a [`DeploymentSummary`] that a viewer sees as they are.
const DEPLOYMENT: [&str; 4] = ["id", "changes", "last_changed_at", "last_change"];

/// The text of each rule's violations, as a viewer sees it: their own quote keys and values.
const MESSAGES: [(&str, &str); 4] = [
    ("timezones", "the schedule's time zone is none of the allowed ones"),
    ("metadata.forbidden_keys", "a metadata key is forbidden"),
    ("metadata.protected_keys", "a protected metadata key is set, changed or deleted"),
    ("metadata.key_pattern", "a metadata key does not fit the pattern"),
];

/// A record that a role sees a part of.
pub(crate) trait Viewed: Serialize {
    /// The part that a viewer sees of the record's members.
    fn viewed(members: Map<String, Value>) -> Map<String, Value>;
}

/// A record as a role sees it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Seen<T> {
    /// All of it.
    Whole(T),
    /// The part for a viewer.
    Part(Map<String, Value>),
}

/// `record` as `role` sees it.
pub(crate) fn seen<T: Viewed>(record: T, role: Role) -> Seen<T> {
    if role >= Role::Auditor {
        return Seen::Whole(record);
    }
    // What is not an object, or can't be written, shows nothing.
    let members = match serde_json::to_value(&record) {
        Ok(Value::Object(members)) => members,
        _nothing => Map::new(),
    };
    Seen::Part(T::viewed(members))
}

/// A page of records as `role` sees them.
pub(crate) fn page<T: Viewed>(page: Page<T>, role: Role) -> Page<Seen<T>> {
    let Page { data, next_cursor, has_more } = page;
    let data = data.into_iter().map(|record| seen(record, role)).collect();
    Page { data, next_cursor, has_more }
}

/// Holds that `role` may ask so, where `given` gives each filter's text by its name; a viewer's
/// search is kept to what a viewer sees.
pub(crate) fn allowed<'a>(
    filter: Filter,
    role: Role,
    given: impl Fn(&str) -> Option<&'a str>,
) -> Result<Filter, Problem> {
    if role >= Role::Auditor {
        return Ok(filter);
    }
    if PLACES.iter().filter_map(|name| given(name)).any(is_deep) {
        return Err(Problem::forbidden(
            "a viewer's token does not tell what is inside a deployment's members: \
             ask for a member as a whole, such as path=/metadata, or use an auditor's",
        ));
    }
    if filter.deployment_name.is_some() {
        return Err(Problem::forbidden(
            "a viewer's token does not tell names of deployments: ask by deployment_id, or use an \
             auditor's",
        ));
    }
    Ok(Filter { q_in_ids: true, ..filter })
}

/// The same of events: no text is looked for in details of which a viewer sees a part.
pub(crate) fn allowed_of_events(filter: EventFilter, role: Role) -> Result<EventFilter, Problem> {
    if role < Role::Auditor && filter.q.is_some() {
        return Err(Problem::forbidden(
            "a viewer's token does not search the details of events: leave q out, or use an \
             auditor's",
        ));
    }
    Ok(filter)
}

/// Whether a pointer leads further than to a member of a deployment.
fn is_deep(pointer: &str) -> bool {
    pointer.matches('/').count() > 1
}

impl Viewed for Change {
    fn viewed(mut members: Map<String, Value>) -> Map<String, Value> {
        let mut view = kept(&mut members, &CHANGE);
        for name in VIOLATIONS {
            if let Some(Value::Array(all)) = members.remove(name) {
                view.insert(name.to_owned(), all.into_iter().map(violation).collect());
            }
        }
        for (name, parts) in PARTS {
            if let Some(Value::Object(mut whole)) = members.remove(name) {
                if let Some(Value::Object(decided)) = whole.get_mut("decided") {
                    *decided = kept(decided, &DECIDED);
                }
                view.insert(name.to_owned(), kept(&mut whole, parts).into());
            }
        }
        view
    }
}

impl Viewed for Event {
    fn viewed(mut members: Map<String, Value>) -> Map<String, Value> {
        let mut view = kept(&mut members, &EVENT);
        if let Some(Value::Object(mut detail)) = members.remove("detail") {
            let kind = view.get("kind").and_then(Value::as_str);
            if !kind.is_some_and(|kind| REQUESTS.contains(&kind)) {
                for name in ["path", "message"] {
                    detail.remove(name);
                }
            }
            if kind == Some(PLACED) {
                for name in ["from", "to"] {
                    detail.remove(name);
                }
            }
            view.insert("detail".to_owned(), kept(&mut detail, &DETAIL).into());
        }
        view
    }
}

impl Viewed for Approval {
    fn viewed(mut members: Map<String, Value>) -> Map<String, Value> {
        let mut view = kept(&mut members, &APPROVAL);
        if let Some(Value::Array(steps)) = members.remove("steps") {
            let step = |step| match step {
                Value::Object(mut step) => kept(&mut step, &STEP).into(),
                _none => Value::Null,
            };
            view.insert("steps".to_owned(), steps.into_iter().map(step).collect());
        }
        view
    }
}

impl Viewed for DeploymentSummary {
    fn viewed(mut members: Map<String, Value>) -> Map<String, Value> {
        let mut view = kept(&mut members, &DEPLOYMENT);
        view.insert("name".to_owned(), Value::Null);
        view
    }
}

/// The named ones of `members`.
fn kept(members: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let take = |name: &&str| Some(((*name).to_owned(), members.remove(*name)?));
    names.iter().filter_map(take).collect()
}

/// A violation without keys and values: the rule, and the deployment's member that breaks it.
fn violation(whole: Value) -> Value {
    let Value::Object(mut members) = whole else { return Value::Null };
    let path = members.remove("path");
    let mut view = kept(&mut members, &VIOLATION);
    let member = path.as_ref().and_then(Value::as_str).and_then(|path| path.split('/').nth(1));
    view.insert("path".to_owned(), member.map_or_else(String::new, |m| format!("/{m}")).into());
    let rule = view.get("rule").and_then(Value::as_str);
    let message = MESSAGES.iter().find(|(name, _)| rule == Some(name));
    let message = message.map_or("the rule is broken", |(_, message)| message);
    view.insert("message".to_owned(), message.into());
    view.into()
}

#[cfg(test)]
mod tests;
