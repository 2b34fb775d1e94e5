//! Budgets, actors, and where calls come from.

use std::time::Duration;

use changegate::audit::query::{EventFilter, PageRequest, Reader};
use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::world::client::{Answer, TOKEN};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, fingerprint};

const BASE: &str = "/api/v1/cloud/deployments";
const SMALL: &str = "[rate_limit]\nread = { per_second = 2, burst = 4 }\n\
                     write = { per_second = 1, burst = 2 }\n";

async fn small() -> (World, ManualClock) {
    let manual = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let setup = Setup::new().config(SMALL).clock(Clock::Manual(manual.clone()));
    (setup.start().await, manual)
}

async fn read(world: &World, token: &str) -> Answer {
    let path = format!("{BASE}/{DEPLOYMENT}");
    call(world.proxy(), Call::get(&path).token(token)).await
}

/// The answer's limit, what remains of it, and when it is whole again.
fn standing(answer: &Answer) -> Option<(i64, i64, i64)> {
    let number = |name| answer.header(name).map(|text| text.parse().unwrap());
    Some((
        number("x-ratelimit-limit")?,
        number("x-ratelimit-remaining")?,
        number("x-ratelimit-reset")?,
    ))
}

#[tokio::test]
async fn a_spent_budget_is_429_without_a_change_until_it_refills() {
    let (world, clock) = small().await;
    let now = Timestamp::parse("2026-06-14T08:00:00Z").unwrap().unix_seconds();
    for remaining in [1, 0] {
        let answer = world.update(&json!({"name": format!("n{remaining}")})).await;
        assert_eq!(answer.status, 200);
        let whole_again = now + 2 - remaining;
        assert_eq!(standing(&answer), Some((2, remaining, whole_again)));
    }
    let over = world.update(&json!({"name": "over"})).await;
    assert_eq!(over.status, 429);
    assert_eq!(over.json()["error"]["type"], "rate_limit_error");
    assert_eq!(over.json()["request_id"], over.header("x-request-id").unwrap());
    assert_eq!(over.header("retry-after"), Some("1"));
    assert_eq!(over.header("changegate-change"), None);
    assert_eq!(standing(&over), Some((2, 0, now + 2)));
    assert_eq!((world.changes().await.len(), world.writes_received()), (2, 2));

    let path = format!("{BASE}/{DEPLOYMENT}");
    let other = Call::post(&path).token("pt-bob-0123456789").json(&json!({"name": "bob"}));
    assert_eq!(call(world.proxy(), other).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(world.update(&json!({"name": "later"})).await.status, 200);
}

#[tokio::test]
async fn a_budget_by_the_minute_refills_as_slowly_as_it_says() {
    let manual = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let slow = "[rate_limit]\nread = { per_minute = 3, burst = 2 }\n\
                write = { per_second = 1, burst = 2 }\n";
    let world = Setup::new().config(slow).clock(Clock::Manual(manual.clone())).start().await;
    let now = Timestamp::parse("2026-06-14T08:00:00Z").unwrap().unix_seconds();
    assert_eq!(standing(&read(&world, TOKEN).await), Some((2, 1, now + 20)));
    assert_eq!(standing(&read(&world, TOKEN).await), Some((2, 0, now + 40)));
    let over = read(&world, TOKEN).await;
    assert_eq!((over.status.as_u16(), standing(&over)), (429, Some((2, 0, now + 40))));
    assert_eq!(over.header("retry-after"), Some("20"));
    assert!(over.text().contains("(3 a minute, burst 2): try again in 20 s"), "{}", over.text());
    manual.advance(Duration::from_millis(19_500));
    let over = read(&world, TOKEN).await;
    assert_eq!((over.status.as_u16(), over.header("retry-after")), (429, Some("1")));
    manual.advance(Duration::from_millis(500));
    assert_eq!(read(&world, TOKEN).await.status, 200);
    assert_eq!(read(&world, TOKEN).await.status, 429);
}

#[tokio::test]
async fn every_answer_tells_what_remains_refusals_too() {
    let (world, clock) = small().await;
    let denied = world.update(&json!({"metadata": {"owner_override": "1"}})).await;
    assert_eq!((denied.status.as_u16(), standing(&denied).unwrap().1), (403, 1));
    let path = format!("{BASE}/{DEPLOYMENT}");
    let unread = call(world.proxy(), Call::post(&path).body("{")).await;
    assert_eq!((unread.status.as_u16(), standing(&unread).unwrap().1), (400, 0));
    clock.advance(Duration::from_secs(9));
    let deleted = call(world.proxy(), Call::new("DELETE", &path)).await;
    assert_eq!((deleted.status.as_u16(), standing(&deleted).unwrap().1), (403, 1));
    let missing = call(world.proxy(), Call::get(&format!("{BASE}/dep_missing"))).await;
    assert_eq!((missing.status.as_u16(), standing(&missing).unwrap().0), (404, 4));
}

#[tokio::test]
async fn upstreams_own_limits_win_whole() {
    let upstream = Recorder::start(|_| {
        let mut told = answer(200, "{}");
        told.headers_mut().insert("x-ratelimit-remaining", 7.into());
        told
    });
    let upstream = upstream.await;
    let world = Setup::new().upstream(&upstream.url).config(SMALL).start().await;
    let told = call(world.proxy(), Call::get("/api/v1/cloud/agents")).await;
    assert_eq!(told.header("x-ratelimit-remaining"), Some("7"));
    assert_eq!(told.header("x-ratelimit-limit"), None, "two limits are not told as one");
}

#[tokio::test]
async fn without_limits_nothing_is_told_and_nothing_is_refused() {
    let world = Setup::new().config("[rate_limit]\nenabled = false\n").start().await;
    for n in 0..60 {
        let answer = world.update(&json!({"name": format!("n{n}")})).await;
        assert_eq!((answer.status.as_u16(), standing(&answer)), (200, None));
    }
}

#[tokio::test]
async fn the_before_get_draws_on_the_read_budget_and_is_not_held_up_by_it() {
    let (world, _clock) = small().await;
    assert_eq!(world.update(&json!({"name": "one"})).await.status, 200);
    for remaining in [2, 1, 0] {
        assert_eq!(standing(&read(&world, TOKEN).await).unwrap().1, remaining);
    }
    assert_eq!(read(&world, TOKEN).await.status, 429);
    assert_eq!(world.update(&json!({"name": "two"})).await.status, 200);
}

#[tokio::test]
async fn credentials_that_upstream_refuses_spend_their_addresss_budget() {
    let manual = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let world = Setup::new().clock(Clock::Manual(manual)).start().await;
    assert_eq!(read(&world, TOKEN).await.status, 200);
    for n in 0..21 {
        assert_eq!(read(&world, &format!("pt-invalid-{n}")).await.status, 401);
    }
    let blocked = read(&world, "pt-invalid-next").await;
    assert_eq!(blocked.status, 429);
    assert!(blocked.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(read(&world, TOKEN).await.status, 200, "a good token still passes");
}

#[tokio::test]
async fn refusals_are_counted_in_the_metrics_and_in_one_summary() {
    let (world, _clock) = small().await;
    let path = format!("{BASE}/{DEPLOYMENT}");
    for _ in 0..3 {
        let anonymous = Call::post(&path).without("authorization").json(&json!({}));
        assert_eq!(call(world.proxy(), anonymous).await.status, 401);
    }
    for expected in [200, 200, 429] {
        assert_eq!(world.update(&json!({"description": "x"})).await.status, expected);
    }
    let actor = fingerprint(TOKEN);
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    for line in [
        r#"changegate_refusals_total{status="401",subject="127.0.0.1"} 3"#.to_owned(),
        format!(r#"changegate_refusals_total{{status="429",subject="{actor}"}} 1"#),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    let database = world.database();
    let World { server, folder, .. } = world;
    server.shutdown().await;
    let reader = Reader::open(&database.clone().into()).await.unwrap();
    let page = PageRequest { limit: 100, cursor: None };
    let page =
        serde_json::to_value(reader.events(&EventFilter::default(), page).await.unwrap()).unwrap();
    let mut summaries = page["data"].as_array().unwrap().iter();
    let summary = summaries.find(|event| event["kind"] == "summary").expect("a summary");
    assert_eq!(summary["detail"]["count"], 4);
    let expected = json!([
        {"status": 401, "who": "127.0.0.1", "count": 3},
        {"status": 429, "who": actor, "count": 1, "held_up": [
            {"operation": "update", "deployment_id": DEPLOYMENT, "count": 1},
        ]},
    ]);
    assert_eq!(summary["detail"]["refusals"], expected);
    for (id, found) in [(DEPLOYMENT, 1), ("dep_another", 0)] {
        let of = EventFilter { deployment_id: Some(id.to_owned()), ..EventFilter::default() };
        let events = reader.events(&of, PageRequest { limit: 100, cursor: None }).await.unwrap();
        assert_eq!(events.data.len(), found, "{id}");
    }
    drop(folder);
}

fn listed(unknown: &str) -> String {
    format!(
        "[actors]\nunknown = '{unknown}'\n[[actor]]\nfingerprint = '{}'\nname = 'alice'\n\
         team = 'platform'\n",
        fingerprint(TOKEN)
    )
}

#[tokio::test]
async fn a_listed_actor_is_recorded_by_name_and_a_stranger_by_fingerprint() {
    let world = Setup::new().config(&listed("allow")).start().await;
    let alice = world.update(&json!({"name": "x"})).await;
    let expected = json!({"fingerprint": fingerprint(TOKEN), "name": "alice", "team": "platform",
        "person": null});
    assert_eq!(world.change_of(&alice).await["actor"], expected);
    let stranger = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token("pt-stranger");
    let stranger = call(world.proxy(), stranger.json(&json!({"name": "y"}))).await;
    let actor = &world.change_of(&stranger).await["actor"];
    assert_eq!(actor["fingerprint"], fingerprint("pt-stranger"));
    assert_eq!((&actor["name"], &actor["team"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_stranger_who_is_denied_leaves_a_change_of_a_governed_call_only() {
    let world = Setup::new().config(&listed("deny")).start().await;
    assert_eq!(read(&world, "pt-stranger").await.status, 403);
    assert!(world.changes().await.is_empty());
    let update = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token("pt-stranger");
    let denied = call(world.proxy(), update.json(&json!({"name": "y"}))).await;
    assert_eq!(denied.status, 403);
    assert_eq!(denied.json()["error"]["type"], "permission_error");
    let change = world.change_of(&denied).await;
    assert_eq!((&change["decision"], &change["outcome"]), (&json!("deny"), &json!("denied")));
    assert_eq!(change["violations"][0]["rule"], "actors.unknown");
    assert_eq!(world.writes_received(), 0);
    assert_eq!(world.update(&json!({"name": "z"})).await.status, 200);
}

#[tokio::test]
async fn a_forwarded_address_is_believed_from_a_trusted_proxy_only() {
    for (trusted, expected) in [("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")] {
        let config = format!("listen.trusted_proxies = ['{trusted}']\n");
        let world = Setup::new().config(&config).start().await;
        let update = Call::post(&format!("{BASE}/{DEPLOYMENT}"))
            .header("x-forwarded-for", "198.51.100.1, é, 203.0.113.9")
            .header("user-agent", "tests/1")
            .json(&json!({"name": "x"}));
        let change = world.change_of(&call(world.proxy(), update).await).await;
        assert_eq!(change["client"], json!({"ip": expected, "user_agent": "tests/1"}));
    }
}
