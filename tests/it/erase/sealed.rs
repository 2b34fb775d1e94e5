//! Originals that are erased: complete is that once the key is gone by which backups open.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{audit, erase, sound, verified};
use crate::originals::{folder, key_file, updated};
use changegate::simulator::{Options, Simulator};

#[tokio::test]
async fn an_erasure_is_complete_once_the_sealing_key_was_changed() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let mut program = folder.serve().await;
    let id = updated(&program, &json!({"environment_variables": "A=plain-as-day"})).await;
    updated(&program, &json!({"environment_variables": "A=another-day"})).await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let backup = fs::read(folder.path().join("log.db")).unwrap();
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
    let former = fs::read_to_string(key_file(&folder)).unwrap();
    let rotated = folder.command(&["key", "rotate", "--seal", "--json"]).output().unwrap();
    let rotated: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(rotated["completed"], 1, "{rotated}");
    status("complete since ");
    assert_eq!(verified(folder.path()), sound());
    // A backup from before holds them still, and no key that is left opens it.
    assert_ne!(fs::read_to_string(key_file(&folder)).unwrap(), former);
    fs::write(folder.path().join("log.db"), backup).unwrap();
    let restored = folder.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert!(restored.status.code() == Some(3) && said.contains("are sealed under"), "{said}");
}
