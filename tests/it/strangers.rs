//! Callers whose token upstream does not know: nothing of theirs is judged, kept, or in anybody's
//! way.

use std::time::Duration;

use bytes::Bytes;
use changegate::base::clock::{Clock, ManualClock, Timestamp};
use http::Response;
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::world::recorder::{Received, Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call};

const BASE: &str = "/api/v1/cloud/deployments";

/// An upstream that knows the tokens that begin with `pt-good`, and shows `pt-good-blind` nothing.
fn upstreams_answer(got: &Received) -> Response<Full<Bytes>> {
    let error = |status, kind: &str| {
        let error = json!({"type": "error", "error": {"type": kind, "message": "no"}});
        answer(status, error)
    };
    let token = got.headers["authorization"].to_str().unwrap();
    if !token.contains("pt-good") {
        return error(401, "authentication_error");
    }
    if token.contains("blind") && got.target.contains(DEPLOYMENT) {
        return error(403, "permission_error");
    }
    answer(
        200,
        json!({"type": "deployment", "id": DEPLOYMENT, "name": "a", "agent": {"id": "agent_1"},
            "metadata": {}, "schedule": null}),
    )
}

async fn upstream_and_world(config: &str) -> (Recorder, World) {
    let upstream = Recorder::start(upstreams_answer).await;
    let world = Setup::new().upstream(&upstream.url).config(config).start().await;
    (upstream, world)
}

fn create(token: &str, body: &Value) -> Call {
    Call::post(BASE).token(token).json(body)
}

fn update(token: &str, body: &Value) -> Call {
    Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(token).json(body)
}

fn gets(upstream: &Recorder) -> usize {
    upstream.received().iter().filter(|received| received.method == "GET").count()
}

#[tokio::test]
async fn whatever_a_made_up_token_sends_is_answered_by_upstream_and_leaves_no_record() {
    let (upstream, world) = upstream_and_world("rate_limit.enabled = false").await;
    let forbidden = json!({"metadata": {"owner_override": "x"}, "name": "n"});
    for (n, asked) in [
        create("pt-made-up-1", &forbidden),
        create("pt-made-up-2", &json!({"description": "pt-aaaaaaaa ".repeat(40_000)})),
        update("pt-made-up-3", &forbidden),
        Call::post(BASE).token("pt-made-up-4").header("content-type", "application/json").body("{"),
        Call::post(&format!("{BASE}/dep_x/archive")).token("pt-made-up-5"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = call(world.proxy(), asked).await;
        assert_eq!(answer.status, 401, "{n}");
        assert_eq!(answer.json()["error"]["message"], "no", "{n}: the word is upstream's");
        assert_eq!(answer.header("changegate-change"), None, "{n}");
    }
    for (asked, status) in [
        (Call::new("DELETE", &format!("{BASE}/x")).token("pt-made-up-6"), 403),
        (Call::post("/api/v1/cloud/sessions").token("pt-made-up-7").body("x"), 401),
        (create("pt-made-up-8", &json!({})).header("content-encoding", "gzip"), 415),
    ] {
        assert_eq!(call(world.proxy(), asked).await.status, status);
    }
    assert!(world.changes().await.is_empty());
    for kind in ["refused_write", "other_write"] {
        assert!(world.events(kind, 0).await.is_empty(), "{kind}");
    }
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let counted = "changegate_refusals_total{status=\"401\",subject=\"127.0.0.1\"}";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!upstream.received().iter().any(|received| received.target.contains("archive")));
}

#[tokio::test]
async fn a_caller_is_asked_for_once_in_ten_minutes_and_the_look_serves_as_the_before() {
    let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let upstream = Recorder::start(upstreams_answer).await;
    let setup = Setup::new().upstream(&upstream.url).clock(Clock::Manual(clock.clone()));
    let world = setup.start().await;
    for (call_number, gets_expected) in [(1, 1), (2, 2), (3, 3)] {
        let answer = call(world.proxy(), update("pt-good-1", &json!({"name": "b"}))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(gets(&upstream), gets_expected, "call {call_number}");
    }
    // A create asks for a list, of one deployment, and only where nobody has asked lately.
    for (token, more) in [("pt-good-1", 0), ("pt-good-2", 1), ("pt-good-2", 0)] {
        let before = gets(&upstream);
        assert_eq!(call(world.proxy(), create(token, &json!({"name": "b"}))).await.status, 200);
        assert_eq!(gets(&upstream) - before, more, "{token}");
    }
    let listed = |received: &Received| received.target == format!("{BASE}?limit=1");
    assert_eq!(upstream.received().iter().filter(|received| listed(received)).count(), 1);
    clock.advance(Duration::from_mins(11));
    let before = gets(&upstream);
    assert_eq!(call(world.proxy(), create("pt-good-2", &json!({"name": "b"}))).await.status, 200);
    assert_eq!(gets(&upstream) - before, 1, "ten minutes are over");
}

#[tokio::test]
async fn what_a_known_caller_sends_amiss_is_recorded() {
    let (_upstream, world) = upstream_and_world("").await;
    let malformed = Call::post(BASE).token("pt-good-1").header("content-type", "application/json");
    let answer = call(world.proxy(), malformed.body("{")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("changegate-decision")),
        (400, Some("refuse"))
    );
    let unseen = call(world.proxy(), update("pt-good-blind", &json!({"name": "x"}))).await;
    assert_eq!(unseen.status, 403);
    let change = world.change_of(&unseen).await;
    assert_eq!((&change["outcome"], &change["patch"]["name"]), (&json!("rejected"), &json!("x")));
    let deleted = Call::new("DELETE", &format!("{BASE}/x")).token("pt-good-3");
    assert_eq!(call(world.proxy(), deleted).await.status, 403);
    assert_eq!(world.events("refused_write", 1).await.len(), 1);
}

