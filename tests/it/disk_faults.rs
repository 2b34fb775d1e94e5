//! A disk that fails under the gateway: nothing passes that is not recorded, reads go on, and so
//! does everything else once the disk is back, without a restart.

use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use changegate::base::clock::Clock;

use crate::world::disk::{Disk, EIO, ENOSPC, EROFS, Manner, Operation, Trouble};
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::{Call, call, eventually, say};

/// How soon the gateway must serve again.
const BACK_WITHIN: Duration = Duration::from_secs(5);

const DEPLOYMENTS: usize = 4;

async fn readiness(program: &Program) -> (u16, String) {
    let answer = call(program.admin, Call::get("/readyz")).await;
    (answer.status.as_u16(), answer.text())
}

/// Waits until it serves again, and tells how long that took.
async fn back(load: &Load, program: &Program) -> Duration {
    let begun: Instant = Clock::System.instant();
    eventually("a 200 of /readyz", async || (readiness(program).await.0 == 200).then_some(()))
        .await;
    eventually("a recorded update", async || {
        (load.one(program.proxy).await.status == 200).then_some(())
    })
    .await;
    begun.elapsed()
}

/// Waits until what the start records is in the tree and signed: nothing else is written then.
async fn is_signed(program: &Program) {
    for path in ["tile/0/000.p/4", "checkpoint"] {
        let path = format!("/api/v1/log/{path}");
        eventually("the evidence of the start", async || {
            (call(program.admin, Call::get(&path)).await.status == 200).then_some(())
        })
        .await;
    }
}

async fn is_closed_for_now(program: &Program) -> String {
    eventually("a 503 of /readyz", async || {
        let (status, text) = readiness(program).await;
        (status == 503).then_some(text)
    })
    .await
}

/// While nothing can be written: no governed write passes, reads do, and /readyz says why.
async fn is_closed(load: &Load, program: &Program) -> String {
    let reason = is_closed_for_now(program).await;
    for _ in 0..3 {
        let refused = load.one(program.proxy).await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("nothing was forwarded"), "{}", refused.text());
        assert_eq!(load.look(program.proxy).await.status, 200);
        // Not for a moment is it said to be back.
        assert_eq!(readiness(program).await.0, 503);
    }
    reason
}

#[tokio::test]
async fn a_disk_that_fails_closes_the_gateway_and_opens_it_again() {
    let load = Load::new(DEPLOYMENTS);
    let folder = Folder::new(load.simulator.address(), "audit.finish_timeout = 0.5");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let program = folder.serve_on(Some(&disk)).await;
    let mut updates = load.begin(program.proxy);
    for (what, trouble) in [
        ("writes fail", Trouble::every(Operation::Write, EIO)),
        ("writes are torn", Trouble::every(Operation::Write, EIO).manner(Manner::Torn)),
        ("syncs fail", Trouble::every(Operation::Sync, EIO)),
        ("the disk is full", Trouble::every(Operation::Write, ENOSPC)),
        ("half fits", Trouble::every(Operation::Write, ENOSPC).manner(Manner::Torn)),
        ("it is read-only", Trouble::every(Operation::WriteOrSync, EROFS)),
    ] {
        tokio::time::sleep(Duration::from_millis(60)).await;
        disk.break_down(trouble);
        let reason = is_closed(&load, &program).await;
        assert!(disk.fired() > 0, "{what}");
        disk.fix();
        let took = back(&load, &program).await;
        say(&format!("{what}: {reason}; back after {took:?}"));
        assert!(took < BACK_WITHIN, "{what}: {took:?}");
    }
    let short = Trouble::every(Operation::Write, EIO).manner(Manner::Short);
    disk.break_down(short);
    assert_eq!(load.one(program.proxy).await.status, 200, "short writes are writes");
    disk.fix();
    updates.shutdown().await;
    program.settle_down().await;
    load.check(&folder);
    program.kill();
    folder.check_file().await;
    let _program = folder.serve().await;
    load.check(&folder);
}

#[tokio::test]
async fn the_nth_write_or_sync_may_fail_whichever_it_is() {
    the_nth_of_each_operation_fails(0..5).await;
}

#[tokio::test]
async fn a_later_write_or_sync_may_fail_whichever_it_is() {
    the_nth_of_each_operation_fails(5..10).await;
}

