//! Retention through the door: what is old goes, what is held stays, and `audit verify` tells one
//! from what somebody has taken away.

pub(crate) mod killed;
mod shared;

use std::path::Path;
use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::world::command::{Ran, run};
use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually, fingerprint};

/// A moment that is long ago for whoever asks by the machine's clock.
const LONG_AGO: Timestamp = Timestamp::from_millis(1_735_700_000_000);

/// Takes a change away as pruning would, and leaves no word of it.
const GONE: &str = "DELETE FROM changes WHERE seq = 4; DELETE FROM ends WHERE seq = 4; \
    UPDATE leaves SET salt = NULL WHERE kind = 1 AND ref = 4;";

const DAY: Duration = Duration::from_hours(24);

/// A gateway whose clock stands long ago.
async fn long_ago(config: &str) -> (World, ManualClock) {
    let clock = ManualClock::at(LONG_AGO);
    let setup = Setup::new().config(config).clock(Clock::Manual(clock.clone()));
    (setup.start().await, clock)
}

async fn fill(world: &World, names: &[&str]) -> Vec<String> {
    let mut changes = Vec::new();
    for name in names {
        let answer = world.update(&json!({"name": name, "metadata": {"n": name}})).await;
        changes.push(answer.header("changegate-change").unwrap().to_owned());
    }
    changes
}

/// Runs a command of the audit on the configuration of a folder.
fn audit(folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["audit"], arguments, &["--config", "changegate.toml"]].concat())
}

fn verify(folder: &Path) -> (i32, Vec<String>) {
    let ran = audit(folder, &["verify"]);
    let words = ran.out.lines().filter_map(|line| line.split_once(": "));
    (ran.code, words.map(|(word, _)| word.to_owned()).collect())
}

pub(crate) async fn open(database: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(database).connect().await.unwrap()
}

/// Holds that no row of a log names one that is gone.
pub(crate) async fn nothing_is_orphaned(log: &mut SqliteConnection) {
    let torn = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *log).await.unwrap();
    let torn: Vec<String> = torn.iter().map(|row| row.get(0)).collect();
    assert!(torn.is_empty(), "{torn:?}");
    for (what, sql) in [
        (
            "documents of no change",
            "SELECT count(*) FROM snapshots s WHERE number NOT IN (SELECT before FROM changes \
             WHERE before IS NOT NULL) AND number NOT IN (SELECT after FROM ends \
             WHERE after IS NOT NULL)",
        ),
        ("prunes that go on", "SELECT count(*) FROM pruning"),
        (
            "ends of no change",
            "SELECT count(*) FROM ends WHERE seq NOT IN (SELECT seq FROM changes)",
        ),
    ] {
        let count = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *log).await;
        let count: i64 = count.unwrap();
        assert_eq!(count, 0, "{what}");
    }
}

#[tokio::test]
async fn a_running_gateway_prunes_what_it_is_not_to_keep() {
    let retention = "[retention]\nmax_age = \"30d\"\n";
    let (world, clock) = long_ago(retention).await;
    let old = fill(&world, &["one", "two", "three", "four"]).await;
    clock.advance(DAY * 31);
    let new = fill(&world, &["five", "six"]).await;
    let prunes = world.events("prune", 1).await;
    assert_eq!(prunes[0]["detail"]["reason"], "age", "{prunes:?}");
    let ids = eventually("the end of old changes", async || {
        let changes = world.changes().await;
        let ids: Vec<String> = changes.iter().map(|c| c["id"].as_str().unwrap().into()).collect();
        (!old.iter().any(|old| ids.contains(old))).then_some(ids)
    })
    .await;
    assert_eq!(ids, [new[1].clone(), new[0].clone()]);
    for (id, time, word) in [
        (DEPLOYMENT, LONG_AGO.to_string(), "or that went when changes that came between"),
        (DEPLOYMENT, "2020-01-01T00:00:00Z".to_owned(), "had not seen this deployment by then"),
        ("dep_none", LONG_AGO.to_string(), "no change of this deployment is recorded"),
    ] {
        let at = format!("/api/v1/deployments/{id}/at?time={time}");
        let answer = call(world.admin(), Call::get(&at)).await;
        assert!(answer.status == 404 && answer.text().contains(word), "{at}: {}", answer.text());
    }
    let whole = world.ask(&format!("/api/v1/changes/{}", new[0])).await;
    assert_eq!(
        (&whole["before"]["name"], &whole["after"]["name"]),
        (&json!("four"), &json!("five"))
    );
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    assert!(metrics.contains("changegate_audit_pruned_changes_total 4\n"), "{metrics}");
    assert!(metrics.contains("changegate_audit_prune_overdue_seconds 0\n"), "{metrics}");
    let database = world.database();
    let (folder, _simulator) = world.end().await;
    assert_eq!(verify(folder.path()), (0, vec!["sound".to_owned()]));
    let told = audit(folder.path(), &["verify"]).err;
    assert!(told.contains("records were pruned between"), "{told}");
    // It is not said that the log had never seen what was pruned, nor that it had what it had not.
    let (then, other) = (LONG_AGO.to_string(), "dep_none");
    let before_all = "2020-01-01T00:00:00Z";
    for (id, time, word) in [
        (DEPLOYMENT, then.as_str(), "or that was pruned: changes that came between"),
        (DEPLOYMENT, before_all, "had not seen"),
        (other, then.as_str(), "no change of dep_none is recorded"),
    ] {
        let state = format!("{id}@{time}");
        for ask in [vec!["at", id, time], vec!["blame", id, "--at", time], vec!["diff", &state, id]]
        {
            let ran = audit(folder.path(), &ask);
            assert!(ran.code == 1 && ran.err.contains(word), "{ask:?}: {ran:?}");
        }
    }
    // Who asks for one that is gone is told when it went, and why.
    for command in ["prove", "show"] {
        let ran = audit(folder.path(), &[command, &old[0]]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.err.contains("were pruned at 20") && ran.err.contains("(reason: age)"),
            "{ran:?}"
        );
    }
    let mut log = open(&database).await;
    nothing_is_orphaned(&mut log).await;
}

