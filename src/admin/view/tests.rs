//! The members that viewers see, one by one.

use serde_json::json;

use super::*;

/// Every member there is or that the contract names, with what must not be seen as `SECRET`.
fn change() -> Value {
    let broken = json!([{
        "rule": "metadata.forbidden_keys", "enforcement": "deny",
        "path": "/metadata/SECRET~1KEY/x", "message": "the key SECRET", "actual": "SECRET",
    }, {"rule": "r", "enforcement": "warn", "path": "", "message": "SECRET", "actual": 1}]);
    json!({
        "id": "chg_1", "seq": 7, "provider": "qoder-cn", "upstream_name": "main",
        "operation": "update", "method": "PUT", "deployment_id": "dep_1",
        "actor": {"fingerprint": "pat_1", "name": "n", "team": "t"},
        "client": {"ip": "::1", "user_agent": "curl", "retry": 1}, "request_id": "r",
        "received_at": "t", "decided_at": "t", "completed_at": "t", "decision": "deny",
        "outcome": "denied",
        "settled": {"by": "answer", "at": "t", "applied": true},
        "late": {"node": "n2", "outcome": "applied", "at": "t"},
        "upstream": {"status": 200, "request_id": "u", "call": "read"}, "effect": "other",
        "policy_digest": "p", "node": "n1", "unkept": {"digest": "SECRET"},
        "violations": broken.clone(), "standing": broken.clone(), "after_violations": broken,
        "body": {"bytes": 5, "digest": "SECRET"},
        "reason": {"status": 400, "type": "invalid_request_error", "message": "SECRET"},
        "patch": "SECRET", "before": "SECRET", "after": "SECRET", "diff": ["SECRET"],
        "redacted": ["/patch/metadata/SECRET"], "paths": ["/metadata/SECRET"],
        "whatever_comes_next": "SECRET",
    })
}

fn viewed<T: Viewed>(record: Value) -> Value {
    let Value::Object(members) = record else { panic!("a record is an object") };
    T::viewed(members).into()
}

#[test]
fn a_viewer_sees_of_a_change_what_is_listed_and_nothing_of_bodies() {
    let view = viewed::<Change>(change());
    assert!(!view.to_string().contains("SECRET"), "{view}");
    for name in CHANGE {
        assert_eq!(view[name], change()[name], "{name}");
    }
    assert_eq!(view["body"], json!({"bytes": 5}));
    assert_eq!(view["reason"], json!({"status": 400, "type": "invalid_request_error"}));
    for name in VIOLATIONS {
        assert_eq!(
            view[name][0],
            json!({
                "rule": "metadata.forbidden_keys", "enforcement": "deny", "path": "/metadata",
                "message": "a metadata key is forbidden",
            })
        );
        assert_eq!(view[name][1]["path"], "");
    }
}

#[test]
fn a_viewer_sees_of_events_and_deployments_what_is_listed() {
    let event = json!({
        "at": "t", "kind": "reload", "actor": null, "client_ip": "::1", "request_id": "r",
        "detail": {
            "status": 403, "policy_digest": "p", "violations": ["SECRET"],
            "path": "/metadata/SECRET", "message": "SECRET",
            "after_violations": ["SECRET"], "name": "SECRET", "anything": {"else": "SECRET"},
        },
    });
    let view = viewed::<Event>(event);
    assert!(!view.to_string().contains("SECRET"), "{view}");
    assert_eq!(view["detail"], json!({"status": 403, "policy_digest": "p"}));
    let summary = json!({
        "id": "dep_1", "name": "SECRET", "changes": 3, "last_changed_at": "t",
        "last_change": "chg_1", "tags": ["SECRET"],
    });
    let view = viewed::<DeploymentSummary>(summary);
    assert!(!view.to_string().contains("SECRET"), "{view}");
    assert_eq!((&view["changes"], &view["name"]), (&json!(3), &Value::Null));
}

/// Members of details that a viewer does not see: words of people and of upstream, what is
/// inside a deployment, digests of texts. And those of members that are shown whole.
const WITHHELD: [&str; 6] = ["diff", "digest", "filter", "findings", "login", "reason"];
const WITHIN: [&str; 2] = ["who", "held_up"];

/// The members of details that the kinds of events are documented with: in backticks, a value
/// of one in parentheses.
fn documented() -> Vec<String> {
    let text = include_str!("../../audit/record/event_kind.rs");
    let (_head, text) = text.split_once("pub enum EventKind {").unwrap();
    let (text, _rest) = text.split_once("\n}").unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("///"));
    let (mut bare, mut depth) = (String::new(), 0);
    for c in lines.collect::<String>().chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 && c != ')' {
            bare.push(c);
        }
    }
    let spans = bare.split('`').skip(1).step_by(2);
    let words = spans.flat_map(|span| span.split(',')).map(str::trim);
    let is_member =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    words.filter(is_member).map(str::to_owned).collect()
}

#[test]
fn every_member_of_an_event_is_shown_to_viewers_or_withheld_on_purpose() {
    let documented = documented();
    for name in ["first_seq", "sink", "rewrapped_or_not", "timeline", "lost"] {
        let is_there = documented.iter().any(|member| member == name);
        assert_eq!(is_there, name != "rewrapped_or_not", "{name}: {documented:?}");
    }
    for name in &documented {
        let lists = [&DETAIL[..], &WITHHELD, &WITHIN];
        let count = lists.iter().filter(|list| list.contains(&name.as_str())).count();
        assert_eq!(count, 1, "list {name} in DETAIL, or in WITHHELD");
    }
    let moved = json!({"kind": "move", "detail": {"from": "SECRET", "to": "SECRET", "rows": 1}});
    assert_eq!(viewed::<Event>(moved)["detail"], json!({"rows": 1}));
}

#[test]
fn a_viewer_asks_for_members_as_a_whole() {
    let asked = |name: &'static str, path: &'static str, role| {
        allowed(Filter::default(), role, move |key| (key == name).then_some(path))
    };
    for (path, role, expected) in [
        ("/metadata", Role::Viewer, true),
        ("/metadata/key", Role::Viewer, false),
        ("/metadata/", Role::Viewer, false),
        ("/metadata/key", Role::Auditor, true),
    ] {
        for name in PLACES {
            assert_eq!(asked(name, path, role).is_ok(), expected, "{name}={path}");
        }
    }
    let named = Filter { deployment_name: Some("n".to_owned()), ..Filter::default() };
    assert!(allowed(named.clone(), Role::Viewer, |_| None).is_err());
    assert!(allowed(named, Role::Auditor, |_| None).is_ok());
    assert!(asked("q", "x/y/z", Role::Viewer).unwrap().q_in_ids);
    assert!(!asked("q", "x", Role::Admin).unwrap().q_in_ids);
}