async fn the_nth_of_each_operation_fails(numbers: Range<u32>) {
    let load = Load::new(DEPLOYMENTS);
    let folder = Folder::new(load.simulator.address(), "audit.finish_timeout = 0.5");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let program = folder.serve_on(Some(&disk)).await;
    let mut updates = load.begin(program.proxy);
    let manners = [Manner::Fail, Manner::Torn];
    let operations = [Operation::Write, Operation::Sync, Operation::Write, Operation::Truncate];
    for (n, operation) in numbers.flat_map(|n| operations.map(|operation| (n, operation))) {
        let every = Trouble::every(operation, if n % 3 == 2 { ENOSPC } else { EIO });
        let trouble = Trouble { manner: manners[n as usize % 2], after: n, times: 1, ..every };
        disk.break_down(trouble);
        // Some calls are seldom made; the next trouble takes the place of one that waits for them.
        for _ in 0..20 {
            if disk.fired() > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let took = back(&load, &program).await;
        assert!(took < BACK_WITHIN, "{trouble:?}: {took:?}");
    }
    updates.shutdown().await;
    program.settle_down().await;
    load.check(&folder);
    program.kill();
    folder.check_file().await;
}

#[tokio::test]
async fn a_disk_that_hangs_forwards_nothing_that_it_writes_too_late() {
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "audit.finish_timeout = 0.5");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let program = folder.serve_on(Some(&disk)).await;
    is_signed(&program).await;
    let slow = Trouble::every(Operation::Sync, EIO).manner(Manner::Slow);
    disk.break_down(Trouble { times: 1, delay_ms: 7_000, ..slow });
    let late = load.one(program.proxy).await;
    assert_eq!(late.status, 503, "{}", late.text());
    let reason = is_closed_for_now(&program).await;
    assert!(reason.contains("does not answer"), "{reason}");
    assert_eq!(load.look(program.proxy).await.status, 200);
    assert!(back(&load, &program).await < BACK_WITHIN);
    program.settle_down().await;
    let changes = load.check(&folder);
    let outcomes: Vec<_> = changes.iter().map(|change| &change["outcome"]).collect();
    assert_eq!(outcomes.last(), Some(&&serde_json::json!("failed")), "{outcomes:?}");
}

/// A gateway whose log lies on a disk of its own, small, in memory, and seen by nobody else.
fn on_a_small_disk(folder: &Folder) -> Command {
    let serve = folder.command(&["serve"]);
    let mut command = Command::new("unshare");
    let mounted = "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", mounted]);
    command.arg(folder.path().join("disk")).arg(serve.get_program()).args(serve.get_args());
    command
}

#[tokio::test]
async fn a_full_disk_closes_the_gateway_until_there_is_room() {
    let load = Load::new(DEPLOYMENTS);
    let more = "audit.finish_timeout = 0.5\n[limits]\nbody_bytes = 100000";
    let folder = Folder::new(load.simulator.address(), more);
    let there = folder.path().join("changegate.toml");
    let config = std::fs::read_to_string(&there).unwrap();
    std::fs::write(&there, config.replace("log.db", "disk/log.db")).unwrap();
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let mut probe = Command::new("unshare");
    probe.args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none"]);
    let mounted = probe.arg(folder.path().join("disk")).output();
    if !mounted.as_ref().is_ok_and(|done| done.status.success()) {
        return say(&format!("left out: this user can't mount a small disk: {mounted:?}"));
    }
    let program = folder.serve_as(on_a_small_disk(&folder)).await;
    let inside = format!("/proc/{}/root{}/disk", program.id(), folder.path().display());
    let filler = std::path::Path::new(&inside).join("filler");
    let mut updates = load.begin(program.proxy);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        // As much as fits, to the last page.
        let fill = async || std::fs::write(&filler, vec![1; 8 << 20]).err();
        eventually("a full disk", fill).await;
        // What is small may still find room in a file that is there.
        let reason = is_closed_for_now(&program).await;
        assert_eq!(load.look(program.proxy).await.status, 200);
        std::fs::remove_file(&filler).unwrap();
        let took = back(&load, &program).await;
        say(&format!("{reason}; back after {took:?}"));
        assert!(took < BACK_WITHIN, "{took:?}");
    }
    updates.shutdown().await;
    program.settle_down().await;
    // At rest, what lies there can be copied to where others see it.
    for name in ["log.db", "log.db-wal"] {
        let there = folder.path().join("disk").join(name);
        std::fs::copy(std::path::Path::new(&inside).join(name), there).unwrap();
    }
    load.check(&folder);
}
