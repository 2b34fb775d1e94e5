//! `Idempotency-Key`: of all calls with one key, one reaches upstream.

mod bounds;
mod crashes;
mod scope;

use changegate::simulator::{self, Fault, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::world::client::{http2, read};
use crate::world::recorder::{self, Recorder};
use crate::world::{Answer, Call, DEPLOYMENT, Setup, World, call, eventually, world};

const BASE: &str = "/api/v1/cloud/deployments";

fn fault(world: &World, text: &str) {
    world.simulator().state().set_faults([text.parse::<Fault>().unwrap()]);
}

/// A create of a deployment of this name, under this key.
fn create(name: &str, key: &str) -> Call {
    let body = json!({
        "name": name,
        "agent": simulator::AGENT_ID,
        "environment_id": simulator::ENVIRONMENT_ID,
        "initial_events": [{"content": "Report", "type": "user.message"}],
    });
    Call::post(BASE).json(&body).header("idempotency-key", key)
}

/// An update of the simulator's deployment, under this key.
fn update(key: &str, body: &Value) -> Call {
    let path = format!("{BASE}/{DEPLOYMENT}");
    Call::post(&path).json(body).header("idempotency-key", key)
}

/// How many writes upstream got.
fn writes(simulator: &Simulator) -> usize {
    simulator.state().requests().iter().filter(|request| request.method == "POST").count()
}

fn posts(upstream: &Recorder) -> usize {
    upstream.received().iter().filter(|got| got.method == "POST").count()
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap().to_owned()
}

/// What a client must see of a call that is not carried out once more.
fn is_conflict(answer: &Answer, told: &str) {
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(answer.json()["error"]["type"], "conflict_error");
    assert!(message(answer).contains(told), "{told}: {}", message(answer));
    assert_eq!(answer.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn the_first_answer_is_given_again_and_upstream_hears_nothing() {
    let world = world().await;
    let first = call(world.proxy(), create("once", "key-1")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.header("idempotent-replayed"), None);
    for key in ["key-1", "\"key-1\""] {
        let again = call(world.proxy(), create("once", key)).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        for name in ["changegate-change", "changegate-decision", "etag", "content-type"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    let requests = world.simulator().state().requests();
    assert_eq!(writes(world.simulator()), 1);
    let created = requests.iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(created.header("idempotency-key"), Some("key-1"), "it is the client's own field");
    let changes = world.changes().await;
    assert_eq!(changes.len(), 1, "a repeated call has the record of the first one");
    let events = world.events("repeat", 2).await;
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event["detail"], json!({"change": changes[0]["id"], "status": 200}));
        assert_eq!(event["actor"]["fingerprint"], changes[0]["actor"]["fingerprint"]);
    }
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    assert!(metrics.contains("changegate_repeats_total{answer=\"replayed\"} 2"), "{metrics}");
    assert!(metrics.contains("changegate_repeats_total{answer=\"running\"} 0"), "{metrics}");
}

#[tokio::test]
async fn every_field_of_the_first_answer_comes_again_but_those_of_its_moment() {
    let upstream = Recorder::start(|got| {
        let made = json!({"type": "deployment", "id": "dep_new", "name": "n",
            "agent": {"id": "agent_1"}, "metadata": {}, "schedule": null});
        let mut made = recorder::answer(if got.method == "POST" { 201 } else { 200 }, made);
        let fields = [
            ("x-two", "1"),
            ("x-two", "2"),
            ("anthropic-ratelimit-left", "9"),
            ("x-ratelimit-remaining", "7"),
            ("set-cookie", "a=b"),
            ("connection", "x-hop"),
            ("x-hop", "h"),
        ];
        for (name, value) in fields {
            made.headers_mut().append(name, value.parse().unwrap());
        }
        made
    });
    let upstream = upstream.await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let first = call(world.proxy(), create("n", "k")).await;
    let again = call(world.proxy(), create("n", "k")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("7"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_ne!(again.header("x-ratelimit-remaining"), Some("7"), "it is the gateway's own");
    let of_the_moment = ["x-request-id", "idempotent-replayed", "date"];
    let lasting = |answer: &Answer| -> Vec<(String, String)> {
        let fields = answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let mut fields: Vec<_> = fields
            .filter(|(name, _)| !name.contains("ratelimit") && !of_the_moment.contains(&&**name))
            .collect();
        fields.sort();
        fields
    };
    assert_eq!(lasting(&again), lasting(&first));
    let two: Vec<_> = again.headers.get_all("x-two").iter().collect();
    assert_eq!(two, ["1", "2"]);
    assert_eq!(posts(&upstream), 1);
}

#[tokio::test]
async fn of_64_callers_at_once_one_creates_over_either_protocol() {
    for version in [1, 2] {
        let world = world().await;
        fault(&world, "delay=300@POST");
        let made = create("once", "key-1");
        let mut calls = Vec::new();
        let shared = http2(TcpStream::connect(world.proxy()).await.unwrap()).await;
        for _ in 0..64 {
            let (proxy, made, mut shared) = (world.proxy(), made.clone(), shared.clone());
            calls.push(tokio::spawn(async move {
                if version == 1 {
                    return call(proxy, made).await;
                }
                let request = made.http2(&format!("http://{proxy}"));
                read(shared.send_request(request).await.unwrap()).await
            }));
        }
        let (mut made_it, mut waits) = (Vec::new(), 0);
        for answer in calls {
            let answer = answer.await.unwrap();
            if answer.status == 200 {
                made_it.push(answer);
            } else {
                is_conflict(&answer, "is on its way");
                assert_eq!(answer.header("retry-after"), Some("1"));
                waits += 1;
            }
        }
        assert_eq!((made_it.len(), waits, writes(world.simulator())), (1, 63, 1));
        let again = call(world.proxy(), made).await;
        assert_eq!(
            (&again.body, again.header("idempotent-replayed")),
            (&made_it[0].body, Some("true"))
        );
        assert_eq!(world.changes().await.len(), 1);
    }
}

#[tokio::test]
async fn another_body_or_query_under_a_key_is_a_mistake_of_the_caller() {
    let world = world().await;
    let first = call(world.proxy(), update("k", &json!({"name": "a", "description": "b"}))).await;
    assert_eq!(first.status, 200);
    let named = first.header("changegate-change").unwrap();
    let path = format!("{BASE}/{DEPLOYMENT}?x=1");
    let queried = Call::post(&path).json(&json!({"name": "a", "description": "b"}));
    let others = [
        update("k", &json!({"name": "a", "description": "c"})),
        update("k", &json!({"name": "a"})),
        queried.header("idempotency-key", "k"),
    ];
    for other in others {
        let answer = call(world.proxy(), other).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        assert!(message(&answer).contains(named), "{}", message(&answer));
        let change = world.change_of(&answer).await;
        assert_eq!(
            (&change["outcome"], &change["decision"]),
            (&json!("refused"), &json!("refuse"))
        );
        assert_eq!(change["reason"]["status"], 422);
        assert_eq!(change["patch"]["name"], "a");
    }
    // Spelt otherwise, it says the same.
    for body in [
        "{ \"name\":\t\"a\",\n\"description\": \"b\" }",
        "{\"description\":\"\\u0062\",\"name\":\"a\"}",
    ] {
        let spelt = Call::post(&format!("{BASE}/{DEPLOYMENT}")).header("idempotency-key", "k");
        let spelt = spelt.header("content-type", "application/json").body(body);
        let answer = call(world.proxy(), spelt).await;
        assert_eq!(
            (answer.status, answer.header("idempotent-replayed")),
            (first.status, Some("true"))
        );
    }
    assert_eq!(world.writes_received(), 1);
}

#[tokio::test]
async fn a_condition_that_held_the_first_time_need_not_hold_again() {
    let world = world().await;
    let path = format!("{BASE}/{DEPLOYMENT}");
    let read = call(world.proxy(), Call::get(&path)).await;
    let conditional =
        || update("k", &json!({"name": "a"})).header("if-match", read.header("etag").unwrap());
    let first = call(world.proxy(), conditional()).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.header("etag"), read.header("etag"));
    let again = call(world.proxy(), conditional()).await;
    assert_eq!((again.status, again.header("etag")), (first.status, first.header("etag")));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn what_the_gateway_itself_refuses_leaves_the_key_unused() {
    let world = world().await;
    let denied = json!({"metadata": {"owner_override": "x"}});
    for body in [&denied, &denied] {
        assert_eq!(call(world.proxy(), update("k", body)).await.status, 403);
    }
    let stale = update("k", &json!({"name": "a"})).header("if-match", "\"stale\"");
    assert_eq!(call(world.proxy(), stale).await.status, 412);
    let unfit = update("k", &json!({})).body("no JSON");
    assert_eq!(call(world.proxy(), unfit).await.status, 400);
    let typed = update("k", &json!({})).header("content-type", "text/plain");
    assert_eq!(call(world.proxy(), typed).await.status, 415);
    assert_eq!(world.changes().await.len(), 5, "each is a call of its own");
    let answer = call(world.proxy(), update("k", &json!({"name": "b"}))).await;
    assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (200, None));
    assert_eq!(world.writes_received(), 1);
}

#[tokio::test]
async fn upstreams_no_is_given_again_unless_it_may_be_another_one_later() {
    for (status, is_kept) in
        [(422, true), (404, true), (402, true), (429, false), (409, false), (408, false)]
    {
        let world = world().await;
        fault(&world, &format!("status={status}:1@POST"));
        let first = call(world.proxy(), create("n", "k")).await;
        assert_eq!(first.status, status);
        let second = call(world.proxy(), create("n", "k")).await;
        if is_kept {
            assert_eq!((second.status, &second.body), (first.status, &first.body));
            assert_eq!(second.header("idempotent-replayed"), Some("true"));
        } else {
            assert_eq!((second.status.as_u16(), second.header("idempotent-replayed")), (200, None));
        }
        assert_eq!(writes(world.simulator()), if is_kept { 1 } else { 2 }, "{status}");
    }
}

#[tokio::test]
async fn a_call_whose_end_is_unknown_is_never_made_again() {
    for text in ["reset-after:1@POST", "reset-before:1@POST", "status=500:1@POST"] {
        let world = world().await;
        fault(&world, text);
        let first = call(world.proxy(), create("n", "k")).await;
        assert!(first.status.is_server_error());
        assert_eq!(first.header("x-should-retry"), Some("false"));
        let named = first.header("changegate-change").unwrap();
        for _ in 0..2 {
            let again = call(world.proxy(), create("n", "k")).await;
            is_conflict(&again, named);
            is_conflict(&again, "outcome unknown");
            assert_eq!(again.header("x-should-retry"), Some("false"));
            assert_eq!(again.header("changegate-change"), Some(named));
            assert_eq!(again.header("changegate-decision"), Some("allow"));
        }
        assert_eq!(writes(world.simulator()), 1, "{text}");
        let fresh = call(world.proxy(), create("n", "k2")).await;
        assert_eq!(fresh.status, 200);
    }
    // Of an update, a later look tells more.
    let world = world().await;
    fault(&world, "status=500:1@POST");
    let told = |answer: &Answer| answer.header("x-should-retry").map(str::to_owned);
    let unkeyed = world.update(&json!({"name": "n"})).await;
    assert_eq!((unkeyed.status.as_u16(), told(&unkeyed)), (500, None));
    fault(&world, "status=500:1@POST");
    let keyed = call(world.proxy(), update("k0", &json!({"name": "n"}))).await;
    assert_eq!((keyed.status.as_u16(), told(&keyed).as_deref()), (500, Some("false")));
    fault(&world, "reset-after:1@POST");
    let first = call(world.proxy(), update("k", &json!({"name": "m"}))).await;
    assert_eq!(first.status, 502);
    is_conflict(
        &call(world.proxy(), update("k", &json!({"name": "m"}))).await,
        "seems to have been",
    );
    assert_eq!(world.writes_received(), 3);
}

#[tokio::test]
async fn a_client_that_hung_up_gets_the_first_answer_when_it_asks_again() {
    let world = world().await;
    fault(&world, "delay=200@POST");
    let (proxy, made) = (world.proxy(), create("n", "k"));
    let left = tokio::spawn(call(proxy, made.clone()));
    eventually("the call upstream", async || (writes(world.simulator()) == 1).then_some(())).await;
    left.abort();
    let answer = eventually("the answer", async || {
        let answer = call(proxy, made.clone()).await;
        (answer.status != 409).then_some(answer)
    });
    let answer = answer.await;
    assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(writes(world.simulator()), 1);
}

#[tokio::test]
async fn a_call_whose_first_one_waits_in_line_does_not_line_up() {
    let world = world().await;
    fault(&world, "delay=400:1@POST");
    let (proxy, waits) = (world.proxy(), update("k", &json!({"name": "n"})));
    let before = tokio::spawn(call(proxy, update("other", &json!({"name": "m"}))));
    eventually("the turn", async || (world.writes_received() == 1).then_some(())).await;
    let waiting: Vec<_> = (0..8).map(|_| tokio::spawn(call(proxy, waits.clone()))).collect();
    let mut made = 0;
    for answer in waiting {
        match answer.await.unwrap() {
            answer if answer.status == 200 => made += 1,
            answer => is_conflict(&answer, "is on its way"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(before.await.unwrap().status, 200);
    assert_eq!(world.writes_received(), 2);
}

#[tokio::test]
async fn a_key_that_is_malformed_is_refused_with_its_fix() {
    let world = world().await;
    let long = "k".repeat(256);
    for (key, told) in [
        ("", "is empty"),
        ("\"\"", "is empty"),
        ("\"open", "is not one text"),
        ("\"a\"; q=1", "is not one text"),
        (long.as_str(), "shorten it"),
    ] {
        let answer = call(world.proxy(), update(key, &json!({"name": "n"}))).await;
        assert_eq!(answer.status, 400, "{key}");
        assert!(message(&answer).contains(told), "{}", message(&answer));
        assert_eq!(world.change_of(&answer).await["outcome"], "refused");
    }
    let named = update("k", &json!({"name": "n"})).header("connection", "idempotency-key");
    assert_eq!(call(world.proxy(), named).await.status, 400);
    assert_eq!(world.writes_received(), 0);
    // What is not governed is none of the gateway's.
    let other = Call::post("/api/v1/cloud/agents").json(&json!({"name": "a"}));
    let other = call(world.proxy(), other.header("idempotency-key", "\"open")).await;
    assert_eq!(other.header("changegate-change"), None);
    let requests = world.simulator().state().requests();
    assert_eq!(requests.last().unwrap().header("idempotency-key"), Some("\"open"));
}
