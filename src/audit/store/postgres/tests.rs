//! The writing side, on a throw-away server.

mod reading;
mod turns;

use serde_json::json;

use super::*;
use crate::audit::entry::{CompletionRow, Entry};
use crate::audit::record::Outcome;
use crate::audit::store::samples::{NOW, PREPARATION, event, opening, whole};
use crate::audit::store::test_server::TestDatabase;
use crate::audit::store::{Preparation, StoreError};
use crate::base::database::{Database, PostgresUrl};
use crate::base::key::KeyId;

/// A log of a gateway's role, made by its owner.
struct Log {
    database: TestDatabase,
    url: PostgresUrl,
}

impl Log {
    /// An empty one. `None` where there is no server.
    async fn new() -> Option<Self> {
        let database = TestDatabase::new()?;
        migrate(&url(&database.url())).await.unwrap();
        let url = url(&database.url().replacen("postgres@", "changegate@", 1));
        Some(Self { database, url })
    }

    fn writer(&self) -> Writer {
        self.writer_of("main")
    }

    fn writer_of(&self, node: &str) -> Writer {
        Writer::of(&self.url).named(&node.into())
    }

    /// Ends the sessions of all gateways, as a server that shuts down does.
    fn end_sessions(&self) {
        self.database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE usename = 'changegate' AND datname = current_database()",
        );
    }

    async fn opened(&self) -> Writes {
        Writes::open(self.writer(), PREPARATION).await.unwrap()
    }
}

fn url(text: &str) -> PostgresUrl {
    match Database::parse(text) {
        Ok(Database::Postgres(url)) => *url,
        other => panic!("{text}: {other:?}"),
    }
}

fn intent() -> Entry {
    Entry::Intent(Box::new(opening(&json!({"name": "n"}))))
}

fn end_of(opened: &Entry, outcome: Outcome) -> Entry {
    Entry::Completion(Box::new(CompletionRow::bare(opened.id().unwrap(), outcome, NOW)))
}

#[tokio::test]
async fn a_batch_is_written_whole_or_entry_by_entry() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    let (open, done) = (intent(), whole(Outcome::Applied, &["/name", "/schedule/timezone"]));
    let answers = writes.write(&[&open, &done, &event()]).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let twice = [&open, &event(), &end_of(&open, Outcome::Rejected)];
    let answers = writes.write(&twice).await.unwrap();
    assert!(matches!(answers[..], [Err(StoreError::Refused(_)), Ok(_), Ok(_)]), "{answers:?}");
    // Again, as after an answer that was lost.
    writes.write(&[&end_of(&open, Outcome::Failed)]).await.unwrap()[0].as_ref().unwrap();
    let ends = "SELECT c.seq, e.outcome, n.name, e.swept FROM changegate.changes c \
        JOIN changegate.nodes n ON n.number = c.node JOIN changegate.ends e ON e.seq = c.seq \
        ORDER BY 1";
    assert_eq!(log.database.sql(ends), "1|rejected|main|f\n2|applied|main|f");
    assert_eq!(log.database.sql("SELECT count(*) FROM changegate.events"), "2");
    assert_eq!(log.database.sql("SELECT count(*) FROM changegate.pending"), "0");
    assert_eq!(log.database.sql("SELECT count(*) FROM changegate.touched"), "3");
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_written_once() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    writes.write(&[&event()]).await.unwrap();
    // The server ends the session, and it takes that long until it answers again.
    for _ in 0..3 {
        log.end_sessions();
        let answers = writes.write(&[&event()]).await.unwrap();
        assert!(answers[0].is_ok(), "{answers:?}");
    }
    assert_eq!(log.database.sql("SELECT count(*) FROM changegate.events"), "4");
    // As one that arrives once more.
    let again = format!(
        "SELECT former FROM changegate.write_v1('{}', {}, 'main', \
         '{{\"events\": [{{\"at\": 1, \"kind\": \"x\", \"detail\": \"{{}}\"}}]}}')",
        writes.process(),
        4
    );
    log.database.sql(&again);
    assert_eq!(log.database.sql("SELECT count(*) FROM changegate.events"), "4");
}

