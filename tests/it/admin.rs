//! The admin API over a small history that came in through the proxy.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::world::{Answer, Call, DEPLOYMENT, Setup, World, admin_token, call, fingerprint};

const BASE: &str = "/api/v1/cloud/deployments";
const BOB: &str = "pt-bob-0123456789";

/// Twelve changes of several kinds by two actors, a minute apart from 08:00.
async fn history() -> World {
    let manual = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let config = format!(
        "[[actor]]\nfingerprint = '{}'\nname = 'bob'\nteam = 'nightly'\n",
        fingerprint(BOB)
    );
    let world = Setup::new().config(&config).clock(Clock::Manual(manual.clone())).start().await;
    let update = |patch: Value| Call::post(&format!("{BASE}/{DEPLOYMENT}")).json(&patch);
    let verb = |verb: &str| Call::post(&format!("{BASE}/{DEPLOYMENT}/{verb}"));
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let hourly = json!({"type": "cron", "expression": "0 * * * *", "timezone": "UTC"});
    for (made, status) in [
        (update(json!({"name": "first"})), 200),
        (update(json!({"schedule": hourly})), 200),
        (update(json!({"schedule": zone})), 403),
        (update(json!({"metadata": {"owner_override": "x"}})), 403),
        (verb("pause"), 200),
        (verb("unpause"), 200),
        (update(json!({"name": "bobs"})).token(BOB), 200),
        (update(json!({"name": ""})).token(BOB), 400),
        (update(json!({})).body("[1]"), 400),
        (Call::post(&format!("{BASE}/dep_missing")).json(&json!({"name": "x"})), 404),
        (update(json!({"name": "named"})).header("x-request-id", "req-of-mine"), 200),
        (update(json!({"description": "d"})).header("user-agent", "curl/8.9"), 200),
    ] {
        let answer = call(world.proxy(), made).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        manual.advance(Duration::from_mins(1));
    }
    world
}

#[tokio::test]
async fn every_filter_finds_what_it_names() {
    let world = history().await;
    let bob = fingerprint(BOB);
    for (query, expected) in [
        ("", 12),
        (format!("deployment_id={DEPLOYMENT}").as_str(), 11),
        ("deployment_id=dep_missing", 1),
        ("actor=bob", 2),
        (&format!("actor={bob}"), 2),
        ("actor=nobody", 0),
        ("team=nightly", 2),
        ("operation=pause", 1),
        ("operation=update", 10),
        ("decision=deny", 2),
        ("decision=allow", 8),
        ("decision=refuse", 2),
        ("outcome=applied", 7),
        ("outcome=rejected", 2),
        ("outcome=refused", 1),
        ("rule=timezones", 1),
        ("rule=metadata.forbidden_keys", 1),
        ("path=/name", 3),
        ("path=/schedule", 1),
        ("path=/schedule/timezone", 1),
        ("path=/sched", 0),
        ("request_id=req-of-mine", 1),
        ("since=2026-06-14T08:10:00Z", 2),
        ("until=2026-06-14T08:10:00Z", 10),
        ("since=2026-06-14T08:04:00Z&until=2026-06-14T08:06:00Z", 2),
        ("since=2m", 2),
        ("q=CURL", 1),
        ("q=%25", 0),
        ("q=NAMED", 11),
        ("actor=bob&outcome=applied", 1),
        ("deployment_name=AME", 11),
        ("deployment_name=named&outcome=denied", 2),
        ("deployment_name=named&deployment_id=dep_missing", 0),
        ("deployment_name=first", 0),
    ] {
        let page = world.ask(&format!("/api/v1/changes?{query}")).await;
        let found = page["data"].as_array().unwrap();
        let told: Vec<_> = found.iter().map(|c| (&c["operation"], &c["outcome"])).collect();
        assert_eq!(found.len(), expected, "{query}: {told:?}");
        assert!(found.iter().all(|change| change.get("patch").is_none()), "{query}: no bodies");
    }
    for bad in [
        "limit=0",
        "limit=1001",
        "cursor=x",
        "color=red",
        "actor=bob&actor=al",
        "since=x",
        "deployment_name=",
        "deployment_name=%00",
    ] {
        let answer = call(world.admin(), Call::get(&format!("/api/v1/changes?{bad}"))).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert_eq!(answer.json()["error"]["param"], bad.split('=').next().unwrap());
    }
}

