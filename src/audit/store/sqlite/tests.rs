use serde_json::{Value, json};

use super::*;
use crate::audit::document::{Document, Filed, pack};
use crate::audit::entry::{Ending, Opening};
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
    let patch = Some(pack(patch.to_string().as_bytes()).unwrap());
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
    let mut open = opening(&json!({"name": "n"}));
    open.before = Some(Document::of(&json!({"name": "o"})).file(None).unwrap());
    let entries = [
        Entry::Opening(Box::new(open)),
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
        ("UPDATE changes SET request_id = 'x' WHERE seq = 1", "never altered"),
        ("UPDATE changes SET id = id WHERE seq = 1", "never altered"),
        ("UPDATE changes SET deployment = 1 WHERE seq = 1", "never altered"),
        ("UPDATE ends SET outcome = 'applied' WHERE seq = 2", "ends once"),
        ("UPDATE ends SET completed_at = 1 WHERE seq = 2", "ends once"),
        ("INSERT INTO ends (seq, outcome, completed_at) VALUES (2, 'applied', 1)", "UNIQUE"),
        ("INSERT INTO ends (seq, outcome, completed_at) VALUES (1, 'denied', 1)", "decision"),
        ("INSERT INTO ends (seq, outcome, completed_at) VALUES (9, 'failed', 1)", "FOREIGN KEY"),
        ("UPDATE deployments SET id = 'x'", "keeps its number"),
        ("UPDATE terms SET provider = 'x'", "never altered"),
        ("UPDATE snapshots SET body = x'00'", "never altered"),
        ("UPDATE settlements SET applied = 1", "never altered"),
        ("UPDATE events SET at = 1", "never altered"),
        ("INSERT INTO settlements VALUES (2, 'answer', 1, 1)", "unknown outcome"),
        ("DELETE FROM changes WHERE seq = 1", "only pruning"),
        ("DELETE FROM ends", "only pruning"),
        ("DELETE FROM deployments", "only pruning"),
        ("DELETE FROM terms", "only pruning"),
        ("DELETE FROM snapshots", "only pruning"),
        ("DELETE FROM settlements", "only pruning"),
        ("DELETE FROM events", "only pruning"),
    ];
    for (sql, reason) in refused {
        let done = interfere(&database, sql).await;
        let error = done.expect_err(sql);
        assert!(error.contains(reason), "{sql}: {error}");
    }
    let pruned = "BEGIN; INSERT INTO pruning VALUES (1, 1); DELETE FROM settlements; \
        DELETE FROM ends; DELETE FROM changes WHERE seq > 1; DELETE FROM events; \
        DELETE FROM pruning; COMMIT";
    interfere(&database, pruned).await.unwrap();
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

