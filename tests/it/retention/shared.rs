//! Retention of a log in PostgreSQL, beside gateways, and of one that is moved there.

use std::path::Path;

use super::{DAY, audit, fill, long_ago, verify};
use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::eventually;
use crate::world::load::Load;
use crate::world::program::Folder;

#[tokio::test]
async fn a_hold_is_added_and_old_records_are_looked_for_beside_gateways() {
    let Some(database) = TestDatabase::new() else { return };
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "");
    folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
    let program = folder.serve().await;
    load.once(program.proxy).await;
    let added = audit(folder.path(), &["hold", "add", "--team", "red", "--reason", "case 7"]);
    assert_eq!(added.code, 0, "{added:?}");
    let holds = program.events("hold", 1).await;
    assert_eq!(holds[0]["detail"]["team"], "red", "{holds:?}");
    let list = audit(folder.path(), &["hold", "list", "--json"]);
    assert!(list.out.contains("\"reason\":\"case 7\""), "{list:?}");
    let again = audit(folder.path(), &["hold", "add", "--team", "red", "--json"]);
    assert!(again.out.contains("\"changed\":false"), "{again:?}");
    let pruned = audit(folder.path(), &["prune", "--older-than", "1d", "--json"]);
    assert!(pruned.code == 0 && pruned.out.contains("\"changes\":0"), "{pruned:?}");
    // Who may not write by hand may not prune by hand either.
    let by_hand = "SET ROLE changegate; INSERT INTO changegate.pruning VALUES (1, 1)";
    assert!(database.try_sql(by_hand).is_err());
}

#[tokio::test]
async fn a_pruned_log_is_moved_whole_and_is_sound_there() {
    let Some(database) = TestDatabase::new() else { return };
    let (world, clock) = long_ago("[retention]\nmax_age = \"30d\"\n").await;
    fill(&world, &["one", "two", "three"]).await;
    clock.advance(DAY * 31);
    fill(&world, &["four", "five"]).await;
    world.events("prune", 1).await;
    eventually("the count of all", async || {
        let dry = ["prune", "--older-than", "30d", "--dry-run"];
        audit(world.folder.path(), &dry).out.starts_with("1 change and ").then_some(())
    })
    .await;
    let (folder, _simulator) = world.end().await;
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let copy = ["audit", "copy", "--from", "log.db", "--to", &database.url()];
    let copied = run(folder.path(), &copy);
    assert_eq!(copied.code, 0, "{copied:?}");
    let config = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let url = database.url().replace("//postgres@", "//changegate@");
    let moved = config.replace("sqlite://log.db", &url);
    std::fs::write(folder.path().join("changegate.toml"), moved).unwrap();
    assert_eq!(verify(folder.path()), (0, vec!["sound".to_owned()]));
    // The last two, and what told how the former had left it, go there by the same rules.
    let pruned = audit(folder.path(), &["prune", "--older-than", "30d"]);
    assert!(pruned.out.contains("1 change and "), "{pruned:?}");
    assert_eq!(verify(folder.path()).0, 0);
}
