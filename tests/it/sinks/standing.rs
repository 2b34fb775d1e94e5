//! What operators are told of sinks, and what they try.

use serde_json::{Value, json};

use super::{of_kind, order, stands, webhook, world};
use crate::world::command::{in_world, run_with};
use crate::world::eventually;
use crate::world::recorder::{Recorder, answer};

#[tokio::test]
async fn a_test_shows_whether_a_message_arrives() {
    let recorder = Recorder::start(|_| answer(200, "")).await;
    let away = "http://127.0.0.1:1";
    let tables = webhook("hook", &recorder.url, "") + &webhook("away", away, "");
    let world = world(&tables).await;
    let told = order(&world, "admin", "hook/test", &json!({})).await;
    assert_eq!(told.json(), json!({"sink": "hook", "taken": true, "error": null}));
    let sent = of_kind(&recorder, "sink.test", 1).await;
    assert_eq!(
        (&sent[0]["data"]["sink"], &sent[0]["data"]["node"]),
        (&json!("hook"), &json!("main"))
    );
    let told: Value = order(&world, "admin", "away/test", &json!({})).await.json();
    assert!(told["taken"] == false && told["error"].is_string(), "{told}");
    assert_eq!(order(&world, "admin", "other/test", &json!({})).await.status, 404);
    assert_eq!(order(&world, "auditor", "hook/test", &json!({})).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_sinks_by_the_log_and_order_by_the_api() {
    let recorder = Recorder::start(|received| {
        let is_bad = String::from_utf8_lossy(&received.body).contains("poison");
        answer(if is_bad { 422 } else { 200 }, "")
    });
    let recorder = recorder.await;
    let tables = webhook("hook", &recorder.url, "") + &webhook("away", "http://127.0.0.1:1", "");
    let world = world(&tables).await;
    stands(&world, "hook", "current").await;
    world.update(&json!({"name": "poison"})).await;
    stands(&world, "away", "waiting").await;
    eventually("a dead letter", async || {
        (super::sink(&world, "hook").await["dead_letters"] == 1).then_some(())
    })
    .await;
    let admin = format!("http://{}", world.admin());
    let listed = in_world(&world, &["audit", "sinks", "--json"]);
    let lines: Vec<Value> =
        listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.code, 0, "{listed:?}");
    assert_eq!((&lines[0]["name"], &lines[0]["state"]), (&json!("away"), &json!("waiting")));
    assert!(lines[0]["lag_seconds"].is_u64(), "{listed:?}");
    let shown = in_world(&world, &["audit", "sinks"]);
    assert!(shown.out.starts_with("SINK ") && shown.out.contains("no connection"), "{shown:?}");
    let dead = in_world(&world, &["audit", "sinks", "dead", "hook"]);
    assert!(dead.out.contains("answered 422"), "{dead:?}");
    assert_eq!(in_world(&world, &["audit", "sinks", "dead", "none"]).code, 1);
    for (token, arguments, code, said) in [
        ("admin", vec!["test", "hook"], 0, "hook took the message"),
        ("admin", vec!["test", "away"], 1, "away did not take the message: no connection"),
        ("admin", vec!["replay", "hook", "--from", "0"], 0, "hook goes on at position"),
        ("admin", vec!["resume", "away"], 0, "away goes on at position"),
        ("admin", vec!["resume", "none"], 1, "no sink has this name"),
        ("auditor", vec!["resume", "away"], 2, "role admin"),
    ] {
        let mut all = vec!["audit", "sinks"];
        all.extend(&arguments);
        all.extend(["--admin", &admin]);
        let ran = run_with(world.folder.path(), &all, &[("CHANGEGATE_ADMIN_TOKEN", token)]);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.out.contains(said) || ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    of_kind(&recorder, "event.start", 1).await;
}
