//! Where a key counts, and how long.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::json;

use super::{BASE, create, posts, writes};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, call, world};

#[tokio::test]
async fn a_key_counts_for_its_actor_method_route_and_deployment_alone() {
    let world = world().await;
    let other = world.seed(1).remove(0);
    let keyed = |call: Call| call.header("idempotency-key", "k");
    let at = |id: &str, verb: &str| format!("{BASE}/{id}{verb}");
    let empty = json!({});
    let calls = [
        create("n", "k"),
        create("n", "k").token("pt-bob-0123456789"),
        keyed(Call::post(&at(DEPLOYMENT, "")).json(&empty)),
        keyed(Call::new("PATCH", &at(DEPLOYMENT, "")).json(&empty)),
        keyed(Call::post(&at(&other, "")).json(&empty)),
        keyed(Call::post(&at(DEPLOYMENT, "/pause"))),
        keyed(Call::post(&at(DEPLOYMENT, "/unpause"))),
        keyed(Call::post(&at(&other, "/pause")).json(&empty)),
    ];
    let mut first = Vec::new();
    for each in &calls {
        let answer = call(world.proxy(), each.clone()).await;
        // Upstream does not know PATCH.
        assert!(matches!(answer.status.as_u16(), 200 | 405), "{}", answer.text());
        assert_eq!(answer.header("idempotent-replayed"), None, "{each:?}");
        first.push(answer);
    }
    for (each, first) in calls.iter().zip(first) {
        let again = call(world.proxy(), each.clone()).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{each:?}");
    }
    assert_eq!(world.changes().await.len(), calls.len());
    // No body is an empty one.
    let spelt = keyed(Call::post(&at(DEPLOYMENT, "/pause")).json(&empty));
    assert_eq!(call(world.proxy(), spelt).await.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_key_is_in_force_for_a_day() {
    let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let world = Setup::new().clock(Clock::Manual(clock.clone())).start().await;
    assert_eq!(call(world.proxy(), create("n", "k")).await.status, 200);
    clock.advance(Duration::from_secs(24 * 3600 - 1));
    let again = call(world.proxy(), create("n", "k")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    // A clock that is set back makes nothing unused.
    clock.set(Timestamp::parse("2026-06-13T08:00:00Z").unwrap());
    let again = call(world.proxy(), create("n", "k")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    clock.set(Timestamp::parse("2026-06-15T08:00:00Z").unwrap());
    let anew = call(world.proxy(), create("n", "k")).await;
    assert_eq!((anew.status.as_u16(), anew.header("idempotent-replayed")), (200, None));
    assert_eq!(writes(world.simulator()), 2);
    let other = call(world.proxy(), create("other", "k")).await;
    assert_eq!(other.status, 422);
    assert_eq!(world.changes().await.len(), 3);
}

#[tokio::test]
async fn a_service_accounts_calls_are_one_actors_whatever_its_token() {
    let upstream = Recorder::start(|_| {
        let agent = json!({"id": "agent_1"});
        answer(
            200,
            json!({"type": "deployment", "id": DEPLOYMENT, "name": "a", "agent": agent,
            "metadata": {}, "schedule": null}),
        )
    });
    let upstream = upstream.await;
    let config = "[[actor]]\nsubject = 'sa_1'\nissuer = 'https://i.example'\nname = 'nightly'\n";
    let world = Setup::new().upstream(&upstream.url).config(config).start().await;
    let token = |n: u32| {
        let claims = json!({"iss": "https://i.example", "sub": "sa_1", "jti": n}).to_string();
        format!("eyJhbGciOiJFUzI1NiJ9.{}.x", URL_SAFE_NO_PAD.encode(claims))
    };
    let first = call(world.proxy(), create("n", "k").token(&token(1))).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let again = call(world.proxy(), create("n", "k").token(&token(2))).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{}", again.text());
    assert_eq!(posts(&upstream), 1);
}

#[tokio::test]
async fn a_repeated_call_draws_on_the_budget_as_any_other() {
    let config = "[rate_limit]\nread = { per_second = 9, burst = 9 }\n\
        write = { per_second = 1, burst = 2 }\n";
    let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let world = Setup::new().config(config).clock(Clock::Manual(clock)).start().await;
    let answers = [(200, None, "1"), (200, Some("true"), "0"), (429, None, "0")];
    for (status, replayed, remaining) in answers {
        let answer = call(world.proxy(), create("n", "k")).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("idempotent-replayed"), replayed);
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(remaining));
    }
}
