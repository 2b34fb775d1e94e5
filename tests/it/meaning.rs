//! What was asked, beside what came of it: upstream shows something else than was sent and does as
//! asked, or does nothing of it.

use changegate::simulator::{AGENT_ID, ENVIRONMENT_ID};
use serde_json::{Value, json};

use crate::world::{Call, DEPLOYMENT, Setup, call, world};

fn repository(token: &str) -> Value {
    let url = "https://git.example.com/team/reports";
    json!({"resources": [{"type": "github_repository", "url": url, "authorization_token": token}]})
}

#[tokio::test]
async fn a_swapped_credential_is_exact_and_shows_in_the_diff() {
    let world = world().await;
    let mut sent = Vec::new();
    for token in ["ghp_one", "ghp_two", "ghp_two"] {
        let change = world.change_of(&world.update(&repository(token)).await).await;
        assert_eq!(change["effect"], "exact", "{change}");
        let place = "/resources/0/authorization_token";
        let all = change["diff"].as_array().unwrap();
        let of_place = all.iter().find(|at| at["path"] == place).expect("it is told");
        assert_eq!(of_place["write_only"], true);
        assert!(change["redacted"].as_array().unwrap().contains(&json!(format!("/patch{place}"))));
        sent.push(of_place["to"].as_str().unwrap().to_owned());
    }
    assert_ne!(sent[0], sent[1]);
    assert_eq!(sent[1], sent[2]);
    let found = world.ask("/api/v1/changes?path=/resources/0/authorization_token").await;
    assert_eq!(found["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_the_same_by_meaning_is_exact() {
    let world = world().await;
    for patch in [
        json!({"environment_variables": null, "description": "", "metadata": {"cas_config": null}}),
        json!({"name": "n", "metadata": {"cas_config": null, "owner": null}}),
        json!({"resources": [{"type": "file", "file_id": "file_1"}]}),
        json!({"resources": [{"type": "git_repository", "url": "https://h/r", "password": "p"}]}),
    ] {
        // The key is kept, and yet it is protected under the reading in which it is not.
        let answer = world.update(&patch).await;
        let is_denied = patch["metadata"].get("cas_config").is_some();
        assert_eq!(answer.status, if is_denied { 403 } else { 200 }, "{}", answer.text());
    }
    drop(world);
    let world =
        Setup::new().policy("[timezones]\nallowed = ['UTC', 'Asia/Shanghai']").start().await;
    let patch =
        json!({"name": "n", "environment_variables": null, "metadata": {"cas_config": null}});
    let change = world.change_of(&world.update(&patch).await).await;
    assert_eq!(change["effect"], "exact", "{change}");
    let shown = Call::get(&format!("/api/v1/cloud/deployments/{DEPLOYMENT}"));
    let shown = call(world.proxy(), shown).await.json();
    assert!(shown["metadata"]["cas_config"].is_object());
}

#[tokio::test]
async fn what_was_asked_is_found_whatever_came_of_it() {
    let world = world().await;
    let schedule = |zone: &str| {
        let cron = json!({"type": "cron", "expression": "5 1 * * *", "timezone": zone});
        json!({"schedule": cron})
    };
    let denied = world.change_of(&world.update(&schedule("Europe/Paris")).await).await;
    let refused = world.change_of(&world.update(&json!({"name": ""})).await).await;
    assert_eq!((&denied["outcome"], &refused["outcome"]), (&json!("denied"), &json!("rejected")));
    let applied = world.change_of(&world.update(&schedule("UTC")).await).await;
    let whole = json!({"name": "Nightly report", "type": "deployment", "metadata": {"a/b": "1"}});
    let whole = world.change_of(&world.update(&whole).await).await;
    for (query, expected) in [
        ("asked_path=/schedule", vec![&applied, &denied]),
        ("asked_path=/schedule/timezone&decision=deny", vec![&denied]),
        ("path=/schedule", vec![&applied]),
        ("asked_path=/name&outcome=rejected", vec![&refused]),
        ("asked_path=/metadata/a~1b", vec![&whole]),
        ("asked_path=/type", vec![]),
        ("asked_path=/schedule&path=/schedule/expression", vec![&applied]),
        ("asked_path=/schedule&rule=timezones", vec![&denied]),
    ] {
        let found = world.ask(&format!("/api/v1/changes?{query}")).await;
        let found: Vec<&Value> =
            found["data"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
        assert_eq!(found, expected.iter().map(|c| &c["id"]).collect::<Vec<_>>(), "{query}");
    }
}

#[tokio::test]
async fn a_create_asks_for_what_its_body_names() {
    let world = world().await;
    let body = json!({
        "name": "made", "agent": AGENT_ID, "environment_id": ENVIRONMENT_ID,
        "initial_events": [{"type": "user.message", "content": "go"}],
    });
    let made = call(world.proxy(), Call::post("/api/v1/cloud/deployments").json(&body)).await;
    let made = world.change_of(&made).await;
    for (query, is_found) in [
        ("asked_path=/initial_events/0/content", true),
        ("path=/initial_events/0/content", true),
        ("asked_path=/created_at", false),
        ("path=/created_at", true),
    ] {
        let found = world.ask(&format!("/api/v1/changes?{query}")).await;
        let found = found["data"].as_array().unwrap();
        assert_eq!(found.iter().any(|change| change["id"] == made["id"]), is_found, "{query}");
    }
}

#[tokio::test]
async fn a_denial_names_the_rule_the_contact_and_the_record() {
    let policy = "contact = '#platform on chat'\n[timezones]\nallowed = ['UTC']";
    let world = Setup::new().policy(policy).start().await;
    let schedule = json!({"type": "cron", "expression": "5 1 * * *", "timezone": "Asia/Tokyo"});
    let denied = world.update(&json!({"schedule": schedule})).await;
    let change = world.change_of(&denied).await;
    let message = denied.json()["error"]["message"].as_str().unwrap().to_owned();
    let end = format!("; ask #platform on chat (Changegate, {})", change["id"].as_str().unwrap());
    assert!(message.starts_with("denied by policy: timezones: "), "{message}");
    assert!(message.ends_with(&end), "{message}");
    assert_eq!(change["reason"]["message"], message);
}
