//! Sinks: what is recorded reaches other programs, and none of them is waited for.

mod killed;
mod kinds;
mod ocsf;
mod page;
mod refused;
mod reloaded;
mod retained;
mod silent;
mod standing;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::recorder::{Received, Recorder, answer};
use crate::world::{Answer, Call, Setup, World, admin_token, call, eventually};

/// Two secrets of webhooks.
const SECRETS: [&str; 2] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

/// The table of a webhook.
fn webhook(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[sink]]\nname = '{name}'\nkind = 'webhook'\nurl = '{url}'\n\
         secret_file = 'hook.secret'\n{more}\n"
    )
}

/// A gateway with sinks, operators and, where one is wanted, other tables.
async fn world(tables: &str) -> World {
    let operators = ["viewer", "auditor", "admin"].map(|role| admin_token(role, role, role));
    Setup::new()
        .config(&(operators.concat() + tables))
        .file("hook.secret", &SECRETS.join("\n"))
        .file("hec.secret", "b0221cd8-c4b4-465a-9a3c-273e3a75aa29\n")
        .file("otlp.secret", "authorization: Bearer otlp-token\nx-tenant: audit\n")
        .start()
        .await
}

/// What came, as objects, with their kinds.
fn messages(recorder: &Recorder) -> Vec<(String, Value)> {
    recorder.received().iter().map(message).collect()
}

fn message(received: &Received) -> (String, Value) {
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    (body["type"].as_str().unwrap().to_owned(), body)
}

