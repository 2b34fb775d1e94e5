//! Governed calls, from the client's answer to the record.

use std::time::Duration;

use changegate::simulator::Fault;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::world::client::TOKEN;
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually, world};

const BASE: &str = "/api/v1/cloud/deployments";

fn fault(world: &World, text: &str) {
    world.simulator().state().set_faults([text.parse::<Fault>().unwrap()]);
}

fn paths(change: &Value, computed: bool) -> Vec<&str> {
    let diff = change["diff"].as_array().unwrap().iter();
    diff.filter(|d| d["computed"] == computed).map(|d| d["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_seeds_update_is_applied_and_recorded_with_before_after_and_diff() {
    let world = world().await;
    let patch = json!({
        "name": "api-doc-verification-deployment-v2",
        "schedule": {"type": "cron", "expression": "30 9 * * 1-5", "timezone": "Asia/Shanghai"},
    });
    let answer = world.update(&patch).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["name"], "api-doc-verification-deployment-v2");
    assert_eq!(answer.header("changegate-decision"), Some("allow"));

    let change = world.change_of(&answer).await;
    assert_eq!(change["outcome"], "applied");
    assert_eq!(change["effect"], "exact");
    assert_eq!(change["operation"], "update");
    assert_eq!(change["deployment_id"], DEPLOYMENT);
    assert_eq!(change["patch"], patch);
    assert_eq!(change["before"]["name"], "api-doc-verification-deployment");
    assert_eq!(change["after"], answer.json());
    assert_eq!(change["upstream"]["status"], 200);
    assert_eq!(change["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(paths(&change, false), ["/name", "/schedule/expression"]);
    assert!(paths(&change, true).contains(&"/updated_at"));
    assert!(change["received_at"].as_str() <= change["completed_at"].as_str());
}

#[tokio::test]
async fn of_a_hundred_clients_each_sees_what_the_former_left() {
    let world = world().await;
    let calls = (0..100).map(|n| {
        let path = format!("{BASE}/{DEPLOYMENT}");
        // At most 32 calls of one caller wait for a deployment.
        let update = Call::post(&path).token(["pt-a", "pt-b", "pt-c", "pt-d"][n % 4]);
        tokio::spawn(call(world.proxy(), update.json(&json!({"name": format!("n{n}")}))))
    });
    for answer in calls.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    let page = world.ask(&format!("/api/v1/deployments/{DEPLOYMENT}/history?limit=1000")).await;
    let history = page["data"].as_array().unwrap();
    assert_eq!(history.len(), 100);
    for newer_and_older in history.windows(2) {
        assert_eq!(newer_and_older[0]["before"], newer_and_older[1]["after"]);
    }
}

#[tokio::test]
async fn a_denied_change_is_not_forwarded_and_names_every_rule() {
    let world = world().await;
    let answer = world
        .update(&json!({
            "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"},
            "metadata": {"Owner_Override": "me", "secret_key": "x"},
        }))
        .await;
    assert_eq!(answer.status, 403);
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "permission_error");
    assert!(error["message"].as_str().unwrap().contains("timezones"));
    assert!(error["message"].as_str().unwrap().contains("metadata.forbidden_keys"));
    assert_eq!(answer.header("changegate-decision"), Some("deny"));
    assert_eq!(world.writes_received(), 0);

    let change = world.change_of(&answer).await;
    assert_eq!(change["outcome"], "denied");
    assert_eq!(change["violations"].as_array().unwrap().len(), 3);
    assert_eq!(change["before"]["name"], "api-doc-verification-deployment");
    assert_eq!(change["after"], Value::Null);
    let first = change["violations"][0]["path"].as_str().unwrap();
    assert_eq!(error["param"], first.trim_start_matches('/').replace('/', "."));
}

#[tokio::test]
async fn what_already_violates_does_not_block_what_leaves_it_alone() {
    let world = Setup::new().policy("[timezones]\nallowed = ['UTC']").start().await;
    let answer = world.update(&json!({"description": "new"})).await;
    assert_eq!(answer.status, 200);
    let change = world.change_of(&answer).await;
    assert_eq!(change["violations"], json!([]));
    assert_eq!(change["standing"][0]["rule"], "timezones");
}

#[tokio::test]
async fn a_rule_that_warns_lets_the_change_through_with_a_warning() {
    let policy = "[timezones]\nallowed = ['UTC']\nenforcement = 'warn'";
    let world = Setup::new().policy(policy).start().await;
    let schedule = json!({"type": "cron", "expression": "1 1 * * *", "timezone": "Asia/Tokyo"});
    let answer = world.update(&json!({"schedule": schedule})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("changegate-decision"), Some("warn"));
    assert!(answer.header("warning").unwrap().starts_with("299 changegate \""));
}

#[tokio::test]
async fn a_client_that_hangs_up_is_still_recorded() {
    let world = world().await;
    fault(&world, "delay=200@POST");
    let body = json!({"description": "left"}).to_string();
    let head = format!(
        "POST {BASE}/{DEPLOYMENT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(world.proxy()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..500 {
        if world.changes().await.iter().any(|change| change["outcome"] == "pending") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    for _ in 0..500 {
        if world.changes().await[0]["outcome"] == "applied" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the change did not come to its end: {:?}", world.changes().await);
}

#[tokio::test]
async fn a_client_that_closes_as_soon_as_all_is_sent_is_still_recorded() {
    let world = world().await;
    let mut open = Vec::new();
    // No more than wait for one deployment of one caller.
    for n in 0..30 {
        let body = json!({"name": format!("n{n}")}).to_string();
        let call = format!(
            "POST {BASE}/{DEPLOYMENT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        // Without a pause, so that the end is there when the gateway first looks.
        let mut stream = std::net::TcpStream::connect(world.proxy()).unwrap();
        std::io::Write::write_all(&mut stream, call.as_bytes()).unwrap();
        match n % 3 {
            0 => drop(stream),
            1 => {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                open.push(stream);
            }
            _ => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
    let applied = async || {
        let page = world.ask("/api/v1/changes?outcome=applied&limit=100").await;
        (page["data"].as_array().unwrap().len() == 30).then_some(())
    };
    eventually("a record of each", applied).await;
}

#[tokio::test]
async fn if_match_takes_the_etag_that_a_read_gave_and_refuses_an_old_one() {
    let world = world().await;
    let path = format!("{BASE}/{DEPLOYMENT}");
    let read = call(world.proxy(), Call::get(&path)).await;
    let tag = read.header("etag").unwrap().to_owned();
    let update =
        |name: &str| Call::post(&path).header("if-match", &tag).json(&json!({"name": name}));
    let first = call(world.proxy(), update("one")).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.header("etag"), Some(tag.as_str()));
    let second = call(world.proxy(), update("two")).await;
    assert_eq!(second.status, 412);
    assert_eq!(second.json()["error"]["type"], "conflict_error");
    assert_eq!(world.change_of(&second).await["outcome"], "refused");
    assert_eq!(world.writes_received(), 1);
    let reread = call(world.proxy(), Call::get(&path)).await;
    assert_eq!(reread.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn every_operation_is_recorded_with_what_it_did() {
    let world = world().await;
    for (verb, status, effect) in [
        ("pause", "paused", "exact"),
        ("unpause", "active", "exact"),
        ("run", "active", "exact"),
        ("archive", "", "exact"),
    ] {
        let answer = call(world.proxy(), Call::post(&format!("{BASE}/{DEPLOYMENT}/{verb}"))).await;
        assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
        let change = world.change_of(&answer).await;
        assert_eq!(change["operation"], verb);
        assert_eq!(change["outcome"], "applied", "{verb}");
        assert_eq!(change["effect"], effect, "{verb}: {:#}", change["diff"]);
        if verb == "archive" {
            assert_ne!(change["after"]["archived_at"], Value::Null);
        } else {
            assert_eq!(change["after"]["status"], status, "{verb}");
        }
    }
}

#[tokio::test]
async fn a_created_deployment_is_recorded_under_the_id_that_upstream_gave_it() {
    let world = world().await;
    let before = world.simulator().state().deployment(DEPLOYMENT).unwrap();
    let body = json!({
        "name": "fresh",
        "agent": before["agent"]["id"],
        "environment_id": before["environment_id"],
        "initial_events": before["initial_events"],
        "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"},
        "environment_variables": "API=hunter2-hunter2\nMODE=fast",
    });
    let answer = call(world.proxy(), Call::post(BASE).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let change = world.change_of(&answer).await;
    assert_eq!(change["operation"], "create");
    assert_eq!(change["deployment_id"], answer.json()["id"]);
    assert_eq!(change["before"], Value::Null);
    assert_eq!(change["effect"], "exact");
    let stored = change["after"]["environment_variables"].as_str().unwrap();
    assert!(stored.starts_with("API=hmac-sha256:"), "{stored}");
    assert!(
        change["redacted"].as_array().unwrap().contains(&json!("/patch/environment_variables"))
    );

    let denied = call(
        world.proxy(),
        Call::post(BASE).json(&json!({"name": "x", "metadata": {"owner_override": "1"}})),
    );
    assert_eq!(denied.await.status, 403);
}

#[tokio::test]
async fn upstreams_no_is_passed_on_and_recorded_as_rejected() {
    let world = world().await;
    let missing = call(world.proxy(), Call::post(&format!("{BASE}/dep_missing")).json(&json!({})));
    let missing = missing.await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["type"], "not_found_error");
    assert_eq!(world.change_of(&missing).await["outcome"], "rejected");

    let invalid = world.update(&json!({"name": ""})).await;
    assert_eq!(invalid.status, 400);
    let change = world.change_of(&invalid).await;
    assert_eq!((&change["outcome"], &change["decision"]), (&json!("rejected"), &json!("allow")));
    let said = |field: &str| invalid.json()["error"][field].clone();
    let reason = json!({"status": 400, "type": said("type"), "message": said("message")});
    assert_eq!(change["reason"], reason);
    let secret = world.update(&json!({"name": "", "environment_variables": "A=hunter2"})).await;
    assert_eq!(world.change_of(&secret).await["reason"]["message"], Value::Null);

    let expired = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token("pt-expired").json(&json!({}));
    let expired = call(world.proxy(), expired).await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.header("changegate-change"), None);
    assert_eq!(world.changes().await.len(), 3);
}

#[tokio::test]
async fn a_deployment_that_cannot_be_read_is_not_changed() {
    let world = world().await;
    fault(&world, "status=500@GET");
    let answer = world.update(&json!({"name": "x"})).await;
    assert_eq!(answer.status, 502);
    assert_eq!(world.change_of(&answer).await["outcome"], "failed");
    fault(&world, "garbage@GET");
    assert_eq!(world.update(&json!({"name": "x"})).await.status, 502);
    fault(&world, "half-answer@GET");
    assert_eq!(world.update(&json!({"name": "x"})).await.status, 502);
    assert_eq!(world.writes_received(), 0);

    let dead = Setup::new().upstream("http://127.0.0.1:1").start().await;
    let answer = dead.update(&json!({"name": "x"})).await;
    assert_eq!(answer.status, 502);
    // Nobody knows whose token it is: nothing is recorded.
    assert_eq!(answer.header("changegate-change"), None);
    assert!(dead.changes().await.is_empty());
}

#[tokio::test]
async fn the_judged_bytes_go_out_and_upstreams_bytes_come_back() {
    let shown = format!(
        "{{ \"type\":\"deployment\",\t\"id\": \"{DEPLOYMENT}\", \"name\":\"a\\u0062\", \
         \"metadata\":{{}},\"schedule\":null }}"
    );
    let body = shown.clone();
    let upstream = Recorder::start(move |_| answer(200, &body)).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let sent = "  {\"name\" : \"\\u0061b\" ,\"unknown_field\":1.0e2}\n";
    let path = format!("{BASE}/{DEPLOYMENT}?beta=true");
    let answer = call(
        world.proxy(),
        Call::post(&path)
            .header("content-type", "application/json")
            .header("accept-encoding", "gzip")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-custom", "kept")
            .body(sent),
    )
    .await;
    assert_eq!(answer.text(), shown);
    let received = upstream.received();
    let [get, post] = &received[..] else { panic!("{received:?}") };
    assert_eq!((get.method.as_str(), get.target.as_str()), ("GET", path.as_str()));
    assert_eq!((post.method.as_str(), post.target.as_str()), ("POST", path.as_str()));
    assert_eq!(post.body, sent.as_bytes());
    assert_eq!(post.headers["accept-encoding"], "identity");
    assert_eq!(post.headers["x-custom"], "kept");
    assert_eq!(post.headers["via"], "1.1 changegate");
    assert_eq!(post.headers["x-request-id"], answer.header("x-request-id").unwrap());
    assert!(!post.headers.contains_key("x-forwarded-for"));
    assert_eq!(get.headers["authorization"], post.headers["authorization"]);
}

#[tokio::test]
async fn put_and_patch_are_judged_as_post_is() {
    let world = world().await;
    for method in ["PUT", "PATCH"] {
        let path = format!("{BASE}/{DEPLOYMENT}");
        let patch = json!({"metadata": {"owner_override": "1"}});
        let answer = call(world.proxy(), Call::new(method, &path).json(&patch)).await;
        assert_eq!(answer.status, 403, "{method}");
    }
    assert_eq!(world.writes_received(), 0);
}

#[tokio::test]
async fn no_secret_is_found_in_the_log() {
    let world = world().await;
    let patch = json!({
        "environment_variables": "KEY=planted-secret-1",
        "description": format!("my token is {TOKEN}, or x{TOKEN}x"),
        "resources": [{
            "type": "github_repository",
            "url": "https://github.com/x/y",
            "authorization_token": "planted-secret-2",
        }],
    });
    let answer = world.update(&patch).await;
    let path = format!("{BASE}/{DEPLOYMENT}");
    let agent = Call::post(&path).header("user-agent", &format!("me {TOKEN}"));
    call(world.proxy(), agent.json(&json!({"name": "y"}))).await;
    let id = Call::post(&path).header("x-request-id", TOKEN).json(&json!({"name": "z"}));
    let renamed = call(world.proxy(), id).await;
    assert_ne!(renamed.header("x-request-id"), Some(TOKEN));
    let change = world.change_of(&answer).await.to_string();
    let folder = world.folder.path().to_owned();
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    world.server.shutdown().await;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in ["planted-secret", TOKEN] {
            assert!(
                !text.contains(secret) && !change.contains(secret) && !metrics.contains(secret)
            );
        }
    }
}

#[tokio::test]
async fn the_claude_profile_takes_an_api_key_and_its_version_headers() {
    let world = Setup::new().provider("claude").start().await;
    let path = format!("/v1/deployments/{DEPLOYMENT}?beta=true");
    let update = |patch: Value| {
        Call::post(&path)
            .without("authorization")
            .header("x-api-key", "sk-ant-0123456789")
            .header("anthropic-version", "2023-06-01")
            .header("anthropic-beta", "managed-agents-2026-04-01")
            .json(&patch)
    };
    let answer = call(world.proxy(), update(json!({"name": "renamed"}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let change = world.change_of(&answer).await;
    assert_eq!(answer.header("request-id"), change["upstream"]["request_id"].as_str());
    assert_eq!(change["provider"], "claude");
    let denied = call(world.proxy(), update(json!({"metadata": {"owner_override": "1"}}))).await;
    assert_eq!(denied.status, 403);
}
