//! The API's description, held against what is answered.

use std::collections::BTreeSet;

use super::*;
use crate::audit::approval::{BreakGlass, ChangeApproval, Decided, Verdict};
use crate::audit::record::{
    Bodies, Change, ErasedBody, Event, EventKind, LateEnd, Reason, RefusedBody, Settlement, Unkept,
    UpstreamAnswer, UpstreamCall,
};
use crate::base::ids::ApprovalId;
use crate::deployment::diff::{Difference, DifferenceOp, Effect};

fn description() -> Value {
    serde_json::from_str(&OPENAPI).unwrap()
}

/// The operation of every route.
fn operations(description: &Value) -> impl Iterator<Item = (&'static Route, &Value)> {
    let operation = |route: &Route| {
        let verbs = description["paths"][route.described()].as_object().unwrap();
        verbs.values().next().unwrap()
    };
    ROUTES.iter().map(move |route| (route, operation(route)))
}

/// The operations that are asked, not sent.
fn questions(description: &Value) -> impl Iterator<Item = (&'static Route, &Value)> {
    operations(description).filter(|(_, operation)| operation["requestBody"].is_null())
}

/// The keys of queries that an operation names.
fn keys(operation: &Value) -> Vec<&str> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let keys = parameters.filter(|parameter| parameter["in"] == "query");
    keys.map(|parameter| parameter["name"].as_str().unwrap()).collect()
}

/// Every value in `value` that is a member called `name`.
fn members<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(all) => {
            found.extend(all.get(name));
            all.values().for_each(|value| members(value, name, found));
        }
        Value::Array(all) => all.iter().for_each(|value| members(value, name, found)),
        _plain => {}
    }
}

#[test]
fn it_names_every_route_and_no_other() {
    let description = description();
    assert_eq!(description["openapi"], "3.1.0");
    let described: Vec<_> = description["paths"].as_object().unwrap().keys().collect();
    let mut routes: Vec<_> = ROUTES.iter().map(Route::described).collect();
    routes.sort_unstable();
    assert_eq!(described, routes.iter().collect::<Vec<_>>());
    for (route, operation) in operations(&description) {
        assert_eq!(operation["security"] == json!([]), route.open, "{}", route.path);
        let answers: Vec<_> = operation["responses"].as_object().unwrap().keys().collect();
        assert_eq!(answers.iter().any(|status| *status == "401"), !route.open, "{answers:?}");
    }
}

#[test]
fn it_leads_nowhere_wrong_and_speaks_to_those_who_know_no_rust() {
    let description = description();
    let mut found = Vec::new();
    members(&description, "$ref", &mut found);
    for reference in found {
        let pointer = reference.as_str().unwrap().trim_start_matches('#');
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
    let mut found = Vec::new();
    members(&description, "description", &mut found);
    for text in found.into_iter().filter_map(Value::as_str) {
        assert!(!["[`", "::", "None", "Some("].iter().any(|word| text.contains(word)), "{text}");
    }
    for (route, operation) in operations(&description) {
        assert!(operation["summary"].is_string(), "{}", route.path);
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = &parameter["schema"];
            let is_bounded =
                ["minLength", "minimum", "$ref"].iter().any(|b| schema.get(b).is_some());
            assert!(is_bounded && parameter["description"].is_string(), "{parameter}");
        }
    }
}