/// Messages of these kinds, once there are so many.
async fn of_kind(recorder: &Recorder, kind: &str, count: usize) -> Vec<Value> {
    eventually(kind, async || {
        let found = messages(recorder).into_iter().filter(|(other, _)| other.starts_with(kind));
        let found: Vec<Value> = found.map(|(_, body)| body).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

async fn order(world: &World, token: &str, path: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/sinks/{path}");
    call(world.admin(), Call::post(&path).token(token).json(body)).await
}

/// How a sink stands.
async fn sink(world: &World, name: &str) -> Value {
    let asked = Call::get("/api/v1/sinks").token("auditor");
    let page = call(world.admin(), asked).await.json();
    let sinks = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
    sinks.iter().find(|sink| sink["name"] == name).cloned().unwrap_or_default()
}

/// How a sink stands, once that is so.
async fn stands(world: &World, name: &str, state: &str) -> Value {
    eventually(&format!("{name} {state}"), async || {
        let found = sink(world, name).await;
        (found["state"] == state).then_some(found)
    })
    .await
}

/// The signatures that the standard asks for.
fn signatures(received: &Received) -> String {
    let header = |name: &str| received.headers[name].to_str().unwrap().to_owned();
    let sign = |secret: &&str| {
        let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(&received.body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    SECRETS.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_is_recorded_reaches_a_webhook_in_its_order_and_signed() {
    let recorder = Recorder::start(|_| answer(204, "")).await;
    let url = format!("{}/hooks/audit?team=sec", recorder.url);
    let world = world(&webhook("hook", &url, "from = 'start'")).await;
    let applied = world.update(&json!({"name": "first"})).await;
    world.update(&json!({"metadata": {"owner_override": "me"}})).await;
    world.update(&json!({"initial_events": 7})).await;
    let changes = of_kind(&recorder, "change.", 3).await;
    let kinds: Vec<&str> = changes.iter().map(|change| change["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["change.applied", "change.denied", "change.rejected"]);
    let first = &changes[0]["data"];
    assert_eq!(first["id"], applied.header("changegate-change").unwrap());
    assert_eq!((&first["outcome"], &first["decision"]), (&json!("applied"), &json!("allow")));
    assert_eq!(first["diff"][0]["path"], "/name", "{first}");
    assert!(first.get("before").is_none() && first.get("patch").is_none(), "{first}");
    assert_eq!(changes[0]["timestamp"], first["completed_at"]);
    assert_eq!(changes[1]["data"]["violations"][0]["rule"], "metadata.forbidden_keys");
    of_kind(&recorder, "event.start", 1).await;
    let mut former = None;
    for received in recorder.received() {
        assert_eq!(received.target, "/hooks/audit?team=sec");
        assert_eq!(received.headers["content-type"], "application/json");
        let signed = received.headers["webhook-signature"].to_str().unwrap();
        assert_eq!(signed, signatures(&received));
        let position = message(&received).1["data"]["position"].as_u64().unwrap();
        let id = received.headers["webhook-id"].to_str().unwrap();
        assert!(id.starts_with("rec_") && id.ends_with(&format!("_{position}")), "{id}");
        assert!(former.is_none_or(|former| position > former), "{position} after {former:?}");
        former = Some(position);
    }
    let standing = stands(&world, "hook", "current").await;
    assert_eq!((&standing["kind"], &standing["to"]), (&json!("webhook"), &json!(recorder.url)));
    assert_eq!((&standing["format"], &standing["lag_positions"]), (&json!("change"), &json!(0)));
}

#[tokio::test]
async fn a_filter_leaves_out_what_it_does_not_name() {
    let recorders =
        [Recorder::start(|_| answer(200, "{}")).await, Recorder::start(|_| answer(200, "")).await];
    let tables = [
        webhook("denied", &recorders[0].url, "from = 'start'\nfilter = { decision = 'deny' }"),
        webhook(
            "events",
            &recorders[1].url,
            "from = 'start'\nfilter = { team = 'none', events = true }",
        ),
    ];
    let world = world(&tables.concat()).await;
    world.update(&json!({"name": "first"})).await;
    world.update(&json!({"metadata": {"owner_override": "me"}})).await;
    of_kind(&recorders[0], "change.denied", 1).await;
    of_kind(&recorders[1], "event.start", 1).await;
    for name in ["denied", "events"] {
        stands(&world, name, "current").await;
    }
    assert!(messages(&recorders[0]).iter().all(|(kind, _)| kind == "change.denied"));
    assert!(messages(&recorders[1]).iter().all(|(kind, _)| !kind.starts_with("change.")));
}

#[tokio::test]
async fn a_replay_sends_the_same_messages_once_more() {
    let recorder = Recorder::start(|_| answer(200, "")).await;
    let world = world(&webhook("hook", &recorder.url, "")).await;
    stands(&world, "hook", "current").await;
    world.update(&json!({"name": "first"})).await;
    of_kind(&recorder, "change.applied", 1).await;
    for (token, path, body, status) in [
        ("viewer", "hook/replay", json!({"from": 0}), 403),
        ("auditor", "hook/resume", json!({}), 403),
        ("admin", "other/replay", json!({"from": 0}), 404),
        ("admin", "hook/replay", json!({"from": 9_999}), 400),
        ("admin", "hook/replay", json!({"to": 0}), 400),
        ("admin", "hook/replay", json!({"from": 0}), 200),
    ] {
        let told = order(&world, token, path, &body).await;
        assert_eq!(told.status, status, "{token} {path}: {}", told.text());
    }
    // What is wrong with a body is told by its member, in words of its own.
    for (body, param, word) in [
        (json!({"from": -1}), json!("from"), "from: write {\"from\": 0}"),
        (json!({}), json!("from"), "from: write {\"from\": 0}"),
        (json!({"to": 0}), json!("to"), "leave it out, and write {\"from\": 0}"),
        (json!([0]), json!(null), "the body: write {\"from\": 0}"),
    ] {
        let told = order(&world, "admin", "hook/replay", &body).await.json();
        assert_eq!(told["error"]["param"], param, "{body}: {told}");
        assert!(told["error"]["message"].as_str().unwrap().contains(word), "{body}: {told}");
    }
    of_kind(&recorder, "event.start", 1).await;
    of_kind(&recorder, "change.applied", 2).await;
    let mut ids = BTreeMap::new();
    for received in recorder.received() {
        let (kind, _body) = message(&received);
        let id = received.headers["webhook-id"].to_str().unwrap().to_owned();
        *ids.entry((kind, id)).or_insert(0) += 1;
    }
    let twice = ids.iter().filter(|((kind, _), count)| kind == "change.applied" && **count == 2);
    assert_eq!(twice.count(), 1, "one message, one id, however often it comes: {ids:?}");
    let events = of_kind(&recorder, "event.sink", 1).await;
    assert_eq!(
        (&events[0]["data"]["detail"]["what"], &events[0]["data"]["detail"]["by"]),
        (&json!("replay"), &json!("admin"))
    );
}
