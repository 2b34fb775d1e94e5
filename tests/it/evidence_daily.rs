//! The daily verification, beside the gateway.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::world::{Call, Setup, World, call, eventually};

/// The verifications on record, the newest first, once there are so many.
async fn verifications(world: &World, count: usize) -> Vec<Value> {
    eventually(&format!("{count} verifications"), async || {
        let page = call(world.admin(), Call::get("/api/v1/events?q=verification")).await.json();
        let events = page["data"].as_array().unwrap().clone();
        (events.len() >= count).then_some(events)
    })
    .await
}

async fn metric(world: &World, name: &str) -> i64 {
    let text = call(world.admin(), Call::get("/metrics")).await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
}

#[tokio::test]
async fn a_log_is_verified_once_a_day_and_what_is_found_is_told() {
    let clock = ManualClock::at(Timestamp::from_millis(1_790_000_000_000));
    let world = Setup::new().clock(Clock::Manual(clock.clone())).start().await;
    for n in 0..5 {
        world.update(&json!({"name": format!("{n}")})).await;
    }
    assert_eq!(metric(&world, "changegate_evidence_verified_timestamp_seconds").await, 0);
    clock.advance(Duration::from_mins(11));
    let first = verifications(&world, 1).await.remove(0);
    assert_eq!(first["detail"]["found"], 0, "{first}");
    assert!(first["detail"]["leaves"].as_u64().unwrap() > 5, "{first}");
    assert!(metric(&world, "changegate_evidence_verified_timestamp_seconds").await > 0);

    let mut log = SqliteConnectOptions::new()
        .filename(world.folder.path().join("log.db"))
        .connect()
        .await
        .unwrap();
    let altered = "DROP TRIGGER changes_stay; \
        UPDATE changes SET client_ip = '192.0.2.9' WHERE seq = 2";
    sqlx::raw_sql(altered).execute(&mut log).await.unwrap();
    log.close().await.unwrap();
    clock.advance(Duration::from_hours(23));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(verifications(&world, 1).await.len(), 1, "once a day");
    clock.advance(Duration::from_hours(2));
    let second = verifications(&world, 2).await.remove(0);
    assert_eq!(second["detail"]["found"], 1, "{second}");
    let named = second["detail"]["findings"][0].as_str().unwrap();
    assert!(named.starts_with("altered-record: "), "{named}");
    assert_eq!(metric(&world, "changegate_evidence_findings").await, 1);
}
