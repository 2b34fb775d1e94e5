//! Approvals: a rule holds a change up until somebody else approves it, and then it passes once.

mod bound;
mod counted;
mod decided;
mod glass;
mod killed;
mod named;

use std::net::SocketAddr;
use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::world::{Answer, Call, DEPLOYMENT, Setup, World, admin_token, call, fingerprint};

const BASE: &str = "/api/v1/cloud/deployments";

/// Two tokens of one person, one of another, and one that is nobody's.
const MEI: &str = "pt-mei-0123456789";
const MEIS_OTHER: &str = "pt-mei-other-0123456789";
const JUN: &str = "pt-jun-0123456789";
const ROBOT: &str = "pt-robot-0123456789";

const POLICY: &str = r#"
contact = "the platform team"

[[rule]]
name = "renames"
require = "oldObject == null || object.name == oldObject.name"
about = ["/name"]
operations = ["update"]
message = "names are changed with care"
enforcement = "approve"

[[rule]]
name = "creates"
require = "false"
about = [""]
operations = ["create"]
enforcement = "approve"

[timezones]
allowed = ["UTC", "Asia/Shanghai"]
"#;

fn config(more: &str) -> String {
    let actor = |token: &str, name: &str, person: Option<&str>| {
        let person = person.map(|person| format!("person = '{person}'\n")).unwrap_or_default();
        format!("[[actor]]\nfingerprint = '{}'\nname = '{name}'\n{person}", fingerprint(token))
    };
    let token = |name: &str, role: &str, person: Option<&str>| {
        let person = person.map(|person| format!("person = '{person}'\n")).unwrap_or_default();
        admin_token(name, name, role) + &person
    };
    [
        "rate_limit.enabled = false\n".to_owned(),
        actor(MEI, "mei", Some("mei")),
        actor(MEIS_OTHER, "mei-2", Some("mei")),
        actor(JUN, "jun", Some("jun")),
        actor(ROBOT, "robot", None),
        token("see", "viewer", Some("vera")),
        token("audit", "auditor", Some("anna")),
        token("release", "approver", Some("chen.jie")),
        token("meis", "approver", Some("mei")),
        token("nobodys", "approver", None),
        token("root", "admin", Some("wang.li")),
        more.to_owned(),
    ]
    .concat()
}

fn clock() -> (Clock, ManualClock) {
    let manual = ManualClock::at(Timestamp::parse("2026-11-29T10:00:00Z").unwrap());
    (Clock::Manual(manual.clone()), manual)
}

async fn world() -> World {
    Setup::new().config(&config("")).policy(POLICY).start().await
}

async fn rename(world: &World, token: &str, name: &str) -> Answer {
    update(world, token, json!({"name": name}).to_string()).await
}

async fn update(world: &World, token: &str, body: String) -> Answer {
    let call_ = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(token);
    call(world.proxy(), call_.header("content-type", "application/json").body(body)).await
}

fn create(token: &str, name: &str) -> Call {
    let body = json!({
        "agent": changegate::simulator::AGENT_ID,
        "environment_id": changegate::simulator::ENVIRONMENT_ID,
        "initial_events": [{"content": "Report", "type": "user.message"}],
        "name": name,
    });
    Call::post(BASE).token(token).json(&body)
}

/// The approval that an answer names, which must be a denial.
fn waits(answer: &Answer) -> String {
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.header("changegate-decision"), Some("deny"));
    answer.header("changegate-approval").unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

async fn decide(world: &World, admin: &str, id: &str, what: &str) -> Answer {
    decide_at(world.admin(), admin, id, what).await
}

async fn decide_at(address: SocketAddr, admin: &str, id: &str, what: &str) -> Answer {
    let path = format!("/api/v1/approvals/{id}/{what}");
    let reason = json!({"reason": "it was agreed upon"});
    call(address, Call::post(&path).token(admin).json(&reason)).await
}

async fn approve(world: &World, id: &str) {
    let answer = decide(world, "release", id, "approve").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["state"], "approved");
}

