//! A log in SQLite, moved to PostgreSQL.

use super::approvals::some_of_each;
use super::questions::{answers, are_same, entries, written_in_parts};
use super::*;
use crate::audit::store::copying::{CopyError, Step};

/// Copies the log in a file to a database, as its owner.
async fn copied(from: &Place, to: &Place) -> Result<Copied, String> {
    let (Database::Sqlite(path), Place::Postgres(database)) = (from.database(), to) else {
        panic!("from a file to a database")
    };
    let Ok(Database::Postgres(owner)) = Database::parse(&database.url()) else { panic!() };
    let mut ignore = |_step: Step| {};
    copy(&path, &owner, NOW, &mut ignore).await.map_err(|error| match error {
        CopyError::Source(what, why) | CopyError::Target(what, why) => format!("{what}: {why}"),
        other => other.to_string(),
    })
}

#[tokio::test]
async fn a_copy_answers_every_question_as_the_log_did_and_goes_on() {
    let Some(to) = Place::of_each_kind().await.into_iter().nth(1) else { return };
    let Place::Postgres(database) = &to else { panic!() };
    let from = Place::file();
    let mut store = from.opened().await;
    written_in_parts(&mut store, &entries()).await;
    some_of_each(&mut store).await;
    while store.count().await.unwrap() {}
    let unclear = store.reads().unsettled(99).await.unwrap();
    drop(store.close().await.unwrap());
    // Which ends what is open.
    let store = from.opened().await;
    let before = answers(&store.reads()).await;
    let running = copied(&from, &to).await.unwrap_err();
    assert!(running.contains("running gateway"), "{running}");
    drop(store.close().await.unwrap());

    let done = copied(&from, &to).await.unwrap();
    assert!(!done.is_old && done.changes > 60 && done.rows > done.changes * 3, "{done:?}");
    assert!(copied(&from, &to).await.unwrap().is_old);
    let mut store = to.opened().await;
    are_same_but_for_the_move(&answers(&store.reads()).await, &before);
    let last = database.sql("SELECT kind, detail FROM changegate.events ORDER BY seq DESC LIMIT 1");
    assert!(last.starts_with("move|") && last.contains("\"to\":\"postgres://"), "{last}");
    // What is unclear is found by the turn of its deployment.
    let turns = "SELECT count(*) FROM changegate.unsettled WHERE turn IS NOT NULL";
    assert_ne!(unclear.len(), 0);
    assert_ne!(database.sql(turns), "0");
    assert_eq!(database.sql("SELECT count(*) FROM changegate.unsettled WHERE turn IS NULL"), "0");

    // Numbers go on, and the rules hold.
    let more = written(&mut store, &[whole(Outcome::Applied, &["/name"]), event()]).await;
    assert_eq!(more.len(), 2);
    let newest = store.reads().changes(&Filter::default(), i64::MAX, 1, false).await.unwrap();
    assert_eq!(newest.changes[0].seq, done.changes + 1);
    let refused = database.try_sql("DELETE FROM changegate.changes").unwrap_err();
    assert!(refused.contains("only pruning deletes changes"), "{refused}");
    let off = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'A'";
    assert_eq!(database.sql(off), "0");

    // The former one is never written again, whoever tries.
    let Database::Sqlite(path) = from.database() else { panic!() };
    let found = find(&from.database(), Beside::Anyone).await.unwrap();
    assert!(found.moved_to.unwrap().starts_with("postgres://"));
    for row in ["nodes (name) VALUES ('x')", "events (at, kind, detail) VALUES (1, 'x', '{}')"] {
        let refused = interfere(&path, &format!("INSERT INTO {row}")).await;
        assert!(refused.unwrap_err().contains("the log was moved to postgres://"), "{row}");
    }
}

/// Holds that answers are the same, but that the event of the move is among the newest.
fn are_same_but_for_the_move(here: &[Vec<String>], there: &[Vec<String>]) {
    are_same(&here[1..], &there[1..]);
    let told = |all: &[String]| all.iter().filter(|told| !told.starts_with("EventFilter")).count();
    assert_eq!(told(&here[0]), told(&there[0]));
}

#[tokio::test]
async fn only_the_copy_of_the_same_log_is_gone_on_with_and_a_difference_is_named() {
    let Some(to) = Place::of_each_kind().await.into_iter().nth(1) else { return };
    let Place::Postgres(database) = &to else { panic!() };
    let from = Place::file();
    let mut store = from.opened().await;
    written_in_parts(&mut store, &entries()).await;
    drop(store.close().await.unwrap());

    // As a copy leaves it that is broken off before the last table.
    database.sql(
        "ALTER TABLE changegate.events ADD CONSTRAINT stop CHECK (kind <> 'settlement') NOT VALID",
    );
    let stopped = copied(&from, &to).await.unwrap_err();
    assert!(stopped.contains("stop"), "{stopped}");
    let gateway = Store::open(to.held(), PREPARATION).await.unwrap_err().to_string();
    assert!(gateway.contains("is being copied"), "{gateway}");
    let Ok(Database::Postgres(owner)) = Database::parse(&database.url()) else { panic!() };
    assert!(migrate(&owner).await.unwrap_err().to_string().contains("is being copied"));
    database.sql("ALTER TABLE changegate.events DROP CONSTRAINT stop");

    let other = Place::file();
    let mut store = other.opened().await;
    written(&mut store, &[event()]).await;
    drop(store.close().await.unwrap());
    let refused = copied(&other, &to).await.unwrap_err();
    assert!(refused.contains("DROP SCHEMA changegate"), "{refused}");

    database.sql("UPDATE changegate.ends SET effect = 'none' WHERE seq = 1");
    let differs = copied(&from, &to).await.unwrap_err();
    assert!(differs.contains("ends, row 1 (1) is not what was copied"), "{differs}");
    database.sql("UPDATE changegate.ends SET effect = 'exact' WHERE seq = 1");
    database.sql("INSERT INTO changegate.broken VALUES ('zzz', 1)");
    let more = copied(&from, &to).await.unwrap_err();
    assert!(more.contains("(zzz) is one too many"), "{more}");
    database.sql("DELETE FROM changegate.broken WHERE rule = 'zzz'");
    copied(&from, &to).await.unwrap();

    let elsewhere = Place::of_each_kind().await.into_iter().nth(1).unwrap();
    let moved = copied(&from, &elsewhere).await.unwrap_err();
    assert!(moved.contains("was moved to postgres://"), "{moved}");
}