#[tokio::test]
async fn the_callers_query_chooses_nothing_of_what_the_gateway_sees() {
    let (upstream, world) = upstream_and_world("").await;
    let path = format!("{BASE}/{DEPLOYMENT}?fields=id,type&beta=true&version=1");
    let asked = Call::post(&path).token("pt-good-1").header("x-workspace", "w1");
    let asked = asked.header("range", "bytes=0-1").header("if-none-match", "\"a\"");
    assert_eq!(call(world.proxy(), asked.json(&json!({"name": "b"}))).await.status, 200);
    let received = upstream.received();
    assert_eq!(received[0].target, format!("{BASE}/{DEPLOYMENT}?beta=true"));
    assert_eq!(received[0].headers["x-workspace"], "w1");
    for left_out in ["range", "if-none-match", "content-type", "content-length"] {
        assert!(!received[0].headers.contains_key(left_out), "{left_out}");
    }
    assert_eq!(received[1].target, path, "the call itself passes as it came");
}

#[tokio::test]
async fn bodies_beyond_a_tokens_minute_are_kept_as_size_and_digest() {
    let (_upstream, world) = upstream_and_world("limits.kept_bytes_per_minute = '2 KiB'").await;
    let long = json!({"description": "d".repeat(800)});
    let kept = call(world.proxy(), update("pt-good-1", &long)).await;
    assert_eq!(world.change_of(&kept).await["patch"], long);
    let beyond = call(world.proxy(), update("pt-good-1", &long)).await;
    let change = world.change_of(&beyond).await;
    assert_eq!((beyond.status.as_u16(), &change["outcome"]), (200, &json!("applied")));
    assert_eq!((&change["patch"], &change["after"]), (&Value::Null, &Value::Null));
    assert_eq!(change["unkept"]["patch"]["bytes"], long.to_string().len());
    assert!(change["unkept"]["patch"]["digest"].is_string());
    let mut forbidden: Map<String, Value> =
        (0..9).map(|n| (format!("secret_{n}"), "x".into())).collect();
    forbidden.insert("owner_override".into(), "x".into());
    let forbidden = json!({"description": "d".repeat(800), "metadata": forbidden});
    let denied = call(world.proxy(), update("pt-good-1", &forbidden)).await;
    let change = world.change_of(&denied).await;
    assert_eq!((denied.status.as_u16(), &change["outcome"]), (403, &json!("denied")));
    assert_eq!(change["violations"].as_array().unwrap().len(), 1, "one of each rule");
    assert_eq!(change["unkept"]["findings"], 9);
    let other = call(world.proxy(), update("pt-good-2", &long)).await;
    assert_eq!(world.change_of(&other).await["patch"], long, "others have their own");
}

#[tokio::test]
async fn a_newcomer_passes_where_bodies_of_strangers_crowd() {
    let config = "listen.trusted_proxies = ['127.0.0.0/8']\nlimits.body_bytes = '40 MiB'";
    let (_upstream, world) = upstream_and_world(config).await;
    let mut crowd = Vec::new();
    for stranger in 0..5 {
        let mut socket = tokio::net::TcpStream::connect(world.proxy()).await.unwrap();
        let head = format!(
            "POST {BASE}/{DEPLOYMENT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer pt-made-up\r\n\
             x-forwarded-for: 192.0.2.{stranger}\r\ncontent-length: 33000000\r\n\r\n "
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        crowd.push(socket);
    }
    // All but the end: upstream is asked once a body is whole.
    let body = vec![b' '; 31 << 20];
    for socket in &mut crowd {
        let written = timeout(Duration::from_secs(20), socket.write_all(&body));
        let _refused_where_there_is_no_room = written.await.unwrap();
    }
    let stranger = call(world.proxy(), update("pt-made-up-2", &json!({"name": "a"}))).await;
    assert_eq!(stranger.status, 401, "upstream's own word");
    // More than is left of what strangers may fill.
    let long = json!({"description": "d".repeat(6 << 20)});
    let newcomer = call(world.proxy(), update("pt-good-new", &long)).await;
    assert_eq!(newcomer.status, 200);
    assert_eq!(world.change_of(&newcomer).await["outcome"], "applied");
}

#[tokio::test]
async fn who_may_not_see_a_deployment_keeps_nobody_from_it() {
    let (_upstream, world) = upstream_and_world("rate_limit.enabled = false").await;
    let proxy = world.proxy();
    assert_eq!(call(proxy, update("pt-good-owner", &json!({"name": "a"}))).await.status, 200);
    let foreign: Vec<_> = (0..200)
        .map(|_| tokio::spawn(call(proxy, update("pt-good-blind", &json!({"name": "f"})))))
        .collect();
    assert_eq!(call(proxy, update("pt-good-owner", &json!({"name": "b"}))).await.status, 200);
    for answer in foreign {
        assert_eq!(answer.await.unwrap().status, 403);
    }
}