#[tokio::test]
async fn a_log_of_the_first_version_is_taken_over_whole() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    create(&database).unwrap();
    let mut connection = options(&database).connect().await.unwrap();
    let all = migrator();
    Migrator::with_migrations(vec![all.iter().next().unwrap().clone()])
        .run(&mut connection)
        .await
        .unwrap();
    drop(connection);
    let text = |document: &Value| pack(document.to_string().as_bytes()).unwrap();
    let hex = |bytes: &[u8]| crate::ids::Hex(bytes).to_string();
    let (old, new) = (json!({"name": "old"}), json!({"name": "new"}));
    let digest = |document: &Value| hex(&Document::of(document).digest);
    let snapshot = |document: &Value| {
        let (digest, body) = (digest(document), hex(&text(document)));
        format!("INSERT INTO snapshots VALUES (x'{digest}', x'{body}', 1);")
    };
    let (applied, open) = ("01".repeat(16), "02".repeat(16));
    let (old_digest, new_digest) = (digest(&old), digest(&new));
    let sql = format!(
        "{} {} INSERT INTO changes (seq, id, provider, operation, actor_fingerprint, client_ip, \
         request_id, received_at, decision, patch_digest, before_digest, policy_digest, \
         deployment_id, outcome, completed_at, forwarded, after_digest, effect, paths) VALUES \
         (7, x'{applied}', 'qoder-cn', 'update', x'0101010101010101', '::1', 'r', 1, 'allow', \
          x'{new_digest}', x'{old_digest}', 'p', 'dep_1', 'applied', 2, 1, x'{new_digest}', \
          'exact', '[\"/name\"]'), \
         (9, x'{open}', 'qoder-cn', 'update', x'0101010101010101', '::1', 'r', 1, 'allow', \
          NULL, x'{new_digest}', 'p', 'dep_1', 'pending', NULL, NULL, NULL, NULL, NULL);",
        snapshot(&old),
        snapshot(&new),
    );
    interfere(&database, &sql).await.unwrap();

    let mut store = Writes::open(&database).await.unwrap();
    assert_eq!(store.sweep(NOW).await.unwrap(), 1);
    let reads = Reads::of(&database);
    let (found, _) = reads.changes(&Filter::default(), i64::MAX, 10, true).await.unwrap();
    let told: Vec<_> = found.iter().map(|change| (change.seq, change.outcome)).collect();
    assert_eq!(told, [(9, Outcome::Unknown), (7, Outcome::Applied)]);
    let bodies = found[1].bodies.clone().unwrap();
    assert_eq!(
        (bodies.patch, bodies.before, bodies.after),
        (Some(new.clone()), Some(old), Some(new))
    );
    assert_eq!(found[1].policy_digest, "p");
    assert_eq!(reads.unsettled(10).await.unwrap(), [("dep_1".to_owned(), 1)]);
    store.write(&[&whole(Outcome::Failed, &[])]).await.unwrap();
    let path = Filter { path: Some("/name".to_owned()), ..Filter::default() };
    assert_eq!(reads.changes(&path, i64::MAX, 10, false).await.unwrap().0[0].seq, 7);
}

/// A deployment that moves on, one place at a time, and now and then a whole new one.
#[tokio::test]
async fn documents_are_read_back_through_those_they_are_built_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = Writes::open(&database).await.unwrap();
    let prompts: Vec<_> = (0..50).map(|n| format!("prompt number {n} of them")).collect();
    let document = |n: usize| json!({"name": format!("n{n}"), "initial_events": prompts});
    let mut former: Option<(Document, _)> = None;
    let mut packed = Vec::new();
    for n in 0..80 {
        let mut entry = whole(Outcome::Failed, &[]);
        let Entry::Whole(opening, _) = &mut entry else { panic!() };
        let document = Document::of(&document(n));
        let filed = document.file(former.as_ref().map(|(former, stored)| (former, *stored)));
        let Ok(Filed::New(snapshot)) = filed else { panic!() };
        packed.push(snapshot.body.len());
        opening.before = Some(Filed::New(snapshot));
        let answers = store.write(&[&entry]).await.unwrap();
        let written = answers[0].as_ref().unwrap();
        former = Some((document, written.before.unwrap()));
    }
    let whole: Vec<_> = (0..80).filter(|n| packed[*n] > 60).collect();
    assert_eq!(whole, [0, 32, 64]);
    let (found, _) =
        Reads::of(&database).changes(&Filter::default(), i64::MAX, 100, true).await.unwrap();
    assert_eq!(found.len(), 80);
    for (n, change) in found.iter().rev().enumerate() {
        assert_eq!(change.bodies.as_ref().unwrap().before, Some(document(n)));
    }
}

#[tokio::test]
async fn a_page_ends_where_its_bodies_are_large() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = Writes::open(&database).await.unwrap();
    let large = Document::of(&json!({"name": "n".repeat(6 << 20)}));
    let mut filed = large.file(None).unwrap();
    for _ in 0..8 {
        let mut entry = whole(Outcome::Failed, &[]);
        let Entry::Whole(opening, _) = &mut entry else { panic!() };
        opening.before = Some(filed);
        let written = store.write(&[&entry]).await.unwrap();
        filed = Filed::Already(written[0].as_ref().unwrap().before.unwrap());
    }
    let reads = Reads::of(&database);
    let (mut seqs, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = reads.changes(&Filter::default(), before, 7, true).await.unwrap();
        seqs.push(page.0.iter().map(|change| change.seq).collect::<Vec<_>>());
        before = page.0.last().unwrap().seq;
        if !page.1 {
            break;
        }
    }
    assert_eq!(seqs, [vec![8, 7, 6, 5, 4, 3], vec![2, 1]]);
    let (without, _) = reads.changes(&Filter::default(), i64::MAX, 9, false).await.unwrap();
    assert_eq!(without.len(), 8);
}

