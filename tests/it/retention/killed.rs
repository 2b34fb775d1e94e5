//! A gateway that is killed while it prunes under load: nothing that is left names what is gone, no
//! call has waited for it, and the file shrinks.

use std::path::Path;
use std::time::Duration;

use changegate::base::clock::Clock;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::{nothing_is_orphaned, open, verify};
use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::dice::{Dice, given, seed};
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::{eventually, say};

const RETENTION: &str = "[retention]\nmax_age = '30d'\n";

/// How many old changes there are; `CHANGEGATE_RECORDS` makes it more.
pub(crate) const RECORDS: u64 = 3_000;

/// How often it is killed at most.
const ROUNDS: usize = 30;

/// The longest that a call may take on a machine that has much else to do.
const CALL_MAX: Duration = Duration::from_secs(3);

/// Fills a log whose first change is one of today: old changes of the same deployment, each with a
/// document that the next one shares, with places and a rule; and old events. `before` stands
/// before the names of tables, and `ids` makes an id of a number.
fn old_records(records: u64, before: &str, ids: &str) -> String {
    let at = Clock::System.now().millis() - 400 * 86_400_000;
    let columns = "upstream, policy, node, operation, deployment, actor_fingerprint, actor_name, \
        actor_team, client_ip, user_agent, decided_at, decision, standing, patch, body_bytes, \
        body_digest, redacted, method, unkept";
    let rows = format!(
        "WITH RECURSIVE more (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < {records})"
    );
    let first = format!("(SELECT min(seq) FROM {before}ends)");
    format!(
        "INSERT INTO {before}snapshots (number, digest, base, depth, body) {rows} \
         SELECT n + 1000000, digest, NULL, 0, body FROM {before}snapshots, more \
         WHERE number = (SELECT min(number) FROM {before}snapshots); \
         INSERT INTO {before}changes \
         (seq, id, request_id, received_at, before, violations, {columns}) {rows} \
         SELECT n, {ids}, 'req', {at} + n * 1000, n + 1000000, \
         '[{{\"rule\":\"rule-' || (n % 3) || '\",\"enforcement\":\"warn\",\"path\":\"/name\",' \
             || '\"message\":\"m\"}}]', {columns} \
         FROM {before}changes, more WHERE seq = 1; \
         INSERT INTO {before}ends (seq, outcome, completed_at, after, touched) {rows} \
         SELECT n, 'applied', {at} + n * 1000 + 1, CASE WHEN n < {records} THEN n + 1000001 END, \
         touched FROM {before}ends, more WHERE seq = {first}; \
         INSERT INTO {before}touched (place, kind, seq) {rows} \
         SELECT place, kind, n FROM {before}touched, more WHERE seq = {first}; \
         INSERT INTO {before}events (at, kind, detail) {rows} \
         SELECT {at} + n, 'other_write', '{{}}' FROM more;"
    )
}

async fn count(log: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(log).await.unwrap()
}

/// Runs a gateway without a load until all that is old is counted.
async fn counted(folder: &Folder, until: impl AsyncFn() -> bool) {
    let config = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    folder.write("changegate.toml", &config.replace(RETENTION, ""));
    let program = folder.serve().await;
    eventually("the count of all", async || until().await.then_some(())).await;
    program.kill();
    folder.write("changegate.toml", &config);
}

/// The longest of some calls beside the load.
async fn slowest(load: &Load, program: &Program, for_so_long: Duration) -> Duration {
    let begun = Clock::System.instant();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < for_so_long {
        let sent = Clock::System.instant();
        assert_eq!(load.one(program.proxy).await.status, 200);
        slowest = slowest.max(sent.elapsed());
    }
    slowest
}

/// A folder whose gateway is not running, and whose log has many old changes.
pub(crate) async fn with_old_records(load: &Load, records: u64) -> Folder {
    let folder = Folder::new(load.simulator.address(), RETENTION);
    let program = folder.serve().await;
    load.once(program.proxy).await;
    program.kill();
    let database = folder.path().join("log.db");
    let mut log = open(&database).await;
    // Behind those of the first calls, which have the first places.
    let sql = old_records(records, "", "unhex(printf('%032x', n))");
    let sql = sql.replace("SELECT 2 UNION", "SELECT 4 UNION");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut log).await.unwrap();
    counted(&folder, async || {
        let mut log = open(&database).await;
        count(&mut log, "SELECT coalesce(max(seq), 0) FROM counted").await >= records.cast_signed()
            && count(&mut log, "SELECT count(*) FROM leaves WHERE hash IS NULL").await == 0
    })
    .await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut log).await.unwrap();
    log.close().await.unwrap();
    folder
}

/// The same with a log in PostgreSQL.
pub(crate) async fn with_old_records_at(
    load: &Load,
    records: u64,
    database: &TestDatabase,
) -> Folder {
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let folder = Folder::new(load.simulator.address(), RETENTION);
    folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
    let program = folder.serve().await;
    load.once(program.proxy).await;
    program.kill();
    let sql = old_records(records, "changegate.", "decode(lpad(to_hex(n), 32, '0'), 'hex')");
    database.sql(&sql.replace("SELECT 2 UNION", "SELECT 4 UNION"));
    database.sql(&format!("SELECT setval('changegate.changes_seq', {records})"));
    counted(&folder, async || {
        let counted = database.sql("SELECT coalesce(max(seq), 0) FROM changegate.counted");
        counted.trim().parse::<u64>().unwrap() >= records
    })
    .await;
    folder
}