#[tokio::test]
async fn a_name_stands_for_so_many_deployments_and_no_more() {
    let world = Setup::new().start().await;
    let ids = world.seed(65);
    for id in &ids {
        let patch = json!({"description": "x"});
        call(world.proxy(), Call::post(&format!("{BASE}/{id}")).json(&patch)).await;
    }
    let ask = async |query: &str| call(world.admin(), Call::get(query)).await;
    for path in ["/api/v1/changes?", "/api/v1/export?format=csv&"] {
        let answer = ask(&format!("{path}deployment_name=seeded")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["error"]["param"], "deployment_name", "{path}");
        let told = answer.text();
        assert!(told.contains("more than 64 deployments have this in their name"), "{told}");
    }
    assert_eq!(ask("/changes/live?deployment_name=seeded").await.status, 400);
    let shown = ask("/changes?deployment_name=seeded").await;
    assert_eq!(shown.status, 400);
    assert!(shown.text().contains("id=\"f-deployment_name-wrong\""), "{}", shown.text());
    // A text is looked for in the names of those that were changed last.
    assert_eq!(world.ask("/api/v1/changes?q=SEEDED&limit=99").await["data"][63]["seq"], 2);
    world.update(&json!({"name": "seeded no more"})).await;
    let page = world.ask("/api/v1/changes?deployment_name=no+more").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    let csv = ask("/api/v1/export?format=csv&deployment_name=No%20More").await.text();
    assert_eq!(csv.lines().count(), 2, "{csv}");
}

