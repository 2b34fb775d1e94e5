//! The disk space that the log takes, and how the gateway behaves when the disk is full.

use std::time::{Duration, Instant};

use changegate::base::clock::Clock;
use rustix::process::Signal;

use crate::world::disk::Disk;
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::{Call, call, eventually, say};

/// How soon the gateway must serve again.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// The most bytes of the write-ahead log: those that are kept of it, and those that the last
/// transaction before it starts over may add.
const WAL_BYTES_MAX: u64 = 6 << 20;

const FULL: &str = "(code: 13) database or disk is full";

fn bytes_of(folder: &Folder, name: &str) -> u64 {
    std::fs::metadata(folder.path().join(name)).map_or(0, |found| found.len())
}

/// The total size of the log's files, in bytes.
fn bytes_of_all(folder: &Folder) -> u64 {
    ["log.db", "log.db-wal", "log.db-shm"].map(|name| bytes_of(folder, name)).iter().sum()
}

async fn readiness(program: &Program) -> (u16, String) {
    let answer = call(program.admin, Call::get("/readyz")).await;
    (answer.status.as_u16(), answer.text())
}

/// Nothing can be written, which is said; reads pass.
async fn is_closed(load: &Load, program: &Program) {
    // The first write finds it out.
    eventually("a 503 of /readyz", async || (readiness(program).await.0 == 503).then_some(()))
        .await;
    for _ in 0..3 {
        let (status, reason) = readiness(program).await;
        assert_eq!(status, 503, "{reason}");
        assert_eq!(reason.matches("(code").count(), 1, "{reason}");
        let refused = load.one(program.proxy).await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(load.look(program.proxy).await.status, 200);
    }
}

async fn is_back(load: &Load, program: &Program) {
    let begun: Instant = Clock::System.instant();
    eventually("a recorded update", async || {
        let ready = readiness(program).await.0 == 200;
        (ready && load.one(program.proxy).await.status == 200).then_some(())
    })
    .await;
    let took = begun.elapsed();
    assert!(took < BACK_WITHIN, "{took:?}");
}

fn count_of(program: &Program, words: &str) -> usize {
    program.said_times(words)
}

#[tokio::test]
async fn the_write_ahead_log_is_bounded_in_bytes_while_calls_come_without_a_rest() {
    let load = Load::new(4);
    let folder = Folder::new(load.simulator.address(), "");
    let Some(disk) = Disk::new(folder.path()) else { return };
    // The log of which this was told filled 24 MiB after 658 changes.
    disk.make_room(Some(24 << 20));
    let program = folder.serve_on(Some(&disk)).await;
    let mut updates = load.begin(program.proxy);
    let mut longest = 0;
    eventually("many changes", async || {
        longest = longest.max(bytes_of(&folder, "log.db-wal"));
        let page = program.ask("/api/v1/changes?limit=1").await;
        (page["data"][0]["seq"].as_i64()? > 900).then_some(())
    })
    .await;
    updates.shutdown().await;
    assert!(longest > 1 << 20 && longest < WAL_BYTES_MAX, "{longest}");
    assert_eq!(count_of(&program, FULL), 0, "{}", program.said());
    eventually("a short log at rest", async || {
        (bytes_of(&folder, "log.db-wal") <= 4 << 20).then_some(())
    })
    .await;
    program.settle_down().await;
    load.check(&folder);
    say(&format!("at most {longest} bytes of write-ahead log"));
}

#[tokio::test]
async fn a_gateway_starts_on_a_full_disk_and_serves_once_there_is_room() {
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "audit.finish_timeout = 0.5");
    let Some(disk) = Disk::new(folder.path()) else { return };
    for (what, ends_by) in
        [("a new log", None), ("after a kill", Some(Signal::KILL)), ("rest", Some(Signal::TERM))]
    {
        if let Some(signal) = ends_by {
            let mut program = folder.serve_on(Some(&disk)).await;
            load.once(program.proxy).await;
            program.signal(signal);
            program.end().await;
        }
        disk.make_room(Some(bytes_of_all(&folder).max(1)));
        let mut program = folder.serve_on(Some(&disk)).await;
        is_closed(&load, &program).await;
        disk.make_room(None);
        is_back(&load, &program).await;
        assert_eq!(count_of(&program, "can be written again"), 1, "{what}: {}", program.said());
        program.settle_down().await;
        load.check(&folder);
        disk.make_room(Some(1));
        program.signal(Signal::TERM);
        assert_eq!(program.end().await.code(), Some(0), "{what}: {}", program.said());
        disk.make_room(None);
        folder.check_file().await;
    }
}

#[tokio::test]
async fn what_a_crash_left_open_is_ended_once_there_is_room() {
    let load = Load::new(1);
    // Long enough that the change which is seen open is still open at the kill.
    load.simulator.state().set_faults(["delay-after=300@POST".parse().unwrap()]);
    let folder = Folder::new(load.simulator.address(), "");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let program = folder.serve_on(Some(&disk)).await;
    let _updates = load.begin(program.proxy);
    let open = "/api/v1/changes?outcome=pending&limit=1";
    eventually("an open change", async || {
        let page = program.ask(open).await;
        page["data"].as_array().is_some_and(|open| !open.is_empty()).then_some(())
    })
    .await;
    program.kill();
    disk.make_room(Some(bytes_of_all(&folder)));
    let program = folder.serve_on(Some(&disk)).await;
    is_closed(&load, &program).await;
    disk.make_room(None);
    is_back(&load, &program).await;
    // The next look at a deployment settles what is unclear of it, this one, too.
    eventually("the settlement of what was left open", async || {
        let changes = folder.changes(false);
        assert!(changes.iter().all(|change| change["outcome"] != "pending"), "{changes:?}");
        let mut unclear = changes.iter().filter(|change| change["outcome"] == "unknown").peekable();
        assert!(unclear.peek().is_some(), "{changes:?}");
        unclear.all(|change| change["settled"]["by"].is_string()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_disk_with_room_for_a_few_rows_does_not_count_as_one_with_room() {
    let load = Load::new(4);
    let folder = Folder::new(load.simulator.address(), "audit.finish_timeout = 0.5");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let program = folder.serve_on(Some(&disk)).await;
    load.once(program.proxy).await;
    let mut updates = load.begin(program.proxy);
    disk.make_room(Some(bytes_of_all(&folder) + 100_000));
    eventually("a full disk", async || (readiness(&program).await.0 == 503).then_some(())).await;
    for _ in 0..10 {
        // What was kept of the log is given back, so that a few rows fit again.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count_of(&program, "can be written again"), 0, "{}", program.said());
    }
    assert_eq!(count_of(&program, "the audit database can't be written"), 1);
    disk.make_room(None);
    is_back(&load, &program).await;
    assert_eq!(count_of(&program, "can be written again"), 1);
    updates.shutdown().await;
    program.settle_down().await;
    load.check(&folder);
}