#[tokio::test]
async fn a_prune_by_hand_gives_the_room_back() {
    let records = given("CHANGEGATE_RECORDS").unwrap_or(RECORDS);
    let load = Load::new(3);
    let folder = with_old_records(&load, records).await;
    let database = folder.path().join("log.db");
    let before = std::fs::metadata(&database).unwrap().len();
    let begun = Clock::System.instant();
    let prune = ["audit", "prune", "--older-than", "30d", "--config", "changegate.toml"];
    let ran = run(folder.path(), &prune);
    assert_eq!(ran.code, 0, "{ran:?}");
    let (after, took) = (std::fs::metadata(&database).unwrap().len(), begun.elapsed());
    say(&format!("{records} changes: {before} bytes before, {after} after, in {took:?}"));
    // The leaves stay.
    assert!(after < before / 2, "{before} {after}");
    nothing_is_orphaned(&mut open(&database).await).await;
    assert_eq!(verify(folder.path()), (0, vec!["sound".to_owned()]));
}

#[tokio::test]
async fn a_kill_while_it_prunes_leaves_nothing_that_names_what_is_gone() {
    let records = given("CHANGEGATE_RECORDS").unwrap_or(RECORDS);
    let load = Load::new(3);
    let folder = with_old_records(&load, records).await;
    let database = folder.path().join("log.db");
    let mut dice = Dice::of(seed(), "retention");
    let (mut left, mut rounds, mut longest) = (i64::MAX, 0, Duration::ZERO);
    while left > 0 {
        rounds += 1;
        assert!(rounds <= ROUNDS, "{left} are left");
        let program = folder.serve().await;
        let mut calls = load.begin(program.proxy);
        longest = longest.max(slowest(&load, &program, dice.millis(300, 1_500)).await);
        program.kill();
        calls.shutdown().await;
        folder.check_file().await;
        let mut log = open(&database).await;
        nothing_is_orphaned(&mut log).await;
        left = count(&mut log, "SELECT count(*) FROM changes WHERE request_id = 'req'").await - 1;
        log.close().await.unwrap();
    }
    say(&format!("{rounds} kills while {records} went; the longest call took {longest:?}"));
    assert!(longest < CALL_MAX, "{longest:?}");
    let program = folder.serve().await;
    eventually("the room of what went", async || {
        let mut log = open(&database).await;
        let free = count(&mut log, "SELECT freelist_count FROM pragma_freelist_count").await;
        (free <= 300).then_some(())
    })
    .await;
    program.kill();
    assert_eq!(verify(folder.path()), (0, vec!["sound".to_owned()]));
    load.check_beside(&folder, "req");
}

#[tokio::test]
async fn a_kill_while_it_prunes_leaves_postgresql_whole() {
    let Some(database) = TestDatabase::new() else { return };
    let records = given("CHANGEGATE_RECORDS").unwrap_or(RECORDS / 2);
    let load = Load::new(3);
    let folder = with_old_records_at(&load, records, &database).await;
    let mut dice = Dice::of(seed(), "retention in PostgreSQL");
    let old = "SELECT count(*) FROM changegate.changes WHERE request_id = 'req'";
    let mut rounds = 0;
    while database.sql(old).trim().parse::<u64>().unwrap() > 1 {
        rounds += 1;
        assert!(rounds <= ROUNDS, "{} are left", database.sql(old));
        let program = folder.serve().await;
        let mut calls = load.begin(program.proxy);
        tokio::time::sleep(dice.millis(500, 2_000)).await;
        program.kill();
        calls.shutdown().await;
        for torn in [
            "changegate.ends WHERE seq NOT IN (SELECT seq FROM changegate.changes)",
            "changegate.touched WHERE seq NOT IN (SELECT seq FROM changegate.changes)",
            "changegate.broken WHERE seq NOT IN (SELECT seq FROM changegate.changes)",
            "changegate.changes WHERE before NOT IN (SELECT number FROM changegate.snapshots)",
            "changegate.ends WHERE after NOT IN (SELECT number FROM changegate.snapshots)",
            "changegate.snapshots WHERE base NOT IN (SELECT number FROM changegate.snapshots)",
            "changegate.snapshots WHERE number NOT IN (SELECT before FROM changegate.changes \
             WHERE before IS NOT NULL) AND number NOT IN (SELECT after FROM changegate.ends \
             WHERE after IS NOT NULL)",
            "changegate.pruning",
        ] {
            let found = database.sql(&format!("SELECT count(*) FROM {torn}"));
            assert_eq!(found.trim(), "0", "{torn}");
        }
    }
    say(&format!("{rounds} kills while {records} went"));
    let (code, words) = verify(folder.path());
    assert_eq!((code, words), (0, vec!["sound".to_owned()]));
}
