mod faults;
mod reading;

use serde_json::json;

use sqlx::Row as _;

use super::select::DEPLOYMENT_AT;
use super::*;
use crate::audit::document::Document;
use crate::audit::idempotency::IdempotencyKey;
use crate::audit::question::Filter;
use crate::audit::record::{Outcome, Settlement};
use crate::audit::store::samples::{NOW, PREPARATION, event, opening, whole};

/// Opens a log as a start does. The lock's descriptor stays beyond it, as it must.
pub(super) async fn opened(database: &Path) -> Writes {
    let lock = Lock::take(database, NOW).map_err(|error| format!("{error:?}")).unwrap();
    std::mem::forget(lock.descriptor());
    let (store, fault) = Writes::open(lock, PREPARATION).await.unwrap();
    assert!(fault.is_none(), "{fault:?}");
    store
}

/// A log with one pending change that has an idempotency key, one failed, one unknown and settled,
/// and one unknown change, and one event.
async fn filled(database: &Path) -> Writes {
    let mut store = opened(database).await;
    let mut open = opening(&json!({"name": "n"}));
    open.before = Some(Document::of(&json!({"name": "o"})).file(None).unwrap());
    open.intent.idempotency_key = Some(IdempotencyKey { digest: [1; 16], request: [2; 16] });
    let entries = [
        Entry::Intent(Box::new(open)),
        whole(Outcome::Failed, &["/name"]),
        whole(Outcome::Unknown, &[]),
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
        ("UPDATE changes SET request_id = 'x' WHERE seq = 1", "never altered"),
        ("UPDATE changes SET id = id WHERE seq = 1", "never altered"),
        ("UPDATE changes SET deployment = 1 WHERE seq = 1", "never altered"),
        ("UPDATE ends SET outcome = 'applied' WHERE seq = 2", "ends once"),
        ("UPDATE ends SET completed_at = 1 WHERE seq = 2", "ends once"),
        ("INSERT INTO ends (seq, outcome, completed_at) VALUES (1, 'denied', 1)", "decision"),
        ("INSERT INTO ends (seq, outcome, completed_at) VALUES (9, 'failed', 1)", "FOREIGN KEY"),
        ("UPDATE deployments SET id = 'x'", "keeps its number"),
        ("UPDATE policies SET text = 'x'", "never altered"),
        ("UPDATE touched SET kind = 1", "never altered"),
        ("UPDATE places SET path = '/x'", "never altered"),
        ("UPDATE snapshots SET body = x'00'", "never altered"),
        ("UPDATE settlements SET applied = 1", "never altered"),
        ("UPDATE idempotency_keys SET until_at = 1", "stays with its change"),
        ("DELETE FROM idempotency_keys", "in force for a day"),
        (
            "INSERT INTO idempotency_keys \
             SELECT zeroblob(16), seq, zeroblob(16), received_at + 86400000 FROM changes \
             WHERE seq = 4",
            "on its way",
        ),
        ("INSERT INTO idempotency_keys VALUES (zeroblob(16), 9, zeroblob(16), 9)", "for a day"),
        ("UPDATE events SET at = 1", "never altered"),
        ("UPDATE keys SET at = 1", "never altered"),
        ("DELETE FROM keys", "is kept"),
        ("INSERT INTO settlements VALUES (2, 'answer', 1, 1)", "unknown outcome"),
        ("DELETE FROM changes WHERE seq = 1", "only pruning"),
        ("DELETE FROM ends", "only pruning"),
        ("DELETE FROM deployments", "only pruning"),
        ("DELETE FROM policies", "only pruning"),
        ("DELETE FROM touched", "only pruning"),
        ("DELETE FROM snapshots", "only pruning"),
        ("DELETE FROM settlements", "only pruning"),
        ("DELETE FROM events", "only pruning"),
        ("DELETE FROM pending", "only its end"),
        ("UPDATE pending SET seq = 2", "only its end"),
        ("UPDATE unsettled SET deployment = 9", "only its settlement"),
        ("DELETE FROM unsettled", "only its settlement"),
    ];
    for (sql, reason) in refused {
        let done = interfere(&database, sql).await;
        let error = done.expect_err(sql);
        assert!(error.contains(reason), "{sql}: {error}");
    }
    let pruned = "BEGIN; INSERT INTO pruning VALUES (1, 1); DELETE FROM settlements; \
        DELETE FROM touched; DELETE FROM broken; \
        DELETE FROM ends; DELETE FROM unsettled; DELETE FROM changes WHERE seq > 1; \
        DELETE FROM events; \
        DELETE FROM pruning; COMMIT";
    interfere(&database, pruned).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn erasing_takes_bodies_and_words_and_alters_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let store = filled(&database).await;
    let erasing = |sql: &str| format!("BEGIN; INSERT INTO pruning VALUES (1, 1); {sql}; ROLLBACK");
    let rules = r#"[{"rule":"a","message":"long"}]"#;
    for (sql, is_taken) in [
        ("UPDATE changes SET patch = NULL".to_owned(), true),
        ("UPDATE changes SET patch = x'00'".to_owned(), false),
        ("UPDATE changes SET decision = 'deny'".to_owned(), false),
        (format!("UPDATE changes SET violations = '{rules}'"), false),
        ("UPDATE changes SET redacted = '[\"/patch\"]'".to_owned(), false),
        ("UPDATE ends SET after = NULL, unkept = '{}'".to_owned(), true),
        ("UPDATE ends SET outcome = 'failed'".to_owned(), false),
        ("UPDATE ends SET reason = '{\"status\":1}'".to_owned(), false),
        ("UPDATE events SET detail = '{\"erased\":true}'".to_owned(), false),
        ("UPDATE events SET at = 9".to_owned(), false),
        ("UPDATE leaves SET position = 99 WHERE position = 1".to_owned(), false),
    ] {
        let done = interfere(&database, &erasing(&sql)).await;
        assert_eq!(done.is_ok(), is_taken, "{sql}: {done:?}");
    }
    store.close().await.unwrap();
}