#[tokio::test]
async fn more_changes_than_are_to_be_kept_go_once_they_are_a_day_old() {
    let (world, clock) = long_ago("[retention]\nmax_changes = 2\n").await;
    let old = fill(&world, &["one", "two", "three", "four", "five"]).await;
    clock.advance(DAY / 2);
    assert_eq!(world.changes().await.len(), 5);
    clock.advance(DAY);
    let prunes = world.events("prune", 1).await;
    let counts = prunes.iter().find(|prune| prune["detail"]["changes"] == 3);
    assert_eq!(counts.unwrap()["detail"]["reason"], "count", "{prunes:?}");
    let left = world.changes().await;
    let left: Vec<&str> = left.iter().map(|change| change["id"].as_str().unwrap()).collect();
    assert_eq!(left, [&old[4], &old[3]]);
    let (folder, _simulator) = world.end().await;
    assert_eq!(verify(folder.path()).0, 0);
}

#[tokio::test]
async fn what_goes_is_told_before_and_a_gateway_that_runs_is_not_disturbed() {
    let (world, clock) = long_ago("").await;
    let old = fill(&world, &["one", "two", "three"]).await;
    let folder = world.folder.path();
    let eventually_sealed = eventually("the leaves of all", async || {
        let ran = audit(folder, &["prune", "--older-than", "30d", "--dry-run", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let told: Value = serde_json::from_str(ran.out.trim()).unwrap();
        (told["changes"] == 2 && told["kept"] != json!({})).then_some(told)
    });
    let told = eventually_sealed.await;
    assert_eq!(told["kept"], json!({"newest": 1}), "{told}");
    let ran = audit(folder, &["prune", "--older-than", "30d"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("retention.max_age"), "{ran:?}");
    for bad in ["3h", "30", "0d"] {
        assert_eq!(audit(folder, &["prune", "--older-than", bad]).code, 2, "{bad}");
    }
    clock.advance(DAY);
    assert_eq!(world.changes().await.len(), 3);
    let (folder, _simulator) = world.end().await;
    let ran = audit(folder.path(), &["prune", "--older-than", "30d"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("2 changes and "), "{ran:?}");
    assert!(ran.out.contains("1 old change stays: what tells how"), "{ran:?}");
    let left = audit(folder.path(), &["list", "--json"]).out;
    assert_eq!(left.lines().count(), 1);
    assert!(left.contains(&old[2]), "{left}");
    let at = audit(folder.path(), &["at", DEPLOYMENT, "2026-01-01T00:00:00Z", "--json"]);
    assert!(at.out.contains("\"three\""), "{at:?}");
    let again = audit(folder.path(), &["prune", "--older-than", "30d"]);
    assert!(again.out.starts_with("0 changes and 0 events were pruned."), "{again:?}");
    assert_eq!(verify(folder.path()).0, 0);
}

#[tokio::test]
async fn what_is_held_stays_until_nobody_holds_it() {
    let (world, _clock) = long_ago("").await;
    fill(&world, &["one", "two", "three"]).await;
    let running = audit(world.folder.path(), &["hold", "add", "--team", "red"]);
    assert_eq!(running.code, 3, "{running:?}");
    assert!(running.err.contains("[[retention.hold]]"), "{running:?}");
    let (folder, _simulator) = world.end().await;
    let folder = folder.path();
    let actor = fingerprint("pt-token");
    let token = audit(folder, &["list", "--json", "--limit", "1"]).out;
    let change: Value = serde_json::from_str(&token).unwrap();
    let actor = change["actor"]["fingerprint"].as_str().map_or(actor, str::to_owned);
    let reason = "case 7, pt-0123456789abcdef0123456789abcdef";
    for (arguments, word) in [
        (vec!["add", "--deployment", DEPLOYMENT, "--reason", reason], "are held: none"),
        (vec!["add", "--deployment", DEPLOYMENT], "held already"),
        (vec!["add", "--actor", &actor], "are held: none"),
    ] {
        let ran = audit(folder, &[&["hold"], arguments.as_slice()].concat());
        assert!(ran.code == 0 && ran.out.contains(word), "{ran:?}");
    }
    assert_eq!(audit(folder, &["hold", "add"]).code, 2);
    assert_eq!(audit(folder, &["hold", "add", "--team", "a", "--actor", "b"]).code, 2);
    let list = audit(folder, &["hold", "list"]);
    assert!(list.out.contains("case 7, ") && !list.out.contains("pt-0123456789"), "{list:?}");
    let dry = || {
        let ran = audit(folder, &["prune", "--older-than", "30d", "--dry-run", "--json"]);
        serde_json::from_str::<Value>(ran.out.trim()).unwrap()
    };
    assert_eq!(dry()["kept"], json!({"held_deployment": 3}));
    assert_eq!(audit(folder, &["prune", "--older-than", "30d"]).code, 0);
    let ran = audit(folder, &["hold", "remove", "--deployment", DEPLOYMENT]);
    assert!(ran.out.contains("not held any more"), "{ran:?}");
    assert_eq!(dry()["kept"], json!({"held_actor": 3}));
    let ran = audit(folder, &["hold", "remove", "--actor", &actor]);
    assert!(ran.out.contains("not held any more"), "{ran:?}");
    let told = dry();
    assert_eq!((&told["changes"], &told["kept"]), (&json!(2), &json!({"newest": 1})));
    let config = std::fs::read_to_string(folder.join("changegate.toml")).unwrap();
    let holding = format!("{config}\n[retention]\nhold = [{{ deployment = \"{DEPLOYMENT}\" }}]\n");
    std::fs::write(folder.join("changegate.toml"), holding).unwrap();
    assert_eq!(dry()["kept"], json!({"held_deployment": 3}));
    let list = audit(folder, &["hold", "list"]);
    assert_eq!(list.out, format!("deployment {DEPLOYMENT}, by the configuration\n"));
    assert_eq!(verify(folder).0, 0);
}

/// Alters a log as who has its file can, the triggers dropped before.
async fn attack(database: &Path, sql: &str) {
    let mut log = open(database).await;
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut log).await.unwrap();
    let triggers = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'trigger'");
    for trigger in triggers.fetch_all(&mut log).await.unwrap() {
        let drop = format!("DROP TRIGGER {}", trigger.get::<String, _>(0));
        sqlx::query(AssertSqlSafe(drop)).execute(&mut log).await.unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut log).await.unwrap();
    log.close().await.unwrap();
}

#[tokio::test]
async fn what_is_gone_without_a_prune_is_found_and_a_forged_one_too() {
    let (world, clock) = long_ago("[retention]\nmax_age = \"30d\"\n").await;
    fill(&world, &["one", "two", "three"]).await;
    clock.advance(DAY * 31);
    fill(&world, &["four", "five"]).await;
    world.events("prune", 1).await;
    let (folder, _simulator) = world.end().await;
    assert_eq!(verify(folder.path()).0, 0);
    let forged = format!(
        "{GONE} UPDATE events SET detail = json_set(detail, '$.leaves', \
         json_extract(detail, '$.leaves') || ',' || \
         (SELECT position FROM leaves WHERE kind = 1 AND ref = 4)) WHERE kind = 'prune'"
    );
    for (sql, expected) in [
        (GONE, "missing-record"),
        ("DELETE FROM ends WHERE seq = 4", "missing-record"),
        (forged.as_str(), "altered-record"),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE kind = 1 AND ref = 1", "altered-hash"),
        ("DELETE FROM leaves WHERE kind = 1 AND ref = 1", "gap"),
        ("DELETE FROM events WHERE kind = 'prune'", "missing-record"),
        ("UPDATE events SET detail = '{}' WHERE kind = 'prune'", "altered-record"),
    ] {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        attack(&copy.path().join("log.db"), sql).await;
        let (code, words) = verify(copy.path());
        assert!(code == 1 && words.iter().any(|word| word == expected), "{sql}: {words:?}");
    }
}