#[tokio::test]
async fn a_log_of_another_key_is_not_written() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    writes.write(&[&event()]).await.unwrap();
    let another = Preparation { key: Some(KeyId::from_bytes([9; 8])), at: NOW };
    let refused = Writes::open(log.writer(), another).await.unwrap_err().to_string();
    assert!(refused.contains("another key (key_0303030303030303)"), "{refused}");
    let first = writes.change_key(PREPARATION.key, KeyId::from_bytes([9; 8]), NOW).await.unwrap();
    assert_eq!(first, 1);
    Writes::open(log.writer(), another).await.unwrap();
}

#[tokio::test]
async fn the_gateways_role_and_the_owner_alter_nothing() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    let open = intent();
    writes.write(&[&open, &whole(Outcome::Applied, &["/name"]), &event()]).await.unwrap();
    for table in ["changes", "ends", "events", "touched", "places", "nodes", "keys", "policies"] {
        for statement in ["DELETE FROM", "TRUNCATE"] {
            for by in ["SET ROLE changegate", "SET session_replication_role = replica"] {
                let text = format!("{by}; {statement} changegate.{table}");
                let refused = log.database.try_sql(&text).unwrap_err();
                let is_refused = refused.contains("only pruning deletes")
                    || refused.contains("is never")
                    || refused.contains("permission denied");
                assert!(is_refused, "{text}: {refused}");
            }
        }
    }
    for text in [
        "UPDATE changegate.changes SET decision = 'deny'",
        "UPDATE changegate.ends SET outcome = 'failed'",
        "UPDATE changegate.pending SET token = 1",
        "DELETE FROM changegate.pending",
    ] {
        log.database.try_sql(text).unwrap_err();
    }
}

#[tokio::test]
async fn erasing_takes_bodies_and_words_and_alters_nothing_else() {
    let Some(log) = Log::new().await else { return };
    let mut writes = log.opened().await;
    writes.write(&[&whole(Outcome::Applied, &["/name"]), &event()]).await.unwrap();
    for (sql, is_taken) in [
        ("UPDATE changegate.changes SET patch = NULL", true),
        ("UPDATE changegate.changes SET patch = ''", false),
        ("UPDATE changegate.changes SET decision = 'deny'", false),
        ("UPDATE changegate.changes SET violations = '[{\"rule\":\"a\"}]'", false),
        ("UPDATE changegate.changes SET redacted = '[\"/patch\"]'", false),
        ("UPDATE changegate.ends SET after = NULL, unkept = '{}'", true),
        ("UPDATE changegate.ends SET outcome = 'failed'", false),
        ("UPDATE changegate.ends SET reason = '{\"status\":1}'", false),
        ("UPDATE changegate.events SET detail = '{\"erased\":true}'", false),
        ("UPDATE changegate.events SET at = 9", false),
    ] {
        let text = format!("BEGIN; INSERT INTO changegate.pruning VALUES (1, 1); {sql}; ROLLBACK");
        let done = log.database.try_sql(&text);
        assert_eq!(done.is_ok(), is_taken, "{sql}: {done:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_fit_is_told_with_its_fix() {
    let Some(database) = TestDatabase::new() else { return };
    let url = url(&database.url());
    let told = |error: Option<sqlx::Error>| error.unwrap().to_string();
    let missing = told(link::connect(&url).await.err());
    assert!(missing.contains("changegate migrate --database URL"), "{missing}");
    let first = migrate(&url).await.unwrap();
    assert_eq!(first.migrations, [(1, "log")]);
    assert_eq!(migrate(&url).await.unwrap().migrations, []);
    link::connect(&url).await.unwrap();
    database.sql("INSERT INTO changegate.migrations VALUES (7, 'later', 1)");
    link::connect(&url).await.unwrap();
    database.sql("INSERT INTO changegate.migrations VALUES (8, 'later', 8)");
    let newer = told(link::connect(&url).await.err());
    assert!(newer.contains("run a newer one"), "{newer}");
    database.sql("DELETE FROM changegate.migrations WHERE version > 1");
    database.sql("ALTER TABLE changegate.changes ENABLE ROW LEVEL SECURITY");
    let gateway = PostgresUrl { user: "changegate".to_owned(), ..url.clone() };
    let hidden = told(link::connect(&gateway).await.err());
    assert!(hidden.contains("row security"), "{hidden}");
}
