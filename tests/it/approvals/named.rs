//! Rules that name who may approve.

use changegate::simulator::{Options, Simulator};

use super::*;
use crate::world::program::Folder;
use crate::world::{eventually, write_key};

/// Two rules that ask on a new name: one or both are broken, by the name.
const NAMED: &str = r#"
[[rule]]
name = "renames"
require = "oldObject == null || object.name == oldObject.name"
about = ["/name"]
operations = ["update"]
enforcement = "approve"
approvers = ["wang.li", "zhao.min"]

[[rule]]
name = "short"
require = "size(object.name) > 2 || object.name == 'v2'"
enforcement = "approve"
approvers = ["chen.jie", "wang.li"]
"#;

async fn naming() -> World {
    Setup::new().config(&config("")).policy(NAMED).start().await
}

#[tokio::test]
async fn who_is_not_named_does_not_approve_and_who_is_does() {
    let world = naming().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(approval(&world, &id).await["approvers"], json!(["wang.li", "zhao.min"]));
    let listed = ask(&world, "/api/v1/approvals?state=open").await;
    assert_eq!(listed["data"][0]["approvers"], json!(["wang.li", "zhao.min"]));
    let path = format!("/api/v1/approvals/{id}");
    let seen = call(world.admin(), Call::get(&path).token("see")).await.json();
    assert_eq!(seen["approvers"], json!(["wang.li", "zhao.min"]));

    let refused = decide(&world, "release", &id, "approve").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let error = &refused.json()["error"];
    assert_eq!(error["type"], "permission_error");
    let message = error["message"].as_str().unwrap();
    for part in ["`renames`", "\"chen.jie\"", "wang.li, zhao.min"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(state(&world, &id).await, "open");
    assert_eq!(waits(&rename(&world, MEI, "v2").await), id);

    let approved = decide(&world, "root", &id, "approve").await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    assert_eq!(approved.json().get("approvers"), None, "nobody need approve it any more");
    assert_eq!(rename(&world, MEI, "v2").await.status, 200);
}

#[tokio::test]
async fn who_is_not_named_rejects_and_takes_back() {
    let world = naming().await;
    let first = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(decide(&world, "release", &first, "reject").await.json()["state"], "rejected");
    let second = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(decide(&world, "root", &second, "approve").await.status, 200);
    assert_eq!(decide(&world, "release", &second, "reject").await.json()["state"], "rejected");
    waits(&rename(&world, MEI, "v2").await);
}

#[tokio::test]
async fn who_approves_for_two_rules_is_named_by_both() {
    let world = naming().await;
    let id = waits(&rename(&world, MEI, "v").await);
    assert_eq!(approval(&world, &id).await["approvers"], json!(["wang.li"]));
    let refused = decide(&world, "release", &id, "approve").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("those who may: wang.li"), "{}", refused.text());
    assert_eq!(decide(&world, "root", &id, "approve").await.status, 200);
    assert_eq!(rename(&world, MEI, "v").await.status, 200);
}

#[tokio::test]
async fn nobody_approves_their_own_though_a_rule_names_them() {
    let policy = NAMED.replace("\"zhao.min\"", "\"mei\"");
    let world = Setup::new().config(&config("")).policy(&policy).start().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    let own = decide(&world, "meis", &id, "approve").await;
    assert_eq!(own.status, 403);
    assert!(own.text().contains("asked for themselves"), "{}", own.text());
}

#[tokio::test]
async fn a_review_of_break_glass_takes_the_role_alone() {
    let policy = format!("{NAMED}[break_glass]\npersons = ['mei']\n");
    let world = Setup::new().config(&config("")).policy(&policy).start().await;
    let body = json!({"name": "v2"}).to_string();
    let glass = Call::post(&format!("{BASE}/{DEPLOYMENT}"))
        .token(MEI)
        .header("content-type", "application/json")
        .header("changegate-break-glass", "the report is wrong");
    let passed = call(world.proxy(), glass.body(body)).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    let id = passed.header("changegate-approval").unwrap();
    assert_eq!(approval(&world, id).await.get("approvers"), None);
    assert_eq!(decide(&world, "release", id, "approve").await.status, 200);
}

#[tokio::test]
async fn the_policy_in_force_says_who_approves() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let config = config("").replace("rate_limit.enabled = false\n", "");
    let folder = Folder::new(simulator.address(), &config);
    write_key(&folder.path().join("key"));
    folder.write("policy.toml", POLICY);
    let program = folder.serve().await;
    let path = format!("{BASE}/{DEPLOYMENT}");
    let rename = Call::post(&path).token(MEI).json(&json!({"name": "v2"}));
    let id = waits(&call(program.proxy, rename).await);
    // A list that the rule has got since; then the rule is gone, and with it the list.
    for (policy, expected) in [(NAMED, 403), ("[name]\npattern = '.*'\n", 200)] {
        folder.write("policy.toml", policy);
        let named = async || {
            let path = format!("/api/v1/approvals/{id}");
            let shown = call(program.admin, Call::get(&path).token("audit")).await.json();
            (shown.get("approvers").is_some() == (expected == 403)).then_some(())
        };
        eventually("the new policy", named).await;
        let answer = decide_at(program.admin, "release", &id, "approve").await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
}
