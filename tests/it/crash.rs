//! The gateway is killed at random moments under load: whatever upstream applied is on record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changegate::clock::Clock;
use changegate::simulator::{Options, Simulator};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use tokio::task::JoinSet;

use crate::world::program::{Folder, Program};
use crate::world::{Call, call, seed};

const API: &str = "/api/v1/cloud";
const ROUNDS: u64 = 8;
const DEPLOYMENTS: usize = 6;

/// Random enough to choose moments by, and the same for the same seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0 % sides
    }
}

#[tokio::test]
async fn whatever_upstream_applied_is_on_record_after_a_kill() {
    let given = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = Clock::System.now().millis().cast_unsigned();
    let dice_seed = given.unwrap_or(now) | 1;
    say(&format!("to repeat: CRASH_SEED={dice_seed}"));
    let mut dice = Dice(dice_seed);
    let simulator = Simulator::start(Options::default()).unwrap();
    let ids = Arc::new(seed(&simulator, DEPLOYMENTS));
    // Both halves of a call take some time, so that kills fall into every part of it.
    let faults = ["delay=3@POST", "delay-after=4@POST", "delay=2@GET"];
    simulator.state().set_faults(faults.map(|fault| fault.parse().unwrap()));
    let folder = Folder::new(simulator.address(), "");
    let nonce = Arc::new(AtomicU64::new(0));
    for _ in 0..ROUNDS {
        let program = folder.serve().await;
        let mut load = load(&program, &ids, &nonce);
        tokio::time::sleep(Duration::from_millis(20 + dice.roll(400))).await;
        program.kill();
        load.shutdown().await;
        check_file(folder.path()).await;
    }
    let program = folder.serve().await;
    check(&folder, &simulator);
    // That something is not done yet says nothing so soon. After the first of these calls, no
    // later one can tell: that is what the second one finds.
    for _ in 0..2 {
        settle(&program, &ids, &nonce).await;
    }
    check(&folder, &simulator);
    let unclear = changes(&folder).into_iter().filter(|change| change["outcome"] == "unknown");
    for change in unclear {
        let settled = change["settled"]["by"].is_string();
        assert!(settled, "a call to the deployment has settled nothing: {change}");
        assert_ne!(change["settled"]["applied"], false, "{change}");
    }
}

/// Updates, two at a time for each deployment, each with a name of its own.
fn load(program: &Program, ids: &Arc<Vec<String>>, nonce: &Arc<AtomicU64>) -> JoinSet<()> {
    let mut load = JoinSet::new();
    for n in 0..DEPLOYMENTS * 2 {
        let (ids, nonce, proxy) = (Arc::clone(ids), Arc::clone(nonce), program.proxy);
        load.spawn(async move {
            loop {
                let name = format!("n{}", nonce.fetch_add(1, Ordering::Relaxed));
                let path = format!("{API}/deployments/{}", ids[n % DEPLOYMENTS]);
                let update = Call::post(&path).json(&json!({"name": name}));
                // The connection breaks when the gateway is killed, and this task with it.
                call(proxy, update).await;
            }
        });
    }
    load
}

/// One call more to each deployment.
async fn settle(program: &Program, ids: &[String], nonce: &AtomicU64) {
    for id in ids {
        let name = format!("n{}", nonce.fetch_add(1, Ordering::Relaxed));
        let path = format!("{API}/deployments/{id}");
        let answer = call(program.proxy, Call::post(&path).json(&json!({"name": name}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// What the log holds, bodies included.
fn changes(folder: &Folder) -> Vec<Value> {
    let list = folder.command(&["audit", "list", "--json", "--all", "--full"]).output().unwrap();
    assert!(list.status.success(), "{list:?}");
    let text = String::from_utf8(list.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Holds what upstream received and applied against what is on record.
fn check(folder: &Folder, simulator: &Simulator) {
    let mut recorded = BTreeMap::new();
    for change in changes(folder) {
        let name = change["patch"]["name"].as_str().unwrap().to_owned();
        assert_ne!(change["outcome"], "pending", "the start has swept: {change}");
        let twice = recorded.insert(name, change);
        assert!(twice.is_none(), "recorded twice: {twice:?}");
    }
    let mut applied = BTreeSet::new();
    for request in simulator.state().requests() {
        if request.method != "POST" {
            continue;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { continue };
        let name = body["name"].as_str().unwrap().to_owned();
        let change = recorded.get(&name).unwrap_or_else(|| panic!("no record of {name}"));
        let outcome = change["outcome"].as_str().unwrap();
        assert!(matches!(outcome, "applied" | "unknown"), "{outcome}, yet upstream got {name}");
        if request.status == Some(200) {
            assert!(applied.insert(name.clone()), "{name} was forwarded twice");
        }
    }
    for (name, change) in &recorded {
        let claimed = change["outcome"] == "applied" || change["settled"]["applied"] == true;
        assert!(!claimed || applied.contains(name), "upstream did not apply {change}");
        let denied = change["settled"]["applied"] == false;
        assert!(!denied || !applied.contains(name), "upstream did apply {change}");
    }
    say(&format!("{} recorded, {} applied", recorded.len(), applied.len()));
}

/// Checks a copy, so that it is the gateway that has to recover the file itself.
async fn check_file(folder: &Path) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(copy.path().join("log.db"));
    let mut connection = options.connect().await.unwrap();
    let check = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection);
    let verdict: String = check.await.unwrap();
    assert_eq!(verdict, "ok");
}

#[expect(clippy::print_stdout, reason = "who sees this test fail needs its seed")]
fn say(line: &str) {
    println!("{line}");
}
