//! A log in SQLite, moved to PostgreSQL by the program: killed in the midst and run again.

use std::process::Stdio;
use std::time::Duration;

use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::dice::{Dice, given, seed};
use crate::world::load::Load;
use crate::world::many;
use crate::world::program::Folder;
use crate::world::say;

/// How many changes the log has; `CHANGEGATE_RECORDS` makes it more.
const RECORDS: u64 = 3_000;

/// How often the copy is killed; `CHANGEGATE_ROUNDS` makes it more.
const ROUNDS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_moved_is_whole_however_often_the_copy_was_killed() {
    let Some(database) = TestDatabase::new() else { return };
    let mut dice = Dice::of(seed(), "copies");
    let load = Load::new(2);
    let folder = Folder::new(load.simulator.address(), "");
    let program = folder.serve().await;
    load.once(program.proxy).await;
    let mut updates = load.begin(program.proxy);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let copy = ["audit", "copy", "--from", "log.db", "--to", &database.url(), "--json"];
    let running = run(folder.path(), &copy);
    assert_eq!(running.code, 3, "{running:?}");
    program.kill();
    updates.shutdown().await;
    let records = i64::try_from(given("CHANGEGATE_RECORDS").unwrap_or(RECORDS)).unwrap();
    let there = i64::try_from(folder.changes(false).len()).unwrap();
    let mut connection = many::opened(&folder).await;
    many::end_changes(&mut connection).await;
    many::add_changes(&mut connection, there, records).await;
    many::end_changes(&mut connection).await;
    sqlx::Connection::close(connection).await.unwrap();

    let unmade = run(folder.path(), &copy);
    assert!(unmade.code == 3 && unmade.err.contains("changegate migrate"), "{unmade:?}");
    let made = run(folder.path(), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let before = folder.changes(true);
    for _ in 0..given("CHANGEGATE_ROUNDS").unwrap_or(ROUNDS) {
        let mut copying = std::process::Command::new(env!("CARGO_BIN_EXE_changegate"));
        copying.args(copy).current_dir(folder.path()).stdout(Stdio::null());
        let mut child = copying.spawn().unwrap();
        tokio::time::sleep(dice.millis(20, 400)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        folder.check_file().await;
    }
    let begun = changegate::base::clock::Clock::System.instant();
    let done = run(folder.path(), &copy);
    assert_eq!(done.code, 0, "{done:?}");
    say(&format!("{} after {:?}", done.out.trim(), begun.elapsed()));
    assert!(done.out.contains(&format!("\"changes\":{records}")), "{done:?}");

    let sealed = run(folder.path(), &["serve", "--config", "changegate.toml"]);
    assert_eq!(sealed.code, 3, "{sealed:?}");
    assert!(sealed.err.contains("was moved to postgres://"), "{sealed:?}");
    let url = database.url().replace("//postgres@", "//changegate@");
    // The key is the one that the log had.
    let text = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    folder.write("changegate.toml", &text.replace("sqlite://log.db", &url));
    assert!(folder.changes(true) == before, "the copy answers otherwise");
    let program = folder.serve().await;
    load.once(program.proxy).await;
    let moved = &program.events("move", 1).await[0]["detail"];
    assert_eq!(moved["from"], "log.db");
    assert_eq!(folder.changes(false).len(), before.len() + 2);
    // The tree of the former one goes on.
    drop(program);
    let verified = run(folder.path(), &["audit", "verify", "--config", "changegate.toml"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}
