//! Changes of which upstream shows something else than was sent, and does what was asked.

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
