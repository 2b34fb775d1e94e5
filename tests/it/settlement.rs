//! Changes whose end is unclear, and what later looks at their deployments tell of them.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use changegate::simulator::Fault;
use serde_json::{Value, json};

use crate::world::{Call, DEPLOYMENT, Setup, World, call, world};

const BASE: &str = "/api/v1/cloud/deployments";

fn fault(world: &World, text: &str) {
    world.simulator().state().set_faults([text.parse::<Fault>().unwrap()]);
}

#[tokio::test]
async fn an_answer_that_never_came_is_unknown_and_settled_by_what_the_deployment_shows() {
    let (applied, not_told) = (json!(true), Value::Null);
    for (text, applied) in [("reset-after:1@POST", applied), ("reset-before:1@POST", not_told)] {
        let world = world().await;
        fault(&world, text);
        let answer = world.update(&json!({"description": "maybe"})).await;
        assert_eq!(answer.status, 502, "{text}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("may have been"));
        let change = world.change_of(&answer).await;
        assert_eq!(change["outcome"], "unknown", "{text}");
        assert_eq!(change["settled"]["applied"], applied, "{text}");
        assert_eq!(world.writes_received(), 1, "{text}: a governed write is sent once");
    }
}

#[tokio::test]
async fn what_is_too_slow_to_be_answered_is_not_called_undone_at_once() {
    let world = Setup::new().config("upstream.response_timeout = 0.3").start().await;
    fault(&world, "delay=1000:1@POST");
    let answer = world.update(&json!({"description": "slow"})).await;
    assert_eq!(answer.status, 504);
    let change = world.change_of(&answer).await;
    assert_eq!((&change["outcome"], &change["settled"]), (&json!("unknown"), &Value::Null));
}

/// Callers that wait for the turn look at the deployment as soon as a slow one has given up.
#[tokio::test]
async fn what_upstream_may_still_do_is_called_undone_only_after_a_while() {
    for (text, lands) in [
        ("delay=1000:1@POST", true),
        ("delay=1000:1@POST", false),
        ("status=502:1@POST", true),
        ("status=504:1@POST", false),
    ] {
        let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
        let setup = Setup::new().config("upstream.response_timeout = 0.3");
        let world = setup.clock(Clock::Manual(clock.clone())).start().await;
        fault(&world, text);
        let slow = json!({"description": "slow"});
        let answer = world.update(&slow).await;
        let settled = async || {
            // A call that is denied looks, and changes nothing.
            let denied = world.update(&json!({"metadata": {"owner_override": "x"}})).await;
            assert_eq!(denied.status, 403);
            world.change_of(&answer).await["settled"]["applied"].clone()
        };
        assert_eq!(settled().await, Value::Null, "{text}");
        if lands {
            let path = format!("{BASE}/{DEPLOYMENT}");
            let landed = call(world.simulator().address(), Call::post(&path).json(&slow)).await;
            assert_eq!(landed.status, 200);
            assert_eq!(settled().await, json!(true), "{text}");
        } else {
            // A wall clock that is set makes nothing older.
            let now = Clock::Manual(clock.clone()).now();
            for days in [1, -1] {
                clock.set(Timestamp::from_millis(now.millis() + days * 86_400_000));
                assert_eq!(settled().await, Value::Null, "{text}");
            }
            clock.advance(Duration::from_mins(3));
            assert_eq!(settled().await, json!(false), "{text}");
        }
    }
}
