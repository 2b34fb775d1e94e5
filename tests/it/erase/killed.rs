//! An erasure that is killed: whatever it has taken, a record says so, and the next one goes on.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{audit, erase, sound, verified};
use crate::postgres::server::TestDatabase;
use crate::retention::killed::{RECORDS, with_old_records, with_old_records_at};
use crate::retention::{nothing_is_orphaned, open};
use crate::world::dice::{Dice, given, seed};
use crate::world::load::Load;
use crate::world::say;

/// How often it is killed at most.
const ROUNDS: u32 = 40;

/// How much longer each round waits than the one before: a slow machine comes to an end too.
const LONGER: Duration = Duration::from_millis(100);

const DEPLOYMENT_OF: &str =
    "SELECT d.id FROM deployments d JOIN changes c ON c.deployment = d.number WHERE c.seq = 1";

const WITH_BODIES: &str = "SELECT count(*) FROM changes c JOIN ends e ON e.seq = c.seq \
    WHERE c.deployment = (SELECT deployment FROM changes WHERE seq = 1) AND c.request_id = 'req' \
    AND (c.patch IS NOT NULL OR c.before IS NOT NULL OR e.after IS NOT NULL)";

async fn count(log: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(log).await.unwrap()
}

/// Begins to erase a deployment.
fn begun(folder: &Path, deployment: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_changegate"))
        .args(["audit", "erase", "--deployment", deployment, "--reason", "a test"])
        .args(["--config", "changegate.toml"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_kill_while_it_erases_leaves_nothing_that_no_record_tells_of() {
    let records = given("CHANGEGATE_RECORDS").unwrap_or(RECORDS / 4);
    let load = Load::new(3);
    let folder = with_old_records(&load, records).await;
    let database = folder.path().join("log.db");
    let mut dice = Dice::of(seed(), "erase");
    let deployment: String =
        sqlx::query_scalar(DEPLOYMENT_OF).fetch_one(&mut open(&database).await).await.unwrap();
    let (mut rounds, mut left) = (0, i64::MAX);
    while left > 0 {
        rounds += 1;
        assert!(rounds <= ROUNDS, "{left} are left");
        let mut erasing = begun(folder.path(), &deployment);
        tokio::time::sleep(dice.millis(200, 1_500) + LONGER * (rounds - 1)).await;
        erasing.kill().unwrap();
        erasing.wait().unwrap();
        let mut log = open(&database).await;
        nothing_is_orphaned(&mut log).await;
        left = count(&mut log, WITH_BODIES).await;
        drop(log);
        let (code, words) = verified(folder.path());
        assert_eq!((code, words), sound(), "round {rounds}");
    }
    say(&format!("{rounds} kills while {records} were erased"));
    let ran = erase(folder.path(), &["--deployment", &deployment]);
    assert!(ran.code == 0 && ran.out.contains("\"scoured\":true"), "{ran:?}");
    assert_eq!(verified(folder.path()), sound());
}

#[tokio::test]
async fn a_kill_while_it_erases_beside_gateways_leaves_postgresql_whole() {
    let Some(database) = TestDatabase::new() else { return };
    let records = given("CHANGEGATE_RECORDS").unwrap_or(RECORDS / 6);
    let load = Load::new(3);
    let folder = with_old_records_at(&load, records, &database).await;
    let mut dice = Dice::of(seed(), "erase in PostgreSQL");
    let of = |sql: &str| {
        let tables = ["deployments", "changes", "ends"];
        let sql = tables.iter().fold(sql.to_owned(), |sql, table| {
            sql.replace(&format!(" {table} "), &format!(" changegate.{table} "))
        });
        database.sql(&sql).trim().to_owned()
    };
    let deployment = of(DEPLOYMENT_OF);
    let mut rounds = 0;
    let program = folder.serve().await;
    let mut calls = load.begin(program.proxy);
    while of(WITH_BODIES) != "0" {
        rounds += 1;
        assert!(rounds <= ROUNDS, "{} are left", of(WITH_BODIES));
        let mut erasing = begun(folder.path(), &deployment);
        tokio::time::sleep(dice.millis(300, 2_000) + LONGER * (rounds - 1)).await;
        erasing.kill().unwrap();
        erasing.wait().unwrap();
    }
    say(&format!("{rounds} kills while {records} were erased"));
    // Its clients go on meanwhile.
    let place = folder.path().to_owned();
    let erasing = move || erase(&place, &["--deployment", &deployment]);
    let ran = tokio::task::spawn_blocking(erasing).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    // The gateway goes on, and builds upon nothing that is gone.
    load.one(program.proxy).await;
    calls.shutdown().await;
    program.kill();
    for torn in [
        "changegate.changes WHERE before NOT IN (SELECT number FROM changegate.snapshots)",
        "changegate.ends WHERE after NOT IN (SELECT number FROM changegate.snapshots)",
        "changegate.snapshots WHERE base NOT IN (SELECT number FROM changegate.snapshots)",
        "changegate.pruning",
    ] {
        let found = database.sql(&format!("SELECT count(*) FROM {torn}"));
        assert_eq!(found.trim(), "0", "{torn}");
    }
    assert_eq!(verified(folder.path()), sound());
    let status = audit(folder.path(), &["erase", "--status"]);
    assert!(status.out.contains("complete since"), "{status:?}");
}

#[tokio::test]
async fn a_role_that_may_only_read_erases_nothing() {
    let Some(database) = TestDatabase::new() else { return };
    let load = Load::new(1);
    let folder = with_old_records_at(&load, 8, &database).await;
    let config = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let as_auditor = config.replace("//changegate@", "//changegate_auditor@");
    let target = {
        let sql = "SELECT 'chg_' || encode(id, 'hex') FROM changegate.changes WHERE seq = 4";
        database.sql(sql).trim().to_owned()
    };
    folder.write("changegate.toml", &as_auditor);
    let refused = erase(folder.path(), &[&target]);
    assert!(refused.code == 3 && refused.err.contains("permission denied"), "{refused:?}");
    // Nor does the gateway's own role, but by the function.
    for by_hand in [
        "UPDATE changegate.changes SET patch = NULL",
        "INSERT INTO changegate.pruning VALUES (1, 1)",
        "DELETE FROM changegate.originals",
        "UPDATE changegate.leaves SET salt = NULL",
    ] {
        assert!(database.try_sql(&format!("SET ROLE changegate; {by_hand}")).is_err(), "{by_hand}");
    }
    // Not even the owner, without the row that only the function has.
    let owner = database.try_sql("UPDATE changegate.changes SET patch = NULL WHERE seq = 4");
    assert!(owner.is_err(), "{owner:?}");
    folder.write("changegate.toml", &config);
    let erased = erase(folder.path(), &[&target]);
    assert_eq!(erased.code, 0, "{erased:?}");
    assert_eq!(verified(folder.path()), sound());
}
