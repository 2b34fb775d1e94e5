//! A log that can't be written: nothing that may change a deployment passes it by.

use std::path::Path;
use std::time::{Duration, Instant};

use changegate::simulator::Fault;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::world::{Call, DEPLOYMENT, Setup, World, call, eventually, world};

const API: &str = "/api/v1/cloud";

/// Another program that has the database for itself, until it is let go.
pub(crate) struct Hog(SqliteConnection);

impl Hog {
    pub(crate) async fn take(database: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(database);
        let mut connection = options.busy_timeout(Duration::from_secs(5)).connect().await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    pub(crate) async fn let_go(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}

async fn readiness(world: &World) -> (u16, Value) {
    let answer = call(world.admin(), Call::get("/readyz")).await;
    (answer.status.as_u16(), answer.json())
}

async fn unready(world: &World) -> Value {
    eventually("a 503 of /readyz", async || {
        let (status, body) = readiness(world).await;
        (status == 503).then_some(body)
    })
    .await
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_forwarded_and_reads_pass() {
    let world = world().await;
    let ids = world.seed(3);
    assert_eq!(world.update(&json!({"name": "before"})).await.status, 200);
    assert_eq!(readiness(&world).await.0, 200);
    let hog = Hog::take(&world.database()).await;

    let path = |id: &str| format!("{API}/deployments/{id}");
    let denied = json!({"metadata": {"owner_override": "x"}});
    let writes = [
        Call::post(&path(DEPLOYMENT)).json(&json!({"name": "during"})),
        Call::post(&path(&ids[0])).json(&denied),
        Call::post(&path(&ids[1])).body("no JSON"),
        Call::post(&format!("{}/archive", path(&ids[2]))),
    ];
    let writes = writes.map(|write| tokio::spawn(call(world.proxy(), write)));
    let read = call(world.proxy(), Call::get(&path(DEPLOYMENT))).await;
    assert_eq!((read.status.as_u16(), &read.json()["name"]), (200, &json!("before")));
    for write in writes {
        let answer = write.await.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "api_error");
        assert!(answer.text().contains("nothing was forwarded"));
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("changegate-change"), None);
    }
    assert!(unready(&world).await["reason"].as_str().unwrap().contains("locked"));
    assert_eq!(world.writes_received(), 1);
    assert!(ids.iter().all(|id| world.simulator().state().writes(id).received == 0));
    // What was recorded can still be read, and so can upstream.
    assert_eq!(world.changes().await.len(), 1);
    assert_eq!(call(world.proxy(), Call::get(&format!("{API}/agents"))).await.status, 200);

    hog.let_go().await;
    let free = Instant::now();
    eventually("the end of the fault", async || (readiness(&world).await.0 == 200).then_some(()))
        .await;
    let answer = world.update(&json!({"name": "after"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(free.elapsed() < Duration::from_secs(5), "{:?}", free.elapsed());
    let change = world.change_of(&answer).await;
    assert_eq!(
        (&change["outcome"], &change["before"]["name"]),
        (&json!("applied"), &json!("before"))
    );
}

#[tokio::test]
async fn an_answer_whose_record_waits_goes_out_with_a_warning_and_is_durable_later() {
    let world = Setup::new().config("audit.finish_timeout = 2.5").start().await;
    world.simulator().state().set_faults(["delay-after=400@POST".parse::<Fault>().unwrap()]);
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    let update = Call::post(&path).json(&json!({"name": "unfinished"}));
    let update = tokio::spawn(call(world.proxy(), update));
    let applied = || world.simulator().state().writes(DEPLOYMENT).applied == 1;
    eventually("the write", async || applied().then_some(())).await;
    let hog = Hog::take(&world.database()).await;

    let answer = update.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["name"], "unfinished");
    let warning = answer.header("warning").expect("a warning");
    assert!(warning.starts_with("299 changegate \"") && warning.contains("record"), "{warning}");
    assert_eq!(readiness(&world).await.0, 503);
    assert_eq!(world.change_of(&answer).await["outcome"], "pending");

    hog.let_go().await;
    eventually("the completion", async || {
        (world.change_of(&answer).await["outcome"] == "applied").then_some(())
    })
    .await;
    let change = world.change_of(&answer).await;
    assert_eq!(
        (&change["effect"], &change["after"]["name"]),
        (&json!("exact"), &json!("unfinished"))
    );
    eventually("the end of the fault", async || (readiness(&world).await.0 == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_completion_that_waits_outlives_the_end_of_the_gateway() {
    let world = Setup::new().config("audit.finish_timeout = 0.1").start().await;
    world.simulator().state().set_faults(["delay-after=300@POST".parse::<Fault>().unwrap()]);
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    let update = Call::post(&path).json(&json!({"name": "last"}));
    let update = tokio::spawn(call(world.proxy(), update));
    let applied = || world.simulator().state().writes(DEPLOYMENT).applied == 1;
    eventually("the write", async || applied().then_some(())).await;
    let database = world.database();
    let hog = Hog::take(&database).await;
    assert!(update.await.unwrap().header("warning").is_some());
    let ending = tokio::spawn(world.end());
    hog.let_go().await;
    let _folder = ending.await.unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
    let outcome = sqlx::query_scalar("SELECT outcome FROM ends").fetch_one(&mut connection);
    let outcome: String = outcome.await.unwrap();
    assert_eq!(outcome, "applied");
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_removed() {
    let world = world().await;
    assert_eq!(world.update(&json!({"name": "one"})).await.status, 200);
    let (database, aside) = (world.database(), world.folder.path().join("aside.db"));
    std::fs::rename(&database, &aside).unwrap();
    let answer = world.update(&json!({"name": "two"})).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(world.writes_received(), 1);
    assert_eq!(readiness(&world).await.0, 503);
    assert!(!database.exists(), "an empty log took the place of the one that was removed");

    std::fs::rename(&aside, &database).unwrap();
    eventually("the end of the fault", async || (readiness(&world).await.0 == 200).then_some(()))
        .await;
    assert_eq!(world.update(&json!({"name": "three"})).await.status, 200);
    assert_eq!(world.changes().await.len(), 2);
}

#[tokio::test]
async fn a_log_that_is_moved_away_is_missed_without_traffic() {
    let world = world().await;
    let (database, aside) = (world.database(), world.folder.path().join("aside.db"));
    std::fs::rename(&database, &aside).unwrap();
    unready(&world).await;
    std::fs::rename(&aside, &database).unwrap();
    eventually("the end of the fault", async || (readiness(&world).await.0 == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_file_put_in_the_logs_place_is_not_taken_over() {
    let world = world().await;
    assert_eq!(world.update(&json!({"name": "one"})).await.status, 200);
    let (database, aside) = (world.database(), world.folder.path().join("aside.db"));
    let backup = format!("VACUUM INTO '{}'", world.folder.path().join("backup.db").display());
    let mut connection = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(backup)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    world.simulator().state().set_faults(["delay-after=400@POST".parse::<Fault>().unwrap()]);
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    let update = Call::post(&path).json(&json!({"name": "two"}));
    let update = tokio::spawn(call(world.proxy(), update));
    let applied = || world.simulator().state().writes(DEPLOYMENT).applied == 2;
    eventually("the write", async || applied().then_some(())).await;
    std::fs::rename(&database, &aside).unwrap();
    std::fs::rename(world.folder.path().join("backup.db"), &database).unwrap();

    // Its end is not in the log that it was begun in, and is not told to be.
    let reason = unready(&world).await["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("-wal"), "{reason}");
    let answer = world.update(&json!({"name": "three"})).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let begun = update.await.unwrap();
    assert_eq!((begun.status.as_u16(), begun.header("warning").is_some()), (200, true));

    std::fs::rename(&aside, &database).unwrap();
    eventually("the completion", async || {
        (world.change_of(&begun).await["outcome"] == "applied").then_some(())
    })
    .await;
}
