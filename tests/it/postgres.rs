//! A log in PostgreSQL.

#[path = "../servers/pair.rs"]
pub(crate) mod pair;
#[path = "../servers/pooler.rs"]
pub(crate) mod pooler;
#[path = "../servers/postgres.rs"]
pub(crate) mod server;

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};

use self::server::TestDatabase;
use crate::evidence::{Forgery, Way};
use crate::world::command::{Ran, run};
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Call, DEPLOYMENT, call, eventually, say};

#[test]
fn each_test_has_a_database_of_its_own_that_flushes() {
    let (Some(one), Some(other)) = (TestDatabase::new(), TestDatabase::new()) else { return };
    one.sql("CREATE TABLE changes (seq bigint)");
    assert_eq!(other.sql("SELECT to_regclass('changes') IS NULL, 2"), "t|2");
    assert_eq!(one.sql("SHOW fsync"), "on");
    assert_ne!(one.url(), other.url());
    assert!(one.try_sql("SELECT absent").unwrap_err().contains("does not exist"));
}

/// A gateway on a log of its own in PostgreSQL, with a deployment.
struct One {
    load: Load,
    folder: Folder,
    program: Program,
    database: TestDatabase,
}

impl One {
    /// `None` without a PostgreSQL.
    async fn start() -> Option<Self> {
        let database = TestDatabase::new()?;
        let load = Load::new(1);
        let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
        assert_eq!(made.code, 0, "{made:?}");
        let url = database.url().replace("//postgres@", "//changegate@");
        let more = "[evidence]\ninterval = '1s'\n";
        let folder = Folder::new(load.simulator.address(), more);
        folder.keep_log_at(&url);
        let program = folder.serve().await;
        Some(Self { load, folder, program, database })
    }