#[tokio::test]
async fn another_file_in_the_logs_place_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (database, aside) = (folder.path().join("log.db"), folder.path().join("aside.db"));
    let mut store = filled(&database).await;
    std::fs::rename(&database, &aside).unwrap();
    std::fs::write(&database, "another one").unwrap();
    for _ in 0..2 {
        assert!(matches!(store.write(&[&event()]).await, Err(Fault::Moved)));
        assert!(matches!(store.probe(NOW).await, Err(Fault::Moved)));
        // Not even where a fault has closed the connection.
        store.connection = None;
    }
    assert_eq!(std::fs::read(&database).unwrap(), b"another one");
    std::fs::rename(&aside, &database).unwrap();
    store.probe(NOW).await.unwrap();
    assert!(store.write(&[&event()]).await.unwrap()[0].is_ok());
    assert_eq!(Reads::of(&database).events(None, None, i64::MAX, 9).await.unwrap().len(), 2);
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
    assert!(matches!(answers[..], [Ok(_), Err(Fault::Refused(_)), Ok(_)]), "{answers:?}");
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
        let (found, _) = reads.changes(&filter, i64::MAX, 10, false).await.unwrap();
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

#[tokio::test]
async fn what_broke_is_told_where_sqlite_has_rolled_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder.path().join("log.db")).await;
    let connection = store.connection.as_mut().unwrap();
    sqlx::query("PRAGMA max_page_count = 1").execute(connection).await.unwrap();
    let mut large = opening(&json!({}));
    let noise: Vec<_> = (0..4_000).map(|n: u32| Document::of(&n.into()).digest.to_vec()).collect();
    large.before = Some(Document::of(&json!(noise)).file(None).unwrap());
    let large = Entry::Opening(Box::new(large));
    let Err(Fault::Broken(error)) = store.write(&[&large]).await else { panic!() };
    assert_eq!(primary_code(&error), Some(13), "{error}");
    assert!(store.write(&[&large]).await.unwrap()[0].is_ok(), "a new connection has room");
}

#[tokio::test]
async fn a_database_that_is_found_damaged_stays_suspect() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = filled(&database).await;
    store.checkpoint().await.unwrap();
    let former = std::fs::read(&database).unwrap();
    store.connection.take().unwrap().close().await.unwrap();
    let mut damaged = former.clone();
    damaged[..16].fill(b'x');
    std::fs::write(&database, damaged).unwrap();
    assert!(matches!(store.probe(NOW).await, Err(Fault::Broken(_))));
    assert!(store.suspect);
    std::fs::write(&database, former).unwrap();
    store.probe(NOW).await.unwrap();
    assert!(!store.suspect);
}

#[tokio::test]
async fn a_snapshots_number_is_never_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = filled(&database).await;
    let pruned = "BEGIN; INSERT INTO pruning VALUES (1, 1); DELETE FROM pending; \
        DELETE FROM settlements; DELETE FROM ends; DELETE FROM unsettled; DELETE FROM changes; \
        DELETE FROM snapshots; DELETE FROM pruning; COMMIT";
    interfere(&database, pruned).await.unwrap();
    store.connection = None;
    let mut next = opening(&json!({}));
    next.before = Some(Document::of(&json!({"name": "p"})).file(None).unwrap());
    let written = store.write(&[&Entry::Opening(Box::new(next))]).await.unwrap();
    assert_eq!(written[0].as_ref().unwrap().before.unwrap().number, 2);
}

#[tokio::test]
async fn a_governed_call_asks_beside_every_operator() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let _store = filled(&database).await;
    let reads = Reads::of(&database);
    let _busy = reads.every_connection_of_operators().await;
    let asked = tokio::time::timeout(Duration::from_secs(5), reads.unclear("dep_1"));
    assert_eq!(asked.await.expect("an answer at once").unwrap().len(), 0);
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