async fn ask(world: &World, path: &str) -> Value {
    let answer = call(world.admin(), Call::get(path).token("audit")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The reason that is noted with the last step of an approval.
async fn last_reason(world: &World, id: &str) -> String {
    let approval = approval(world, id).await;
    let last = approval["steps"].as_array().unwrap().last().unwrap().clone();
    last["reason"].as_str().unwrap_or_default().to_owned()
}

async fn state(world: &World, id: &str) -> String {
    approval(world, id).await["state"].as_str().unwrap().to_owned()
}

async fn approval(world: &World, id: &str) -> Value {
    ask(world, &format!("/api/v1/approvals/{id}")).await
}

async fn change_of(world: &World, answer: &Answer) -> Value {
    let id = answer.header("changegate-change").unwrap();
    ask(world, &format!("/api/v1/changes/{id}")).await
}

/// Who waits for an approval sends the same call again, under the same key.
#[tokio::test]
async fn a_call_with_a_key_passes_once_it_is_approved_and_has_its_answer_again() {
    let world = world().await;
    let keyed = || {
        let path = format!("{BASE}/{DEPLOYMENT}");
        let update = Call::post(&path).token(MEI).json(&json!({"name": "keyed"}));
        call(world.proxy(), update.header("idempotency-key", "k"))
    };
    let id = waits(&keyed().await);
    assert_eq!(waits(&keyed().await), id, "a denial is no answer to keep");
    approve(&world, &id).await;
    let passed = keyed().await;
    assert_eq!((passed.status.as_u16(), passed.header("idempotent-replayed")), (200, None));
    let again = keyed().await;
    assert_eq!((again.status, &again.body), (passed.status, &passed.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(approval(&world, &id).await["state"], "used");
    assert_eq!(world.writes_received(), 1);
}

#[tokio::test]
async fn what_asks_for_approval_passes_once_it_is_approved_and_only_once() {
    let world = world().await;
    let denied = rename(&world, MEI, "v2").await;
    let id = waits(&denied);
    let message = denied.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(denied.json()["error"]["type"], "permission_error");
    for part in ["renames: names are changed", "the platform team", &id, "approval approve"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.writes_received(), 0);
    let open = approval(&world, &id).await;
    assert_eq!((&open["state"], &open["kind"]), (&json!("open"), &json!("request")));
    assert_eq!(open["actor"]["person"], "mei");
    assert_eq!(open["rules"], json!(["renames"]));
    let renamed = json!({
        "op": "replace", "path": "/name", "from": "api-doc-verification-deployment", "to": "v2",
        "computed": false,
    });
    assert_eq!(open["diff"], json!([renamed]));

    approve(&world, &id).await;
    let passed = rename(&world, MEI, "v2").await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(passed.header("changegate-decision"), Some("allow"));
    assert_eq!(passed.header("changegate-approval"), Some(&*id));
    let change = change_of(&world, &passed).await;
    assert_eq!((&change["decision"], &change["outcome"]), (&json!("allow"), &json!("applied")));
    assert_eq!(change["violations"][0]["rule"], "renames");
    let told = &change["approval"];
    assert_eq!((&told["id"], &told["asked_by"]), (&json!(id), &json!("mei")));
    assert_eq!(told["change"], *denied.header("changegate-change").unwrap());
    assert_eq!(told["decided"]["by"], "chen.jie");
    assert_eq!(told["decided"]["reason"], "it was agreed upon");
    let used = approval(&world, &id).await;
    assert_eq!(used["state"], "used");
    let steps: Vec<_> = used["steps"].as_array().unwrap().iter().map(|s| &s["step"]).collect();
    assert_eq!(steps, ["approved", "used"]);
    assert_eq!(used["steps"][1]["change"], change["id"]);

    // Back, by another approval, and the first one is of no use any more.
    let back = waits(&rename(&world, MEI, "api-doc-verification-deployment").await);
    approve(&world, &back).await;
    assert_eq!(rename(&world, MEI, "api-doc-verification-deployment").await.status, 200);
    assert_ne!(waits(&rename(&world, MEI, "v2").await), id);
}
