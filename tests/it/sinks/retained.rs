//! Records that are due to be pruned while a sink is still to be sent them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::json;

use super::{SECRETS, messages, order, sink, stands, webhook};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, Setup, World, admin_token, call, eventually};

const DAY: Duration = Duration::from_hours(24);

/// A figure of the metrics.
async fn figure(world: &World, name: &str) -> u64 {
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("changegate_{name} ")));
    line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn pruning_waits_a_week_for_a_stuck_sink_which_then_passes_what_is_gone() {
    let is_open = Arc::new(AtomicBool::new(false));
    let opens = Arc::clone(&is_open);
    let recorder =
        Recorder::start(move |_| answer(if opens.load(Ordering::Relaxed) { 200 } else { 503 }, ""));
    let recorder = recorder.await;
    let clock = ManualClock::at(Timestamp::from_millis(1_735_700_000_000));
    let config = ["auditor", "admin"].map(|role| admin_token(role, role, role)).concat()
        + "[retention]\nmax_age = '30d'\n"
        + &webhook("hook", &recorder.url, "from = 'start'");
    let setup = Setup::new().config(&config).file("hook.secret", SECRETS[0]);
    let world = setup.clock(Clock::Manual(clock.clone())).start().await;
    for name in ["one", "two", "three", "four"] {
        world.update(&json!({"name": name})).await;
    }
    stands(&world, "hook", "waiting").await;

    // All but the newest are due for more than a day: that is told, and nothing goes.
    clock.advance(DAY * 31 + DAY / 2);
    let day = 24 * 60 * 60;
    eventually("old records that wait", async || {
        let overdue = figure(&world, "audit_prune_overdue_seconds").await;
        (overdue >= day).then_some(())
    })
    .await;
    assert_eq!(world.changes_as("auditor").await.len(), 4);

    // After a week nothing waits any more.
    clock.advance(DAY * 6);
    eventually("the end of old changes", async || {
        (world.changes_as("auditor").await.len() == 1).then_some(())
    })
    .await;
    is_open.store(true, Ordering::Relaxed);
    for from in [None, Some(0)] {
        let (path, body) = match from {
            None => ("hook/resume", json!({})),
            Some(from) => ("hook/replay", json!({ "from": from })),
        };
        let before = figure(&world, "sink_pruned_total{sink=\"hook\"}").await;
        let came = messages(&recorder).len();
        assert_eq!(order(&world, "admin", path, &body).await.status, 200);
        eventually("what is left", async || {
            let kinds = messages(&recorder).split_off(came);
            kinds.iter().any(|(kind, _)| kind == "change.applied").then_some(())
        })
        .await;
        let stands = stands(&world, "hook", "current").await;
        assert_eq!(stands["dead_letters"], 0, "a prune is no refusal: {stands}");
        let pruned = figure(&world, "sink_pruned_total{sink=\"hook\"}").await;
        assert!(pruned >= before + 3, "{pruned}, {before}");
    }
    assert_eq!(figure(&world, "sink_dead_letters_total{sink=\"hook\"}").await, 0);
    assert!(sink(&world, "hook").await["sent"].as_u64().unwrap() > 2);
}
