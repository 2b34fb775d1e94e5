//! Erasing through the door: what goes is in no file any more, what stays is told as it was, and
//! `audit verify` tells one from what somebody has taken away.

use std::fs;
use std::path::Path;

use memchr::memmem::Finder;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};

use crate::retention::{nothing_is_orphaned, open};
use crate::world::command::{Ran, run};
use crate::world::{Answer, World, world};

/// A text that is to be in no file.
const CANARY: &str = "the-canary-of-this-test";

/// Runs a command of the audit on the configuration of a folder.
fn audit(folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["audit"], arguments, &["--config", "changegate.toml"]].concat())
}

fn erase(folder: &Path, what: &[&str]) -> Ran {
    audit(folder, &[&["erase"], what, &["--reason", "a request of the person", "--json"]].concat())
}

/// The words of a verification's findings.
fn verified(folder: &Path) -> (i32, Vec<String>) {
    let ran = audit(folder, &["verify"]);
    let words = ran.out.lines().filter_map(|line| line.split_once(": "));
    (ran.code, words.map(|(word, _)| word.to_owned()).collect())
}

fn sound() -> (i32, Vec<String>) {
    (0, vec!["sound".to_owned()])
}

fn id_of(answer: &Answer) -> String {
    answer.header("changegate-change").expect("the answer names its change").to_owned()
}

/// Whether bytes are in any file of the log.
fn is_anywhere(folder: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut logs = files.filter(|file| file.to_string_lossy().contains("log.db"));
    let finder = Finder::new(bytes);
    logs.any(|file| finder.find(&fs::read(file).unwrap()).is_some())
}

/// The bodies of a log, packed as they lie there.
async fn frames(folder: &Path) -> Vec<Vec<u8>> {
    let mut log = open(&folder.join("log.db")).await;
    let all = "SELECT patch AS body FROM changes WHERE patch IS NOT NULL UNION ALL \
        SELECT body FROM snapshots";
    let rows = sqlx::query(all).fetch_all(&mut log).await.unwrap();
    log.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Whether a body holds a text, unless it is packed against another one.
fn holds(frame: &Vec<u8>, text: &str) -> bool {
    let unpacked = zstd::decode_all(frame.as_slice());
    unpacked.is_ok_and(|unpacked| Finder::new(text).find(&unpacked).is_some())
}

/// A change whose body, findings and answer hold the canary, between others.
async fn told_a_secret(world: &World) -> (String, String, String) {
    let first = world.update(&json!({"name": "first"})).await;
    let long: Vec<String> = (0..40).map(|n| format!("{CANARY}-{n}-{}", n * 7_919)).collect();
    let metadata = json!({"owner_override": CANARY, format!("note-{CANARY}"): long.join(" ")});
    let denied = world.update(&json!({"metadata": metadata})).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    let told = world.update(&json!({"description": long.join(" ")})).await;
    assert_eq!(told.status, 200, "{}", told.text());
    world.update(&json!({"description": "nothing"})).await;
    (id_of(&first), id_of(&denied), id_of(&told))
}

#[tokio::test]
async fn what_is_erased_is_in_no_file_and_the_rest_is_sound() {
    let world = world().await;
    let (_first, denied, told) = told_a_secret(&world).await;
    let (folder, _simulator) = world.end().await;
    let folder = folder.path();
    assert!(is_anywhere(folder, CANARY.as_bytes()), "its findings are in clear");
    let former = frames(folder).await;
    assert_eq!(former.iter().filter(|frame| holds(frame, CANARY)).count(), 2, "patches, at least");
    assert_eq!(verified(folder), sound());

    let ran = erase(folder, &[&denied]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = erase(folder, &[&told]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &said["changes"], &said["beside"]), (0, &json!(1), &json!(1)), "{said}");
    assert!(!is_anywhere(folder, CANARY.as_bytes()));
    let latter = frames(folder).await;
    assert!(!latter.iter().any(|frame| holds(frame, CANARY)));
    let gone: Vec<_> = former.iter().filter(|frame| !latter.contains(frame)).collect();
    assert!(gone.len() >= 3, "two patches and a document: {}", gone.len());
    for frame in gone {
        assert!(!is_anywhere(folder, frame), "a packed body is left");
    }
    let mut log = open(&folder.join("log.db")).await;
    nothing_is_orphaned(&mut log).await;
    log.close().await.unwrap();
    assert_eq!(verified(folder), sound());
    let notes = audit(folder, &["verify"]).err;
    assert!(notes.contains("records were erased between"), "{notes}");
    let again = erase(folder, &[&told]);
    let said: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again.code, &said["changes"]), (0, &json!(0)), "{again:?}");
}
