use std::sync::Arc;

use super::*;
use crate::audit::question::EventFilter;
use crate::audit::store::sqlite::error::{Moved, primary_code};

#[tokio::test]
async fn another_file_in_the_logs_place_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (database, aside) = (folder.path().join("log.db"), folder.path().join("aside.db"));
    let mut store = filled(&database).await;
    std::fs::rename(&database, &aside).unwrap();
    std::fs::write(&database, "another one").unwrap();
    for _ in 0..2 {
        let is_moved = |error| matches!(error, StoreError::Gone(cause) if cause.is::<Moved>());
        assert!(store.write(&[&event()]).await.is_err_and(is_moved));
        assert!(store.probe(NOW).await.is_err_and(is_moved));
        // Not even where a fault has closed the connection.
        store.connection = None;
    }
    assert_eq!(std::fs::read(&database).unwrap(), b"another one");
    std::fs::rename(&aside, &database).unwrap();
    store.probe(NOW).await.unwrap();
    assert!(store.write(&[&event()]).await.unwrap()[0].is_ok());
    assert_eq!(
        Reads::of(&database)
            .events(&EventFilter::default(), i64::MAX, 9)
            .await
            .unwrap()
            .events
            .len(),
        2
    );
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
    let large = Entry::Intent(Box::new(large));
    let Err(StoreError::Unavailable(error)) = store.write(&[&large]).await else { panic!() };
    let code = error.downcast_ref().and_then(primary_code);
    assert_eq!(code, Some(13), "{error}");
    assert!(store.write(&[&large]).await.unwrap()[0].is_ok(), "a new connection has room");
}

#[tokio::test]
async fn a_write_ahead_log_that_a_large_record_let_grow_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut store = filled(&database).await;
    let mut large = opening(&json!({}));
    large.patch = Some(Arc::new(vec![7; 12 << 20]));
    // Who reads keeps what it reads in the way.
    let mut reader = options(&database).connect().await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM changes").execute(&mut *reading).await.unwrap();
    store.write(&[&Entry::Intent(Box::new(large))]).await.unwrap();
    let grown = store.wal_bytes();
    assert!(grown > 2 * u64::from(WAL_BYTES_KEPT), "{grown}");
    store.trim().await.unwrap();
    assert_eq!(store.wal_bytes(), grown);
    reading.rollback().await.unwrap();
    store.checkpoint().await.unwrap();
    assert_eq!(store.wal_bytes(), 0);
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
    assert!(matches!(store.probe(NOW).await, Err(StoreError::Unavailable(_))));
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
        DELETE FROM touched; DELETE FROM broken; DELETE FROM settlements; DELETE FROM ends; \
        DELETE FROM unsettled; DELETE FROM idempotency_keys; DELETE FROM changes; \
        DELETE FROM snapshots; \
        DELETE FROM pruning; COMMIT";
    interfere(&database, pruned).await.unwrap();
    store.connection = None;
    let mut next = opening(&json!({}));
    next.before = Some(Document::of(&json!({"name": "p"})).file(None).unwrap());
    let written = store.write(&[&Entry::Intent(Box::new(next))]).await.unwrap();
    assert_eq!(written[0].as_ref().unwrap().before.unwrap().number, 2);
}