#[tokio::test]
async fn pages_joined_are_the_whole_while_new_changes_come_in() {
    let world = history().await;
    let whole = world.changes().await;
    let (mut joined, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.ask(&format!("/api/v1/changes?limit=5{cursor}")).await;
        joined.extend(page["data"].as_array().unwrap().iter().cloned());
        world.update(&json!({"name": format!("meanwhile {}", joined.len())})).await;
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(joined, whole);
}

#[tokio::test]
async fn a_change_is_shown_whole_and_an_unknown_one_is_404() {
    let world = history().await;
    let id = world.changes().await[0]["id"].as_str().unwrap().to_owned();
    let change = world.ask(&format!("/api/v1/changes/{id}")).await;
    assert_eq!(change["patch"], json!({"description": "d"}));
    assert_eq!(change["after"]["description"], "d");
    let unknown = format!("chg_{}", "0".repeat(32));
    for (path, status) in [
        (format!("/api/v1/changes/{unknown}"), 404),
        ("/api/v1/changes/nonsense".to_owned(), 404),
        ("/api/v1/changes/%ff".to_owned(), 404),
        (format!("/api/v1/changes/{id}?full=1"), 400),
        ("/api/v1/nothing".to_owned(), 404),
    ] {
        let answer = call(world.admin(), Call::get(&path)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.json()["type"], "error", "{path}");
    }
    let posted = call(world.admin(), Call::post("/api/v1/changes")).await;
    assert_eq!((posted.status.as_u16(), posted.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn a_deployment_is_known_as_it_was_at_any_time() {
    let world = history().await;
    let known = world.ask("/api/v1/deployments").await;
    let known = known["data"].as_array().unwrap();
    let mine = known.iter().find(|one| one["id"] == DEPLOYMENT).unwrap();
    assert_eq!((&mine["name"], &mine["changes"]), (&json!("named"), &json!(11)));
    assert_eq!(mine["last_changed_at"], "2026-06-14T08:11:00.000Z");

    let at = |time: &str| format!("/api/v1/deployments/{DEPLOYMENT}/at?time=2026-06-14T{time}Z");
    for (time, name) in
        [("08:00:00", "first"), ("08:05:30", "first"), ("08:06:00", "bobs"), ("23:00:00", "named")]
    {
        let seen = world.ask(&at(time)).await;
        assert_eq!(seen["deployment"]["name"], name, "{time}");
        assert_eq!(seen["deployment_id"], DEPLOYMENT);
    }
    assert_eq!(call(world.admin(), Call::get(&at("07:59:59"))).await.status, 404);
    let untimed = format!("/api/v1/deployments/{DEPLOYMENT}/at");
    assert_eq!(call(world.admin(), Call::get(&untimed)).await.status, 400);

    let history = format!("/api/v1/deployments/{DEPLOYMENT}/history");
    let page = world.ask(&format!("{history}?actor=bob&outcome=applied")).await;
    assert_eq!(page["data"][0]["patch"], json!({"name": "bobs"}));
    assert_eq!(world.ask(&history).await["data"].as_array().unwrap().len(), 11);
    let absent = call(world.admin(), Call::get("/api/v1/deployments/dep_x/history")).await;
    assert_eq!(absent.status, 404);
}

#[tokio::test]
async fn events_tell_of_the_start_other_writes_and_refused_writes() {
    let world = Setup::new().start().await;
    call(world.proxy(), Call::post("/api/v1/cloud/agents").json(&json!({"name": "a"}))).await;
    call(world.proxy(), Call::new("DELETE", &format!("{BASE}/{DEPLOYMENT}"))).await;
    assert_eq!(world.events("start", 1).await.len(), 1);
    let other = &world.events("other_write", 1).await[0];
    assert_eq!(other["detail"]["path"], "/api/v1/cloud/agents");
    let refused = &world.events("refused_write", 1).await[0];
    assert_eq!(refused["detail"]["status"], 403);
    assert_eq!(refused["client_ip"], "127.0.0.1");
    let later = world.ask("/api/v1/events?since=2999-01-01").await;
    assert_eq!(later["data"], json!([]));
}

async fn with_tokens() -> World {
    let token = |role: &str| admin_token(&format!("{role}-token"), role, role);
    let config = ["viewer", "auditor", "admin"].map(token).concat();
    Setup::new().config(&config).start().await
}

async fn asked(world: &World, role: &str, path: &str) -> Answer {
    call(world.admin(), Call::get(path).token(&format!("{role}-token"))).await
}

#[tokio::test]
async fn each_role_sees_what_it_may() {
    let world = with_tokens().await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let denied = world.update(&json!({"schedule": zone})).await;
    let id = denied.header("changegate-change").unwrap();
    let whole = format!("/api/v1/changes/{id}");
    let history = format!("/api/v1/deployments/{DEPLOYMENT}/history");
    let at = format!("/api/v1/deployments/{DEPLOYMENT}/at?time=2999-01-01T00:00:00Z");

    let seen = asked(&world, "viewer", &whole).await;
    assert_eq!((seen.status.as_u16(), &seen.json()["outcome"]), (200, &json!("denied")));
    for path in [&whole, &history, &"/api/v1/changes?limit=5".to_owned()] {
        let seen = asked(&world, "viewer", path).await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(!seen.text().contains("\"before\""), "{path}: {}", seen.text());
        assert!(!seen.text().contains("\"actual\":\""), "{path}: {}", seen.text());
    }
    assert_eq!(asked(&world, "viewer", &at).await.status, 403);
    for role in ["auditor", "admin"] {
        let seen = asked(&world, role, &whole).await.json();
        assert_eq!(seen["violations"][0]["actual"], "Europe/Paris", "{role}");
        assert_eq!(seen["before"]["id"], DEPLOYMENT, "{role}");
        assert_eq!(asked(&world, role, &at).await.status, 200, "{role}");
    }
    world.update(&json!({"metadata": {"owner_override": "x"}})).await;
    world.update(&json!({"name": "hidden", "metadata": {"hidden": "x"}})).await;
    for (path, status) in [
        ("/api/v1/changes?path=/metadata".to_owned(), 200),
        ("/api/v1/changes?path=/metadata/hidden".to_owned(), 403),
        ("/api/v1/changes?q=hidden".to_owned(), 200),
        ("/api/v1/changes?deployment_name=hidden".to_owned(), 403),
        ("/api/v1/changes?q=Paris".to_owned(), 200),
        ("/api/v1/changes".to_owned(), 200),
        ("/api/v1/deployments".to_owned(), 200),
        ("/api/v1/events".to_owned(), 200),
        (format!("{history}?q=hidden"), 200),
        (format!("{history}?path=/metadata/hidden"), 403),
        (history.clone(), 200),
    ] {
        let seen = asked(&world, "viewer", &path).await;
        assert_eq!(seen.status, status, "{path}: {}", seen.text());
        for inside in ["hidden", "owner_override", "Paris", "\"redacted\""] {
            assert!(!seen.text().contains(inside), "{path}: {inside}: {}", seen.text());
        }
        if path.contains("q=") {
            assert_eq!(seen.json()["data"], json!([]), "{path}");
        }
        assert_eq!(asked(&world, "auditor", &path).await.status, 200, "{path}");
    }
    let events = format!("/api/v1/events?deployment_id={DEPLOYMENT}&actor=bob&team=nightly");
    assert_eq!(asked(&world, "viewer", &events).await.status, 200);
    let searched = "/api/v1/events?q=hidden";
    assert_eq!(asked(&world, "viewer", searched).await.status, 403);
    assert_eq!(asked(&world, "auditor", searched).await.status, 200);
    let found = asked(&world, "auditor", "/api/v1/changes?q=hidden").await.json();
    // Every change of the deployment that has it in its name.
    assert_eq!(found["data"].as_array().unwrap().len(), 3);
    for refused in [Call::get(&whole).without("authorization"), Call::get(&whole).token("wrong")] {
        let refused = call(world.admin(), refused).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn readiness_names_the_policy_the_gateway_and_those_that_share_its_log() {
    let world = with_tokens().await;
    let ready = call(world.admin(), Call::get("/readyz")).await.json();
    assert_eq!((&ready["node"], &ready["nodes"]), (&"main".into(), &1.into()), "{ready}");
    assert_eq!(ready.get("lease"), Some(&serde_json::Value::Null), "{ready}");
    assert!(ready["policy_digest"].is_string(), "{ready}");
}

#[tokio::test]
async fn probes_need_no_token_and_every_answer_is_hardened() {
    let world = with_tokens().await;
    for (path, kind, part) in [
        ("/healthz", "application/json", "ok"),
        ("/readyz", "application/json", "ok"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# TYPE changegate_build_info"),
        ("/openapi.json", "application/json", "\"openapi\""),
    ] {
        let answer = call(world.admin(), Call::get(path).without("authorization")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert!(answer.text().contains(part), "{path}: {}", answer.text());
    }
    for path in ["/healthz", "/api/v1/changes", "/nowhere"] {
        let answer = call(world.admin(), Call::get(path)).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
    }
    let described = call(world.admin(), Call::get("/openapi.json")).await.json();
    assert!(described["paths"]["/api/v1/changes/{id}"].is_object(), "{described}");
}

#[tokio::test]
async fn without_a_token_only_local_hosts_are_answered() {
    let world = Setup::new().start().await;
    for (host, status) in [("localhost", 200), ("127.0.0.1:1", 200), ("evil.example", 403)] {
        let head = format!("GET /api/v1/changes HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        let bytes = format!("{head}\r\n");
        let wait = Duration::from_secs(10);
        let answer = crate::world::client::raw(world.admin(), bytes.as_bytes(), wait).await;
        assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{host}");
    }
}

#[tokio::test]
async fn metrics_count_governed_calls_by_what_came_of_them() {
    let world = history().await;
    let text = call(world.admin(), Call::get("/metrics")).await.text();
    for (labels, count) in [
        ("operation=\"update\",outcome=\"denied\",decision=\"deny\"", 2),
        ("operation=\"update\",outcome=\"applied\",decision=\"allow\"", 5),
        ("operation=\"pause\",outcome=\"applied\",decision=\"allow\"", 1),
    ] {
        let line = format!("changegate_changes_total{{{labels}}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(text.contains("changegate_exchange_seconds_count 12"), "{text}");
}
