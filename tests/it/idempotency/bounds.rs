//! Answers that are no longer held, and a log that can't be asked or written.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{BASE, create, fault, is_conflict, posts, update, writes};
use crate::world::recorder::{Recorder, answer};
use crate::world::{DEPLOYMENT, Setup, call, eventually, world};

/// An upstream whose answers to writes are as long as this.
async fn upstream(bytes: usize) -> Recorder {
    let made = AtomicUsize::new(0);
    Recorder::start(move |got| {
        let name = if got.method == "POST" { "x".repeat(bytes) } else { "short".to_owned() };
        let n = made.fetch_add(1, Ordering::Relaxed);
        let id = if got.target == BASE { format!("dep_{n}") } else { DEPLOYMENT.to_owned() };
        answer(
            200,
            json!({"type": "deployment", "id": id, "name": name, "agent": {"id": "agent_1"},
                "metadata": {}, "schedule": null}),
        )
    })
    .await
}

#[tokio::test]
async fn an_answer_that_was_pushed_out_is_told_of_by_its_change() {
    let upstream = upstream(1 << 20).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let keys: Vec<String> = (0..5).map(|n| format!("key-{n}")).collect();
    let mut named = Vec::new();
    for key in &keys {
        let first = call(world.proxy(), create("n", key)).await;
        assert_eq!(first.status, 200, "{}", first.text());
        named.push(first.header("changegate-change").unwrap().to_owned());
    }
    // One actor has 4 MiB of memory for them; another one's calls push none of its out.
    let other = create("n", "k").token("pt-bob-0123456789");
    assert_eq!(call(world.proxy(), other).await.status, 200);
    let oldest = call(world.proxy(), create("n", &keys[0])).await;
    is_conflict(&oldest, &named[0]);
    is_conflict(&oldest, "was applied to dep_");
    is_conflict(&oldest, "outcome applied");
    assert_eq!(oldest.header("changegate-change"), Some(named[0].as_str()));
    assert_eq!(oldest.header("x-should-retry"), Some("false"));
    let newest = call(world.proxy(), create("n", &keys[4])).await;
    assert_eq!(newest.header("idempotent-replayed"), Some("true"));
    assert_eq!(newest.header("changegate-change"), Some(named[4].as_str()));
    // What the log alone knows of is told from another request too.
    assert_eq!(call(world.proxy(), create("m", &keys[0])).await.status, 422);
    assert_eq!(posts(&upstream), 6);
}

#[tokio::test]
async fn an_answer_longer_than_an_actors_share_is_not_held() {
    let upstream = upstream(5 << 20).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    assert_eq!(call(world.proxy(), create("n", "k")).await.status, 200);
    is_conflict(&call(world.proxy(), create("n", "k")).await, "was applied");
    assert_eq!(posts(&upstream), 1);
}

#[tokio::test]
async fn a_call_that_could_not_be_recorded_leaves_its_key_unused() {
    let world = world().await;
    assert_eq!(call(world.proxy(), create("n", "before")).await.status, 200);
    let hog = crate::store_faults::Hog::take(&world.database()).await;
    for _ in 0..2 {
        let refused = call(world.proxy(), create("n", "k")).await;
        assert_eq!(refused.status, 503, "{}", refused.text());
    }
    // What is in memory is told whatever the log does.
    let again = call(world.proxy(), create("n", "before")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    hog.let_go().await;
    let made = eventually("a log that is written", async || {
        let answer = call(world.proxy(), create("n", "k")).await;
        (answer.status != 503).then_some(answer)
    });
    let made = made.await;
    assert_eq!((made.status.as_u16(), made.header("idempotent-replayed")), (200, None));
    assert_eq!(writes(world.simulator()), 2);
}

/// Another writer of the log, such as another gateway one day, takes the key while this one reads
/// the deployment.
#[tokio::test]
async fn the_log_itself_takes_a_key_once() {
    let clock = ManualClock::at(Timestamp::parse("2026-06-14T08:00:00Z").unwrap());
    let world = Setup::new().clock(Clock::Manual(clock.clone())).start().await;
    let first = call(world.proxy(), update("k", &json!({"name": "a"}))).await;
    assert_eq!(first.status, 200);
    clock.advance(Duration::from_hours(24));
    // So that the caller is known, and the deployment is read within its turn alone.
    assert_eq!(world.update(&json!({"name": "b"})).await.status, 200);
    fault(&world, "delay=500:1@GET");
    let late = tokio::spawn(call(world.proxy(), update("k", &json!({"name": "a"}))));
    let reads = || world.simulator().state().requests().last().unwrap().method == "GET";
    eventually("the read before", async || reads().then_some(())).await;
    let options = SqliteConnectOptions::new().filename(world.database());
    let mut connection = options.connect().await.unwrap();
    let taken = "DROP TRIGGER idempotency_keys_stay; \
        UPDATE idempotency_keys SET until_at = until_at + 86400000";
    sqlx::raw_sql(taken).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let late = late.await.unwrap();
    is_conflict(&late, first.header("changegate-change").unwrap());
    is_conflict(&late, "was applied");
    assert_eq!(world.writes_received(), 2);
    assert_eq!(world.changes().await.len(), 2);
    // A call without a key repeats none.
    assert_eq!(world.update(&json!({"name": "a"})).await.status, 200);
}
