use serde_json::{Value, json};

use super::*;
use crate::audit::entry::{Ending, Opening, Snapshot};
use crate::audit::query::Filter;
use crate::audit::record::{Actor, Client, Event, EventKind, Intent, Outcome, Ruling, Settlement};
use crate::ids::{ChangeId, Fingerprint, RequestId};
use crate::provider::Operation;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn opening(patch: &Value) -> Opening {
    let intent = Intent {
        id: ChangeId::new(NOW),
        provider: "qoder-cn",
        operation: Operation::Update,
        deployment_id: Some("dep_1".to_owned()),
        actor: Actor { fingerprint: Fingerprint::from_bytes([1; 8]), name: None, team: None },
        client: Client { ip: "::1".to_owned(), user_agent: None },
        request_id: RequestId::random(),
        received_at: NOW,
        ruling: Ruling::Allow,
        violations: Vec::new(),
        standing: Vec::new(),
        patch: None,
        refused_body: None,
        before: None,
        policy_digest: "p".to_owned(),
        token: crate::key::Token::new("pt-0123456789"),
    };
    let request_id = intent.request_id.to_string();
    let patch = Some(Snapshot::of(patch).unwrap());
    Opening { intent, request_id, patch, before: None, redacted: Vec::new() }
}

fn whole(outcome: Outcome, paths: &[&str]) -> Entry {
    let opening = opening(&json!({"name": "n"}));
    let mut ending = Ending::bare(opening.intent.id, outcome, NOW);
    ending.paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Entry::Whole(Box::new(opening), Box::new(ending))
}

fn event() -> Entry {
    Entry::Happening(Box::new(Event {
        at: NOW,
        kind: EventKind::Reload,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: json!({}),
    }))
}

/// A log with one pending, one failed, one unknown and settled change, and one event.
async fn filled(database: &Path) -> Writes {
    let mut store = Writes::open(database).await.unwrap();
    let entries = [
        Entry::Opening(Box::new(opening(&json!({"name": "n"})))),
        whole(Outcome::Failed, &[]),
        whole(Outcome::Unknown, &[]),
        Entry::Settling(3, Settlement { by: "answer".to_owned(), at: NOW, applied: None }),
        event(),
    ];
    let entries: Vec<&Entry> = entries.iter().collect();
    assert!(store.write(&entries).await.unwrap().iter().all(Result::is_ok));
    store
}

#[tokio::test]
async fn the_tables_refuse_what_the_log_must_not_suffer() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let store = filled(&database).await;
    let refused = [
        ("UPDATE changes SET outcome = 'applied' WHERE seq = 2", "ends once"),
        ("UPDATE changes SET completed_at = 1 WHERE seq = 2", "ends once"),
        ("UPDATE changes SET request_id = 'x' WHERE seq = 1", "intent"),
        (
            "UPDATE changes SET outcome = 'failed', completed_at = 1, request_id = 'x' \
             WHERE seq = 1",
            "intent",
        ),
        ("UPDATE changes SET deployment_id = deployment_id WHERE seq = 1", "ends once"),
        ("UPDATE changes SET outcome = 'failed' WHERE seq = 1", "CHECK"),
        ("UPDATE changes SET outcome = 'denied', completed_at = 1 WHERE seq = 1", "CHECK"),
        ("UPDATE snapshots SET body = x'00'", "never altered"),
        ("UPDATE settlements SET applied = 1", "never altered"),
        ("UPDATE events SET at = 1", "never altered"),
        ("INSERT INTO settlements VALUES (2, 'answer', 1, 1)", "unknown outcome"),
        ("DELETE FROM changes WHERE seq = 1", "only pruning"),
        ("DELETE FROM snapshots", "only pruning"),
        ("DELETE FROM settlements", "only pruning"),
        ("DELETE FROM events", "only pruning"),
    ];
    for (sql, reason) in refused {
        let error = interfere(&database, sql).await.unwrap_err();
        assert!(error.contains(reason), "{sql}: {error}");
    }
    let pruned = "BEGIN; INSERT INTO pruning VALUES (1, 1); DELETE FROM settlements; \
        DELETE FROM changes WHERE seq > 1; DELETE FROM events; DELETE FROM pruning; COMMIT";
    interfere(&database, pruned).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_is_synced_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let connection = store.ready().await.unwrap();
    let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode");
    assert_eq!(mode.fetch_one(&mut *connection).await.unwrap(), "wal");
    let full = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
    assert_eq!(full.fetch_one(&mut *connection).await.unwrap(), 2);
}

#[tokio::test]
async fn a_document_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    let mut connection = options(&database).connect().await.unwrap();
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM snapshots");
    assert_eq!(count.fetch_one(&mut connection).await.unwrap(), 1);
}

#[tokio::test]
async fn ending_a_change_twice_keeps_the_first_end() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = Writes::open(&database).await.unwrap();
    let opened = opening(&json!({}));
    let id = opened.intent.id;
    let end = |outcome| Entry::Ending(Box::new(Ending::bare(id, outcome, NOW)));
    let entries = [Entry::Opening(Box::new(opened)), end(Outcome::Failed), end(Outcome::Unknown)];
    let entries: Vec<&Entry> = entries.iter().collect();
    assert!(store.write(&entries).await.unwrap().iter().all(Result::is_ok));
    let change = Reads::of(&database).change(id).await.unwrap().unwrap();
    assert_eq!(change.outcome, Outcome::Failed);
}

#[tokio::test]
async fn the_rows_beside_a_refused_one_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let bad = Settlement { by: "answer".to_owned(), at: NOW, applied: None };
    let entries = [event(), Entry::Settling(2, bad), event()];
    let entries: Vec<&Entry> = entries.iter().collect();
    let answers = store.write(&entries).await.unwrap();
    assert!(matches!(answers[..], [Ok(()), Err(Fault::Refused(_)), Ok(())]), "{answers:?}");
}

#[tokio::test]
async fn the_path_filter_finds_a_place_and_what_is_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = Writes::open(&database).await.unwrap();
    let entries = [
        whole(Outcome::Failed, &["/name", "/schedule/expression"]),
        whole(Outcome::Failed, &["/schedule"]),
        whole(Outcome::Failed, &["/schedules", "/Schedule/x", "/a_b"]),
    ];
    let entries: Vec<&Entry> = entries.iter().collect();
    store.write(&entries).await.unwrap();
    let reads = Reads::of(&database);
    let cases: [(&str, &[i64]); 4] =
        [("/schedule", &[2, 1]), ("/schedule/expression", &[1]), ("/aXb", &[]), ("/a_b", &[3])];
    for (path, expected) in cases {
        let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
        let found = reads.changes(&filter, i64::MAX, 10, false).await.unwrap();
        assert_eq!(found.iter().map(|change| change.seq).collect::<Vec<_>>(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    store.connection = None;
    store.suspect = true;
    store.probe(NOW).await.unwrap();
    assert!(!store.suspect && store.connection.is_some());
    store.checkpoint().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_the_log() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
