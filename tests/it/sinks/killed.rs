//! Gateways that are killed while they send, and what comes of each record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{SECRETS, messages, webhook};
use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::eventually;
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::recorder::{Recorder, answer};

/// A receiver that fails now and then.
async fn unsteady() -> Recorder {
    let count = AtomicUsize::new(0);
    let status = move || if count.fetch_add(1, Ordering::Relaxed) % 97 == 96 { 503 } else { 200 };
    Recorder::start(move |_| {
        let mut told = answer(status(), "");
        told.headers_mut().insert("retry-after", "0".parse().unwrap());
        told
    })
    .await
}

/// The positions that came, and how many came more than once.
fn positions(recorder: &Recorder) -> (BTreeSet<u64>, usize) {
    let mut counts = BTreeMap::new();
    for (_kind, body) in messages(recorder) {
        *counts.entry(body["data"]["position"].as_u64().unwrap()).or_insert(0) += 1;
    }
    let twice = counts.values().filter(|count| **count > 1).count();
    (counts.into_keys().collect(), twice)
}

/// Waits until the sink has everything, and holds that every change came.
async fn holds(folder: &Folder, program: &Program, recorder: &Recorder, what: &str) {
    program.settle_down().await;
    eventually("everything to be sent", async || {
        let sinks = program.ask("/api/v1/sinks").await;
        let found = &sinks["data"][0];
        (found["state"] == "current" && found["name"] == "hook").then_some(())
    })
    .await;
    let sent: BTreeSet<String> = messages(recorder)
        .iter()
        .filter(|(kind, _)| kind.starts_with("change."))
        .map(|(_, body)| body["data"]["id"].as_str().unwrap().to_owned())
        .collect();
    let changes = folder.changes(false);
    let lost: Vec<&Value> =
        changes.iter().filter(|change| !sent.contains(change["id"].as_str().unwrap())).collect();
    assert!(lost.is_empty(), "{what}: {} of {} are lost: {lost:?}", lost.len(), changes.len());
    let (came, twice) = positions(recorder);
    crate::world::say(&format!(
        "{what}: {} changes, {} records came, {twice} of them more than once",
        changes.len(),
        came.len()
    ));
}

async fn kill_and_look(folder: &Folder, load: &Load, recorder: &Recorder, what: &str) {
    for _ in 0..3 {
        let program = folder.serve().await;
        let mut clients = load.begin(program.proxy);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        program.kill();
        clients.abort_all();
        while clients.join_next().await.is_some() {}
    }
    let program = folder.serve().await;
    load.once(program.proxy).await;
    holds(folder, &program, recorder, what).await;
}

fn more(recorder: &Recorder) -> String {
    webhook("hook", &recorder.url, "from = 'start'")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_sends_everything_at_least_once() {
    let (load, recorder) = (Load::new(2), unsteady().await);
    let folder = Folder::new(load.simulator.address(), &more(&recorder));
    folder.write("hook.secret", SECRETS[0]);
    kill_and_look(&folder, &load, &recorder, "sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_on_postgresql_sends_everything_at_least_once() {
    let Some(database) = TestDatabase::new() else { return };
    let (load, recorder) = (Load::new(2), unsteady().await);
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let folder = Folder::new(load.simulator.address(), &more(&recorder));
    folder.write("hook.secret", SECRETS[0]);
    folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
    kill_and_look(&folder, &load, &recorder, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_one_sends_and_the_other_takes_over() {
    let Some(database) = TestDatabase::new() else { return };
    let (load, recorder) = (Load::new(2), Arc::new(unsteady().await));
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let url = database.url().replace("//postgres@", "//changegate@");
    let folders = ["one", "two"].map(|name| {
        let own = format!("node.name = '{name}'\n{}", more(&recorder));
        let folder = Folder::new(load.simulator.address(), &own);
        folder.write("hook.secret", SECRETS[0]);
        folder.keep_log_at(&url);
        folder
    });
    let (first, second) = (folders[0].serve().await, folders[1].serve().await);
    for _ in 0..10 {
        load.once(first.proxy).await;
        load.once(second.proxy).await;
    }
    holds(&folders[1], &second, &recorder, "both").await;
    first.kill();
    load.once(second.proxy).await;
    // Once what the first one has taken is over.
    tokio::time::sleep(Duration::from_secs(16)).await;
    holds(&folders[1], &second, &recorder, "one of two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_stays_with_its_gateway_while_a_receiver_hangs() {
    let Some(database) = TestDatabase::new() else { return };
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let (load, url) = (Load::new(1), super::refused::odd(None).await);
    let more = webhook("hook", &url, "from = 'start'\ntimeout = '10s'");
    let folder = Folder::new(load.simulator.address(), &more);
    folder.write("hook.secret", SECRETS[0]);
    folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
    let _program = folder.serve().await;
    // The first attempt takes ten seconds, in which the sink is taken anew; then its end is kept.
    let column = |name: &str| database.sql(&format!("SELECT {name} FROM changegate.sinks"));
    let mut held = Vec::new();
    let until = eventually("the end of the first attempt", async || {
        // Both of one moment.
        let both = column("coalesce(until_at::text, ''), attempts");
        let (until, attempts) = both.split_once('|').unwrap_or_default();
        let until = until.to_owned();
        if !until.is_empty() && attempts == "0" && held.last() != Some(&until) {
            held.push(until.clone());
        }
        (attempts == "1").then_some(until)
    })
    .await;
    assert!(held.len() >= 3, "it is taken, and kept taken while it sends: {held:?}");
    assert!(until > *held.last().unwrap(), "{held:?}, {until}");
    assert!(column("next_at").parse::<i64>().unwrap() > 0, "the wait is kept");
}
