//! `POST /api/v1/evaluate`: the policy's word on a change that nobody makes.

use serde_json::{Value, json};

use crate::world::{Answer, Call, DEPLOYMENT, Setup, World, admin_token, call, world};

const PATH: &str = "/api/v1/evaluate";

async fn evaluate(world: &World, request: &Value) -> Answer {
    let post = Call::post(PATH).header("content-type", "application/json").json(request);
    call(world.admin(), post).await
}

#[tokio::test]
async fn a_change_is_judged_and_nothing_of_it_happens() {
    let world = world().await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Base"});
    let before = json!({"name": "nightly", "metadata": {"owner_override": "me"}, "schedule": null});
    let request = json!({
        "before": before,
        "patch": {"schedule": zone},
        "actor": {"name": "nightly", "team": "platform"},
        "at": "2026-06-14T08:58:11Z",
    });
    let answer = evaluate(&world, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    assert_eq!(told["decision"], "deny");
    assert_eq!(told["violations"][0]["rule"], "timezones");
    assert_eq!(told["standing"][0]["rule"], "metadata.forbidden_keys");
    assert_eq!(told["predicted"]["schedule"]["timezone"], "Mars/Base");
    let places: Vec<&str> =
        told["diff"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(places, ["/schedule"]);
    assert_eq!((&told["not_judged"], world.writes_received()), (&json!([]), 0));
    assert_eq!(world.changes().await, Vec::<Value>::new());
    let events = world.events("evaluation", 1).await;
    assert_eq!(events[0]["detail"]["decision"], "deny");
    assert_eq!(events[0]["detail"]["policy_digest"], told["policy_digest"]);
}

#[tokio::test]
async fn a_policy_may_be_sent_along_and_the_log_stand_for_the_deployment() {
    let world = world().await;
    assert_eq!(world.update(&json!({"name": "recorded"})).await.status, 200);
    let policy = "[[rule]]\nname = 'kept'\nrequire = 'oldObject != null && object.name == \
        oldObject.name'\noperations = ['update']\n";
    let request = json!({"deployment_id": DEPLOYMENT, "patch": {"name": "x"}, "policy": policy});
    let told = evaluate(&world, &request).await.json();
    assert_eq!(told["decision"], "deny", "{told}");
    let diff = &told["diff"][0];
    assert_eq!((&diff["from"], &diff["to"]), (&json!("recorded"), &json!("x")));

    for (request, status, said) in [
        (json!({"patch": {}, "policy": "[[rule]]\nname = 'x'\n"}), 400, "line 1"),
        (json!({"patch": {}, "policy": "# ".repeat(200_000)}), 400, "longer than"),
        (json!({"deployment_id": "dep_unknown"}), 400, "has not seen"),
        (json!({"operation": "update"}), 400, "every other operation"),
        (json!({"operation": "delete"}), 400, "write one of"),
        (json!({"before": {}, "patch": {"metadata": 7}}), 400, "metadata"),
        (json!({"before": {}, "at": "noon"}), 400, "at: "),
        (json!({"before": {}, "actor": {"fingerprint": "x"}}), 400, "pat_"),
        (json!({"befor": {}}), 400, "befor"),
    ] {
        let answer = evaluate(&world, &request).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{request}: {text}");
        assert!(text.contains(said), "{said}: {text}");
    }
    let twice = Call::post(PATH).header("content-type", "application/json");
    let twice = call(world.admin(), twice.body(r#"{"before": {}, "before": {}}"#)).await;
    assert_eq!(twice.status, 400, "{}", twice.text());
    let form = Call::post(PATH).header("content-type", "text/plain").body("{}");
    assert_eq!(call(world.admin(), form).await.status, 415);
    assert_eq!(call(world.admin(), Call::get(PATH)).await.status, 405);
}

#[tokio::test]
async fn a_secret_is_concealed_in_the_answer_and_tests_no_guess() {
    let world = world().await;
    let secret = json!({"environment_variables": "API_KEY=s3cr3t-value-of-mine"});
    let recorded = world.update(&secret).await;
    let recorded = world.change_of(&recorded).await["patch"]["environment_variables"].clone();
    let request = json!({"deployment_id": DEPLOYMENT, "patch": secret});
    let mut digests = vec![recorded];
    for _ in 0..2 {
        let answer = evaluate(&world, &request).await;
        assert!(!answer.text().contains("s3cr3t"), "{}", answer.text());
        digests.push(answer.json()["predicted"]["environment_variables"].clone());
    }
    assert!(digests.iter().all(|digest| digest.as_str().unwrap().contains("hmac-sha256:")));
    assert!(digests[0] != digests[1] && digests[1] != digests[2], "{digests:?}");

    // Nothing tells whether it is the secret that stands there, so nothing is decided by that.
    let policy = "[[rule]]\nname = 'env'\noperations = ['update']\nrequire = \
        \"!touches('/environment_variables')\"\n";
    let request = json!({"deployment_id": DEPLOYMENT, "patch": secret, "policy": policy});
    let told = evaluate(&world, &request).await.json();
    assert_eq!(told["decision"], Value::Null, "{told}");
    assert_eq!(told["not_judged"], json!([{"rule": "env", "why": "concealed"}]));
    let request = json!({"deployment_id": DEPLOYMENT, "patch": {"name": "x"}, "policy": policy});
    assert_eq!(evaluate(&world, &request).await.json()["decision"], "allow");
}

#[tokio::test]
async fn only_auditors_ask_for_it() {
    let token = |name: &str, role: &str| admin_token(name, name, role);
    let tokens = [token("looks", "viewer"), token("checks", "auditor")].concat();
    let world = Setup::new().config(&tokens).start().await;
    let ask = async |name: &str| {
        let post = Call::post(PATH).header("content-type", "application/json").token(name);
        call(world.admin(), post.json(&json!({"patch": {"name": "x"}}))).await.status.as_u16()
    };
    assert_eq!((ask("looks").await, ask("checks").await, ask("nobody").await), (403, 200, 401));
    let post = Call::post(PATH).header("content-type", "application/json").token("checks");
    let foreign = post.header("sec-fetch-site", "cross-site").json(&json!({}));
    assert_eq!(call(world.admin(), foreign).await.status, 403);
}