#[tokio::test]
async fn a_key_means_something_where_it_is_described_and_nowhere_else() {
    let world = World::new(&[]).await;
    let description = description();
    let all: BTreeSet<_> = operations(&description).flat_map(|(_, told)| keys(told)).collect();
    assert!(all.contains("time") && all.contains("cursor"), "{all:?}");
    for (route, operation) in questions(&description).filter(|(route, _)| !route.open) {
        let path = route.path.replace("{id}", "dep_1");
        for key in &all {
            // No key may be empty: one that is read is wrong for that.
            let answer = world.ask(&format!("{path}?{key}=")).await;
            assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(key)));
            let is_unknown = answer.text.contains("this key means nothing here");
            assert_eq!(is_unknown, !keys(operation).contains(key), "{path} {key}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_is_answered_is_described() {
    let world = World::new(&[("see", Role::Viewer), ("audit", Role::Auditor)]).await;
    let id = world.denied("dep_1").await;
    let description = description();
    for (route, operation) in questions(&description) {
        let about =
            if route.path.contains("changes") { id.to_string() } else { "dep_1".to_owned() };
        let path = route.path.replace("{id}", &about);
        for token in ["see", "audit", "wrong"] {
            for query in ["", "?time=0s", "?x=1"] {
                let target = format!("{path}{query}");
                let answer = world.ask_with(&target, &format!("Bearer {token}")).await;
                let told = &operation["responses"][answer.status.to_string()];
                let told = resolved(&description, told);
                let content = told["content"].as_object().unwrap();
                let schema = &content.values().next().unwrap()["schema"];
                if !content.contains_key("application/json") {
                    continue;
                }
                let fault = fault(&description, schema, &answer.json());
                assert_eq!(fault, None, "{target} {token}: {}", answer.text);
            }
        }
    }
}

#[test]
fn records_are_described_with_all_that_they_may_hold_and_with_none_of_it() {
    let description = description();
    for (change, is_whole) in [(change(true), true), (change(false), false)] {
        let change = serde_json::to_value(change).unwrap();
        let schema = json!({"$ref": "#/components/schemas/Change"});
        assert_eq!(fault(&description, &schema, &change), None, "{change}");
        let described = described(&description, &schema);
        let missing = described.iter().any(|name| change.get(name).is_none());
        assert_eq!(missing, !is_whole, "{change}");
        if !is_whole {
            // What is there even so always is: viewers alone see nothing of what is concealed.
            let required = &description["components"]["schemas"]["Change"]["allOf"][1]["required"];
            let required = required.as_array().unwrap();
            let members = change.as_object().unwrap().keys();
            let others: Vec<_> = members.filter(|n| !required.contains(&json!(n))).collect();
            assert_eq!(others, ["redacted"]);
        }
    }
    let schema = json!({"$ref": "#/components/schemas/Event"});
    for actor in [None, Some(actor(true))] {
        let (kind, detail) = (EventKind::KeyRotation, json!({}));
        let event = Event { at: NOW, kind, actor, client_ip: None, request_id: None, detail };
        let event = serde_json::to_value(event).unwrap();
        assert_eq!(fault(&description, &schema, &event), None, "{event}");
    }
    let operations = &description["components"]["schemas"]["Operation"]["enum"];
    assert_eq!(*operations, json!(Operation::ALL.map(Operation::name)));
}

fn actor(is_whole: bool) -> Actor {
    let name = is_whole.then(|| "nightly".to_owned());
    let (team, person) = (name.clone(), name.clone());
    Actor { fingerprint: Fingerprint::from_bytes([1; 8]), name, team, person }
}

fn decided() -> Decided {
    Decided {
        verdict: Verdict::Approved,
        by: "chen.jie".to_owned(),
        token: "release".to_owned(),
        reason: "looks right".to_owned(),
        at: NOW,
    }
}

fn approval() -> ChangeApproval {
    ChangeApproval {
        id: ApprovalId::new(NOW),
        change: ChangeId::new(NOW),
        asked_by: "wang.li".to_owned(),
        asked_at: NOW,
        decided: Some(decided()),
    }
}

fn break_glass() -> BreakGlass {
    BreakGlass {
        reason: "an outage".to_owned(),
        person: "wang.li".to_owned(),
        approval: ApprovalId::new(NOW),
        decided: Some(decided()),
    }
}

/// A change with everything that one may hold, or with nothing that may be missing.
fn change(is_whole: bool) -> Change {
    let text = || is_whole.then(|| "text".to_owned());
    let value = || is_whole.then(|| json!({"name": "daily"}));
    let body = || is_whole.then(|| RefusedBody { bytes: 7, digest: text() });
    let violation = Violation {
        rule: "timezones".to_owned(),
        enforcement: Enforcement::Deny,
        path: "/schedule/timezone".to_owned(),
        message: "use UTC".to_owned(),
        actual: value(),
    };
    let op = if is_whole { DifferenceOp::Replace } else { DifferenceOp::Add };
    let path = "/name".to_owned();
    let (from, to, computed, write_only) = (value(), value(), false, is_whole);
    let diff = vec![Difference { op, path, from, to, computed, write_only }];
    let settled = Settlement { by: "answer".to_owned(), at: NOW, applied: None };
    let late = LateEnd { node: "n2".to_owned(), outcome: Outcome::Applied, at: NOW };
    let reason = Reason { status: 400, kind: text(), message: text(), is_own: true };
    let findings = usize::from(is_whole);
    Change {
        approval: is_whole.then(approval),
        reverts: is_whole.then(|| ChangeId::new(NOW)),
        break_glass: is_whole.then(break_glass),
        id: ChangeId::new(NOW),
        seq: 7,
        provider: "qoder-cn".to_owned(),
        upstream_name: "main".to_owned(),
        node: "main".to_owned(),
        operation: Operation::Update,
        method: text(),
        deployment_id: text(),
        actor: actor(is_whole),
        client: Client { ip: "::1".to_owned(), user_agent: text(), retry: None },
        request_id: "req_1".to_owned(),
        received_at: NOW,
        decided_at: is_whole.then_some(NOW),
        completed_at: is_whole.then_some(NOW),
        decision: Decision::Deny,
        violations: vec![violation.clone()],
        standing: Vec::new(),
        after_violations: vec![violation; findings],
        outcome: Outcome::Denied,
        settled: is_whole.then_some(settled),
        late: is_whole.then_some(late),
        reason: is_whole.then_some(reason),
        upstream: is_whole.then(|| UpstreamAnswer {
            call: UpstreamCall::Change,
            status: Some(200),
            request_id: text(),
        }),
        bodies: is_whole.then(|| Bodies { patch: value(), before: None, after: value(), diff }),
        body: body(),
        unkept: Unkept {
            patch: body(),
            before: body(),
            after: body(),
            findings,
            erased: is_whole.then_some(ErasedBody::After).into_iter().collect(),
        },
        effect: is_whole.then_some(Effect::Exact),
        redacted: vec!["/patch/x".to_owned()],
        policy_digest: "0123".to_owned(),
    }
}

/// The schema or answer that stands behind a reference.
fn resolved<'v>(description: &'v Value, told: &'v Value) -> &'v Value {
    match told["$ref"].as_str() {
        Some(place) => description.pointer(place.trim_start_matches('#')).unwrap(),
        None => told,
    }
}

/// The members that a schema names.
fn described<'v>(description: &'v Value, schema: &'v Value) -> Vec<&'v str> {
    let schema = resolved(description, schema);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let named = schema["properties"].as_object().into_iter().flatten();
    let named = named.map(|(name, _)| name.as_str());
    named.chain(parts.flat_map(|part| described(description, part))).collect()
}

/// Where `value` is not as `schema` says, as far as ours say anything.
fn fault(description: &Value, schema: &Value, value: &Value) -> Option<String> {
    let named = described(description, schema);
    let mut members = value.as_object().into_iter().flatten().map(|(name, _)| name);
    let unnamed = members.find(|name| !named.is_empty() && !named.contains(&name.as_str()));
    let unnamed = unnamed.map(|name| format!("{name} is not described"));
    unnamed.or_else(|| misfit(description, schema, value))
}

/// The same, members aside that no schema names.
fn misfit(description: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = resolved(description, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| fault(description, choice, value).is_none();
        let fitting = choices.iter().filter(fits).count();
        return (fitting != 1).then(|| format!("{value} fits {fitting} of {schema}"));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().find_map(|part| misfit(description, part, value));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.contains(&kind.into()),
        known => known == kind,
    };
    let is_listed = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let pattern = schema["pattern"].as_str().map(|text| regex_lite::Regex::new(text).unwrap());
    let matches = pattern.is_none_or(|it| value.as_str().is_some_and(|text| it.is_match(text)));
    let mut required = schema["required"].as_array().into_iter().flatten();
    let is_there = required.all(|name| value.get(name.as_str().unwrap()).is_some());
    if !(is_kind && is_listed && matches && is_there) {
        return Some(format!("{value} is not {schema}"));
    }
    let items = value.as_array().into_iter().flatten().map(|item| (item, &schema["items"]));
    let members = value.as_object().into_iter().flatten();
    let members = members.map(|(name, member)| (member, &schema["properties"][name]));
    items.chain(members).find_map(|(value, schema)| fault(description, schema, value))
}