/// A row that takes the place of another fires no trigger for its deletion.
#[tokio::test]
async fn no_row_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let store = filled(&database).await;
    let stays = "SELECT (SELECT group_concat(seq || hex(id) || request_id) FROM changes) || \
        (SELECT group_concat(seq || outcome || completed_at) FROM ends) || \
        (SELECT group_concat(seq || settled_by || at) FROM settlements) || \
        (SELECT group_concat(number || hex(body)) FROM snapshots) || \
        (SELECT group_concat(seq || at) FROM events) || \
        (SELECT group_concat(hex(digest) || seq || hex(request)) FROM idempotency_keys) || \
        (SELECT group_concat(number || id || upstream) FROM deployments) || \
        (SELECT group_concat(number || name || provider) FROM upstreams) || \
        (SELECT group_concat(number || name) FROM nodes) || \
        (SELECT group_concat(number || path) FROM places) || \
        (SELECT group_concat(number || digest || text) FROM policies)";
    let mut connection = options(&database).connect().await.unwrap();
    let former: String = sqlx::query_scalar(stays).fetch_one(&mut connection).await.unwrap();
    let columns = "upstream, policy, node, operation, deployment, actor_fingerprint, client_ip, \
        received_at, decision, request_id, id";
    let values = "upstream, policy, node, operation, deployment, actor_fingerprint, client_ip, \
        received_at, decision, 'x'";
    let refused = [
        format!("changes (seq, {columns}) SELECT seq, {values}, zeroblob(16) FROM changes"),
        format!("changes ({columns}) SELECT {values}, id FROM changes"),
        "snapshots SELECT number, digest, base, depth, x'00' FROM snapshots".to_owned(),
        "events (seq, at, kind, detail) VALUES (1, 1, 'reload', '{}')".to_owned(),
        "keys SELECT number, id, first_seq, 9 FROM keys".to_owned(),
        "idempotency_keys SELECT digest, seq, zeroblob(16), until_at FROM idempotency_keys"
            .to_owned(),
        "idempotency_keys SELECT zeroblob(16), seq, request, until_at FROM idempotency_keys"
            .to_owned(),
    ];
    let left_out = [
        "ends (seq, outcome, completed_at) VALUES (2, 'applied', 1)",
        "settlements VALUES (3, 'answer', 1, 1)",
        "deployments VALUES (1, 'x', 'x')",
        "deployments SELECT 9, upstream, id FROM deployments",
        "upstreams VALUES (1, 'x', 'x')",
        "upstreams SELECT 9, name, provider FROM upstreams",
        "nodes VALUES (1, 'x')",
        "nodes SELECT 9, name FROM nodes",
        "places VALUES (1, '/x')",
        "places SELECT 9, path FROM places",
        "policies VALUES (1, 'x', 'x')",
        "policies SELECT 9, digest, 'x' FROM policies",
    ];
    let refused = refused.map(|rows| (rows, true)).into_iter();
    for (rows, is_refused) in refused.chain(left_out.map(|rows| (rows.to_owned(), false))) {
        let done = interfere(&database, &format!("REPLACE INTO {rows}")).await;
        let told = done.as_ref().is_err_and(|error| error.contains("never replaced"));
        assert_eq!((done.is_err(), told), (is_refused, is_refused), "{rows}: {done:?}");
        let now: String = sqlx::query_scalar(stays).fetch_one(&mut connection).await.unwrap();
        assert_eq!(now, former, "{rows}");
    }
    connection.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_is_synced_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let mut connection = store.ready().await.unwrap();
    let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode");
    assert_eq!(mode.fetch_one(&mut connection).await.unwrap(), "wal");
    let full = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
    assert_eq!(full.fetch_one(&mut connection).await.unwrap(), 2);
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