    /// Changes of every end, and the id of the deployment.
    async fn change(&self) -> String {
        for _ in 0..3 {
            assert_eq!(self.load.one(self.program.proxy).await.status, 200);
        }
        let listed = self.program.ask("/api/v1/deployments").await;
        let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/cloud/deployments/{id}");
        let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
        for (body, status) in [(json!({"schedule": zone}), 403), (json!({"name": 7}), 400)] {
            let answer = call(self.program.proxy, Call::post(&path).json(&body)).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
        id
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(self.folder.path(), arguments)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_reads_a_log_in_postgresql() {
    let Some(one) = One::start().await else { return };
    let id = one.change().await;
    let found = one.program.ask("/api/v1/changes?decision=deny").await;
    assert_eq!(found["data"][0]["violations"][0]["rule"], "timezones", "{found}");
    let denied = found["data"][0]["id"].as_str().unwrap().to_owned();
    for (question, count) in [
        ("changes", 5),
        ("changes?q=EUROPE", 1),
        ("changes?path=/name", 3),
        ("changes?rule=timezones", 1),
        ("changes?outcome=applied&limit=2", 2),
    ] {
        let found = one.program.ask(&format!("/api/v1/{question}")).await;
        assert_eq!(found["data"].as_array().map(Vec::len), Some(count), "{question}: {found}");
    }
    for command in [
        vec!["audit", "list"],
        vec!["audit", "list", "--events"],
        vec!["audit", "list", "--json", "--all"],
        vec!["audit", "show", &denied],
        vec!["audit", "history", &id],
        vec!["audit", "at", &id, "2100-01-01"],
        vec!["audit", "blame", &id],
        vec!["audit", "export", "--format", "jsonl"],
        vec!["audit", "deployments"],
        vec!["policy", "replay", "--json"],
    ] {
        let ran = one.run(&command);
        assert_eq!(ran.code, 0, "{command:?}: {ran:?}");
        assert!(!ran.out.is_empty(), "{command:?}: {ran:?}");
    }
    let replay: Value =
        serde_json::from_str(&one.run(&["policy", "replay", "--json"]).out).unwrap();
    assert_eq!(replay["changes"], 5, "{replay}");
    let backup = one.run(&["backup", "copy.db"]);
    assert_ne!(backup.code, 0);
    assert!(backup.err.contains("pg_dump"), "{backup:?}");
    assert!(!one.folder.path().join("copy.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_serves_a_policy_to_its_gateways_and_a_file_wins() {
    let Some(one) = One::start().await else { return };
    let path = format!("/api/v1/cloud/deployments/{}", one.change().await);
    let digest = async |program: &Program| program.ask("/readyz").await["policy_digest"].clone();
    let own = digest(&one.program).await;

    let other = Folder::new(one.load.simulator.address(), "");
    let text = std::fs::read_to_string(one.folder.path().join("changegate.toml")).unwrap();
    let without = text.replace("policy.file = 'policy.toml'\n", "node.name = 'other'\n");
    other.write("changegate.toml", &without);
    std::fs::copy(one.folder.path().join("key"), other.path().join("key")).unwrap();
    let program = other.serve().await;
    let update = async |zone: &str| {
        let schedule = json!({"type": "cron", "expression": "0 9 * * *", "timezone": zone});
        call(program.proxy, Call::post(&path).json(&json!({"schedule": schedule}))).await.status
    };
    assert_eq!(update("Europe/Paris").await, 200, "nothing is forbidden yet");

    other.write("pushed.toml", "[timezones]\nallowed = ['Asia/Shanghai']\n");
    let push = ["policy", "push", "pushed.toml", "--config", "changegate.toml", "--json"];
    let pushed = run(other.path(), &push);
    assert_eq!(pushed.code, 0, "{pushed:?}");
    let told: Value = serde_json::from_str(&pushed.out).unwrap();
    assert_eq!(told["is_new"], true);
    eventually("the pushed policy in force", async || {
        (digest(&program).await == told["policy_digest"]).then_some(())
    })
    .await;
    assert_eq!(update("Europe/Berlin").await, 403);
    assert_eq!(digest(&one.program).await, own, "policy.file wins");
    let event = &one.program.events("policy_push", 1).await[0]["detail"];
    assert_eq!(event["policy_digest"], told["policy_digest"]);
    assert_eq!(event["by"], "changegate");

    let again = run(other.path(), &push);
    assert!(again.out.contains("\"is_new\":false"), "{again:?}");
    other.write("pushed.toml", "[timezones]\nallowed = ['Asia/Shanghai'\n");
    assert_eq!(run(other.path(), &push).code, 2);
    other.write("changegate.toml", "audit.database = 'sqlite://log.db'\n");
    let sqlite = run(other.path(), &push);
    assert!(sqlite.code == 2 && sqlite.err.contains("one gateway"), "{sqlite:?}");
}

/// The words of the findings of `audit verify`.
fn found(ran: &Ran) -> Vec<&str> {
    ran.out.lines().filter_map(|line| line.split_once(": ")).map(|(word, _)| word).collect()
}

/// A log in PostgreSQL that no gateway has any more, and that nothing protects.
pub(crate) struct Forgeable(One);

/// One with changes of every end; `None` without a PostgreSQL.
pub(crate) async fn forgeable() -> Option<Forgeable> {
    let mut one = One::start().await?;
    one.change().await;
    one.program.signal(Signal::TERM);
    assert_eq!(one.program.end().await.code(), Some(0));
    let database = &one.database;
    database.sql(UNPROTECTED);
    database.sql(
        "DO $$ DECLARE c record; BEGIN FOR c IN SELECT conname, conrelid::regclass AS at \
         FROM pg_constraint WHERE connamespace = 'changegate'::regnamespace \
         AND contype IN ('c', 'f') LOOP \
         EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.at, c.conname); END LOOP; \
         FOR c IN SELECT attname, attrelid::regclass AS at FROM pg_attribute a \
         JOIN pg_class t ON t.oid = a.attrelid WHERE t.relnamespace = 'changegate'::regnamespace \
         AND t.relkind = 'r' AND attnum > 0 AND attnotnull AND NOT EXISTS (SELECT FROM pg_index i \
         WHERE i.indrelid = t.oid AND i.indisprimary AND attnum = ANY (i.indkey)) \
         LOOP EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', c.at, c.attname); END LOOP; \
         END $$",
    );
    Some(Forgeable(one))
}

impl Forgeable {
    pub(crate) fn sql(&self, text: &str) -> String {
        self.0.database.sql(text)
    }

    /// Does one thing to a row, has `held` look at what a verification finds, and whether anything
    /// was done, and takes it back.
    pub(crate) fn forge(&self, forgery: &Forgery, held: impl Fn(&Ran, bool, &str)) {
        let Forgery { table, column, rows: (row, other), way } = forgery;
        let table = format!("changegate.{table}");
        let at = |row| format!("(SELECT ctid FROM {table} ORDER BY ctid LIMIT 1 OFFSET {row})");
        let (this, other) = (at(row), at(other));
        let kind = self.sql(&format!(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attname = '{column}'"
        ));
        let altered = match kind.as_str() {
            "bytea" => format!("coalesce(sha256({column}), '\\x07')"),
            "text" => format!("coalesce({column} || 'x', 'x')"),
            "boolean" => format!("NOT coalesce({column}, false)"),
            _number => format!("coalesce({column} + 1000, 7)"),
        };
        let done = match way {
            Way::Alter => format!("UPDATE {table} SET {column} = {altered} WHERE ctid = {this}"),
            Way::Empty => format!("UPDATE {table} SET {column} = NULL WHERE ctid = {this}"),
            Way::Exchange => format!(
                "UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE ctid = {other}) \
                 WHERE ctid = {this}"
            ),
            Way::Delete => format!("DELETE FROM {table} WHERE ctid = {this}"),
        };
        let text = format!(
            "SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} t"
        );
        let before = self.sql(&text);
        self.sql(&format!("CREATE TABLE kept AS TABLE {table}"));
        // What a key forbids is not done.
        let _refused = self.0.database.try_sql(&done);
        let is_same = self.sql(&text) == before;
        let ran = self.0.run(&["audit", "verify", "--config", "changegate.toml"]);
        held(&ran, is_same, &done);
        self.sql(&format!("TRUNCATE {table}; INSERT INTO {table} TABLE kept; DROP TABLE kept"));
        assert_eq!(self.sql(&text), before);
    }
}

/// Takes away what protects a log from its owner.
const UNPROTECTED: &str = "DO $$ DECLARE t record; BEGIN FOR t IN \
    SELECT tgname, tgrelid::regclass AS at FROM pg_trigger WHERE NOT tgisinternal LOOP \
    EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.at); END LOOP; END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_a_log_in_postgresql_has_its_word() {
    let Some(mut one) = One::start().await else { return };
    one.change().await;
    one.program.signal(Signal::TERM);
    assert_eq!(one.program.end().await.code(), Some(0));
    let verify = || one.run(&["audit", "verify", "--config", "changegate.toml"]);
    let ran = verify();
    assert_eq!((ran.code, found(&ran)), (0, vec!["sound"]), "{ran:?}");
    assert!(ran.out.contains("are signed, as of "), "{ran:?}");

    // Each is done to the log as the one before has left it, and taken back.
    let database = &one.database;
    database.sql(UNPROTECTED);
    for (done, undone, expected) in [
        (
            "UPDATE changegate.changes SET client_ip = 'other' || client_ip WHERE seq = 2",
            "UPDATE changegate.changes SET client_ip = substr(client_ip, 6) WHERE seq = 2",
            "altered-record",
        ),
        (
            "UPDATE changegate.leaves SET hash = sha256(hash) WHERE position = 3; \
             CREATE TABLE changegate.kept AS SELECT * FROM changegate.leaves LIMIT 0",
            "DROP TABLE changegate.kept",
            "altered-hash",
        ),
        (
            "CREATE TABLE changegate.kept AS SELECT * FROM changegate.ends WHERE seq = 2; \
             DELETE FROM changegate.ends WHERE seq = 2",
            "INSERT INTO changegate.ends SELECT * FROM changegate.kept; DROP TABLE changegate.kept",
            "missing-record",
        ),
        (
            "CREATE TABLE changegate.kept AS SELECT * FROM changegate.leaves \
                 WHERE kind = 1 AND ref = 2; \
             DELETE FROM changegate.leaves WHERE kind = 1 AND ref = 2",
            "INSERT INTO changegate.leaves SELECT * FROM changegate.kept; \
             DROP TABLE changegate.kept",
            "missing-leaf",
        ),
        ("DELETE FROM changegate.leaves WHERE position > 4", "SELECT 1", "cut-tail"),
    ] {
        database.sql(done);
        let ran = verify();
        assert!(found(&ran).contains(&expected), "{done}: {ran:?}");
        assert_eq!(ran.code, 1, "{done}: {ran:?}");
        database.sql(undone);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_postgresql_is_proven_without_the_log() {
    let Some(one) = One::start().await else { return };
    one.change().await;
    let id = one.program.ask("/api/v1/changes").await["data"][0]["id"].take();
    let id = id.as_str().unwrap().to_owned();
    let prove = || one.run(&["audit", "prove", &id, "--config", "changegate.toml"]);
    let proven = eventually("a proof", async || Some(prove()).filter(|ran| ran.code == 0)).await;
    one.folder.write("bundle", &proven.out);
    let keys = call(one.program.admin, Call::get("/api/v1/log/key")).await.text();
    let key = keys.lines().next().unwrap();
    let ran = one.run(&["audit", "verify", "--bundle", "bundle", "--key", key]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// The transactions of changes on their way whose commits are on disk.
const FLUSHED: &str = "SELECT count(*) FROM changegate.pending p \
    JOIN pg_get_wal_records_info('FROM', pg_current_wal_flush_lsn()) w \
    ON w.xid = p.xmin AND w.record_type = 'COMMIT'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_intent_is_on_disk_when_the_change_reaches_upstream() {
    let Some(database) = TestDatabase::new() else { return };
    if let Err(error) = database.try_sql("CREATE EXTENSION pg_walinspect") {
        return say(&format!("left out: {error}"));
    }
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let url = database.url().replace("//postgres@", "//changegate@");
    let begin = database.sql("SELECT pg_current_wal_flush_lsn()");
    let (flushed, seen) = (FLUSHED.replace("FROM', ", &format!("{begin}', ")), Arc::default());
    let (noted, asked): (Arc<Mutex<Vec<String>>>, _) = (Arc::clone(&seen), Arc::new(database));
    let (log, shown) = (
        Arc::clone(&asked),
        json!({"type": "deployment", "id": DEPLOYMENT,
        "name": "a", "agent": null, "metadata": {}, "schedule": null}),
    );
    let upstream = Recorder::start(move |got| {
        if got.method == "POST" {
            noted.lock().unwrap().push(log.sql(&flushed));
        }
        answer(200, &shown)
    });
    let upstream = upstream.await;
    let folder = Folder::new(upstream.url.strip_prefix("http://").unwrap().parse().unwrap(), "");
    folder.keep_log_at(&url);
    let program = folder.serve().await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    for n in 0..5 {
        let update = Call::post(&path).json(&json!({"name": format!("n{n}")}));
        assert_eq!(call(program.proxy, update).await.status, 200);
    }
    assert_eq!(*seen.lock().unwrap(), ["1"; 5]);
}
