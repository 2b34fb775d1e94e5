//! Readers of bodies, told of in the log.

use serde_json::{Value, json};

use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call};

async fn get(world: &World, token: &str, path: &str) {
    let answer = call(world.admin(), Call::get(path).token(token)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

/// The events `look`, oldest first.
async fn looks(world: &World, count: usize) -> Vec<Value> {
    let seen = crate::world::eventually("the looks", async || {
        let asked = Call::get("/api/v1/events?limit=1000").token("auditor");
        let page = call(world.admin(), asked).await.json();
        let all = page["data"].as_array().unwrap().clone();
        let looks: Vec<Value> = all.into_iter().filter(|event| event["kind"] == "look").collect();
        (looks.len() >= count).then_some(looks)
    });
    let mut looks = seen.await;
    assert_eq!(looks.len(), count, "{looks:?}");
    looks.reverse();
    looks
}

#[tokio::test]
async fn who_reads_bodies_is_told_of_once() {
    let tokens = [("auditor", "auditor"), ("viewer", "viewer")]
        .map(|(token, role)| admin_token(token, token, role));
    let world = Setup::new().config(&tokens.concat()).start().await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let answer = world.update(&json!({"name": name})).await;
        ids.push(answer.header("changegate-change").unwrap().to_owned());
    }
    let (first, second) = (&ids[0], &ids[1]);
    // Nothing of a body is shown here.
    get(&world, "viewer", &format!("/api/v1/changes/{first}")).await;
    get(&world, "auditor", "/api/v1/changes").await;
    get(&world, "viewer", &format!("/api/v1/deployments/{DEPLOYMENT}/history")).await;
    for _ in 0..3 {
        get(&world, "auditor", &format!("/api/v1/changes/{first}")).await;
    }
    let told = json!({"by": "auditor", "person": null, "changes": [first]});
    assert_eq!(looks(&world, 1).await[0]["detail"], told);
    // What was told once is left out beside what was not.
    get(&world, "auditor", &format!("/api/v1/deployments/{DEPLOYMENT}/history")).await;
    let told = json!({"by": "auditor", "person": null, "changes": [second]});
    assert_eq!(looks(&world, 2).await[1]["detail"], told);
    get(&world, "auditor", &format!("/api/v1/deployments/{DEPLOYMENT}/at?time=0s")).await;
    assert_eq!(looks(&world, 2).await.len(), 2);
}

#[tokio::test]
async fn whatever_else_shows_a_deployment_is_told_of_too() {
    let tokens = [("auditor", "auditor"), ("viewer", "viewer")]
        .map(|(token, role)| admin_token(token, token, role));
    let world = Setup::new().config(&tokens.concat()).start().await;
    let answer = world.update(&json!({"name": "one"})).await;
    let first = answer.header("changegate-change").unwrap();
    let asked = json!({"deployment_id": DEPLOYMENT, "patch": {"name": "tried"}});
    let tried = Call::post("/api/v1/evaluate").token("auditor").json(&asked);
    assert_eq!(call(world.admin(), tried).await.status, 200);
    assert_eq!(looks(&world, 1).await[0]["detail"]["changes"], json!([first]));

    let around = Call::post(&format!("/api/v1/cloud/deployments/{DEPLOYMENT}"));
    let around = around.json(&json!({"name": "by hand"}));
    assert_eq!(call(world.simulator().address(), around).await.status, 200);
    let answer = world.update(&json!({"name": "two"})).await;
    let second = answer.header("changegate-change").unwrap();
    get(&world, "viewer", "/api/v1/drift").await;
    get(&world, "auditor", "/api/v1/drift").await;
    assert_eq!(looks(&world, 2).await[1]["detail"]["changes"], json!([second]));
}
