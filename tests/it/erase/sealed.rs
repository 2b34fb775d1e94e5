//! Originals that are erased: complete is that once the key is gone by which backups open.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{audit, erase, sound, verified};
use crate::originals::{folder, key_file, updated};
use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::program::Folder;
use changegate::simulator::{Options, Simulator};

#[tokio::test]
async fn an_erasure_is_complete_once_the_sealing_key_was_changed() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let backup = erased_for_good(&folder).await;
    // A backup from before holds them still, and no key that is left opens it.
    fs::write(folder.path().join("log.db"), backup.unwrap()).unwrap();
    let restored = folder.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert!(restored.status.code() == Some(3) && said.contains("are sealed under"), "{said}");
}

#[tokio::test]
async fn the_same_holds_of_a_log_in_postgresql() {
    let Some(database) = TestDatabase::new() else { return };
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
    erased_for_good(&folder).await;
}

/// Erases a change with its originals, and changes the key; tells what the file of the log held
/// before.
async fn erased_for_good(folder: &Folder) -> Option<Vec<u8>> {
    let mut program = folder.serve().await;
    let id = updated(&program, &json!({"environment_variables": "A=plain-as-day"})).await;
    updated(&program, &json!({"environment_variables": "A=another-day"})).await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let backup = fs::read(folder.path().join("log.db")).ok();
    let ran = erase(folder.path(), &[&id]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &said["originals"]), (0, &json!(3)), "{ran:?}");
    let status = |word: &str| {
        let status = audit(folder.path(), &["erase", "--status"]);
        assert!(status.code == 0 && status.out.contains(word), "{word}: {status:?}");
    };
    status("pending: ");
    let notes = audit(folder.path(), &["verify"]);
    assert!(notes.err.contains("once `key rotate --seal`"), "{notes:?}");
    let former = fs::read_to_string(key_file(folder)).unwrap();
    let rotated = folder.command(&["key", "rotate", "--seal", "--json"]).output().unwrap();
    let rotated: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(rotated["completed"], 1, "{rotated}");
    status("complete since ");
    assert_eq!(verified(folder.path()), sound());
    let list = audit(folder.path(), &["list", "--events", "--q", "seal_rotation", "--json"]);
    assert!(list.out.contains("\"originals\""), "{list:?}");
    assert_ne!(fs::read_to_string(key_file(folder)).unwrap(), former);
    backup
}
