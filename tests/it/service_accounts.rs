//! Service accounts, whose tokens change all the time: one actor by issuer and subject, once
//! upstream has taken the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::world::recorder::{Received, Recorder, answer};
use crate::world::{Answer, Call, DEPLOYMENT, Setup, World, call};

const BASE: &str = "/api/v1/cloud/deployments";
const ISSUER: &str = "https://accounts.example.com";

/// A token of `subject`, the `n`-th; `signature` tells the upstream below whether it is forged.
fn token(issuer: &str, subject: &str, n: u32, signature: &str) -> String {
    let payload = json!({"iss": issuer, "sub": subject, "jti": n}).to_string();
    format!("eyJhbGciOiJFUzI1NiJ9.{}.{signature}", URL_SAFE_NO_PAD.encode(payload))
}

fn good(subject: &str, n: u32) -> String {
    token(ISSUER, subject, n, "good")
}

/// A part of the tokens of a subject.
fn part(subject: &str) -> String {
    let whole = good(subject, 1);
    whole.split('.').nth(1).unwrap().to_owned()
}

/// An upstream that takes the tokens that are not forged.
fn upstreams_answer(got: &Received) -> Response<Full<Bytes>> {
    if !got.headers["authorization"].to_str().unwrap().ends_with("good") {
        let error = json!({"type": "authentication_error", "message": "no"});
        return answer(401, json!({"type": "error", "error": error}));
    }
    // A list that this account may not have tells nothing of it.
    if got.headers["authorization"].to_str().unwrap().contains(&part("sa_blind"))
        && got.target.ends_with("?limit=1")
    {
        let error = json!({"type": "permission_error", "message": "no"});
        return answer(403, json!({"type": "error", "error": error}));
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

async fn update(world: &World, token: &str) -> Answer {
    let path = format!("{BASE}/{DEPLOYMENT}");
    call(world.proxy(), Call::post(&path).token(token).json(&json!({"name": "a"}))).await
}

async fn actor_of(world: &World, answer: &Answer) -> Value {
    world.change_of(answer).await["actor"].clone()
}

#[tokio::test]
async fn all_tokens_of_a_service_account_are_one_actor() {
    let config = format!(
        "[[actor]]\nsubject = 'sa_nightly'\nissuer = '{ISSUER}'\nname = 'nightly'\nteam = 'ops'\n"
    );
    let (_upstream, world) = upstream_and_world(&config).await;
    let mut actors = Vec::new();
    for n in 0..3 {
        let answer = update(&world, &good("sa_nightly", n)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        actors.push(actor_of(&world, &answer).await);
    }
    assert!(actors.iter().all(|actor| *actor == actors[0]), "{actors:?}");
    assert_eq!((&actors[0]["name"], &actors[0]["team"]), (&json!("nightly"), &json!("ops")));
    let found = world.ask("/api/v1/changes?actor=nightly").await;
    assert_eq!(found["data"].as_array().unwrap().len(), 3);

    // Another issuer's, or another subject, is somebody else.
    for token in
        [token("https://elsewhere.example.com", "sa_nightly", 1, "good"), good("sa_other", 1)]
    {
        let actor = actor_of(&world, &update(&world, &token).await).await;
        assert_eq!(actor["name"], Value::Null);
        assert_ne!(actor["fingerprint"], actors[0]["fingerprint"]);
    }
    // A create is the account's as well.
    let made = Call::post(BASE).token(&good("sa_nightly", 9)).json(&json!({"name": "n"}));
    let made = call(world.proxy(), made).await;
    assert_eq!(actor_of(&world, &made).await, actors[0]);
}

#[tokio::test]
async fn a_forged_token_is_nobodys() {
    let config = "[[actor]]\nsubject = 'sa_nightly'\nname = 'nightly'\n";
    let (upstream, world) = upstream_and_world(config).await;
    let known = update(&world, &good("sa_nightly", 1)).await;
    assert_eq!(known.status, 200);
    let forged = token(ISSUER, "sa_nightly", 1, "bad");
    for n in 0..3 {
        assert_eq!(update(&world, &forged).await.status, 401, "{n}");
    }
    assert_eq!(world.changes().await.len(), 1);
    assert_eq!(upstream.received().iter().filter(|got| got.method == "POST").count(), 1);
}

#[tokio::test]
async fn where_others_are_denied_a_listed_subject_may_call_from_its_first_token_on() {
    let config =
        "[actors]\nunknown = 'deny'\n[[actor]]\nsubject = 'sa_nightly'\nname = 'nightly'\n";
    let (_upstream, world) = upstream_and_world(config).await;
    for n in 0..2 {
        let answer = update(&world, &good("sa_nightly", n)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let get = Call::get("/api/v1/cloud/agents").token(&good("sa_nightly", 100 + n));
        assert_eq!(call(world.proxy(), get).await.status, 200);
    }
    let other = update(&world, &good("sa_other", 1)).await;
    assert_eq!(other.status, 403);
    assert_eq!(world.change_of(&other).await["violations"][0]["rule"], "actors.unknown");
    let get = Call::get("/api/v1/cloud/agents").token(&good("sa_other", 1));
    assert_eq!(call(world.proxy(), get).await.status, 403);
    assert_eq!(update(&world, &token(ISSUER, "sa_nightly", 1, "bad")).await.status, 401);
}

#[tokio::test]
async fn the_limit_goes_by_the_account() {
    let config = "[rate_limit]\nread = { per_second = 100, burst = 100 }\n\
        write = { per_minute = 1, burst = 2 }\n";
    let (upstream, world) = upstream_and_world(config).await;
    let mut statuses = Vec::new();
    for n in 0..4 {
        // The first call of a token, too: whose it is shows before anything is forwarded.
        let answer = update(&world, &good("sa_nightly", n)).await;
        statuses.push(answer.status.as_u16());
        assert_eq!(answer.header("retry-after").is_some(), answer.status == 429);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(update(&world, &good("sa_other", 1)).await.status, 200);
    assert_eq!(upstream.received().iter().filter(|got| got.method == "POST").count(), 3);
    assert_eq!(world.changes().await.len(), 3);
}

#[tokio::test]
async fn the_event_of_a_refused_write_names_the_account() {
    let config = format!(
        "[[actor]]\nsubject = 'sa_nightly'\nissuer = '{ISSUER}'\nname = 'nightly'\nteam = 'ops'\n"
    );
    let (_upstream, world) = upstream_and_world(&config).await;
    let path = format!("{BASE}/{DEPLOYMENT}/explode");
    let refused = Call::post(&path).token(&good("sa_nightly", 1)).json(&json!({}));
    assert!(call(world.proxy(), refused).await.status.is_client_error());
    let event = &world.events("refused_write", 1).await[0];
    assert_eq!(event["actor"]["name"], "nightly", "{event}");
}

#[tokio::test]
async fn nothing_is_judged_of_an_account_before_upstream_has_confirmed_it() {
    let (upstream, world) = upstream_and_world("").await;
    let create = Call::post(BASE).token(&good("sa_blind", 1)).json(&json!({"name": "n"}));
    assert_eq!(call(world.proxy(), create).await.status, 403);
    assert!(world.changes().await.is_empty());
    assert!(upstream.received().iter().all(|got| got.method == "GET"));
}
