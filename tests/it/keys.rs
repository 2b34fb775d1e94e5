//! The key that a log goes with, and the log that a gateway takes for its own.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Output, Stdio};

use changegate::base::key::Key;
use changegate::simulator::{Options, Simulator};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::world::dice::{Dice, seed};
use crate::world::load::Load;
use crate::world::program::Folder;
use crate::world::{Call, DEPLOYMENT, call};

/// A folder whose log holds one change.
async fn used() -> (Simulator, Folder) {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    let mut program = folder.serve().await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let update = Call::post(&path).json(&json!({"name": "n"}));
    assert_eq!(call(program.proxy, update).await.status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    (simulator, folder)
}

fn run(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        folder.command(arguments).stdin(Stdio::null()).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}

fn key_id(folder: &Folder, name: &str) -> String {
    Key::load(&folder.path().join(name)).unwrap().id().to_string()
}

fn fingerprint(folder: &Folder) -> (Option<i32>, String) {
    let mut child = folder
        .command(&["token", "fingerprint"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"pt-1").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_log_whose_key_is_missing_gets_no_other_one() {
    let (_simulator, folder) = used().await;
    let (key, aside) = (folder.path().join("key"), folder.path().join("aside"));
    let id = key_id(&folder, "key");
    std::fs::rename(&key, &aside).unwrap();
    for (code, said) in [run(&folder, &["serve"]), fingerprint(&folder)] {
        assert_eq!(code, Some(3), "{said}");
        for part in ["is missing", &id, "key rotate", key.to_str().unwrap()] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let (code, said) = run(&folder, &["check"]);
    assert!(code == Some(0) && said.contains("warning") && said.contains("is missing"), "{said}");
    assert!(!key.exists(), "a key was made");

    let other = "11".repeat(32);
    folder.write("key", &other);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = run(&folder, &["serve"]);
    assert!(code == Some(3) && said.contains("another key") && said.contains(&id), "{said}");
    assert!(run(&folder, &["check"]).1.contains("another key"));

    std::fs::rename(&aside, &key).unwrap();
    let program = folder.serve().await;
    assert_eq!(program.events("start", 2).await[0]["detail"]["key"], id.as_str());
}

#[tokio::test]
async fn a_key_that_is_made_is_told_of_once() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    let (code, said) = fingerprint(&folder);
    assert!(code == Some(0) && said.contains("is a new key"), "{said}");
    let (_, again) = fingerprint(&folder);
    assert!(said.starts_with(&again) && again.starts_with("pat_"), "{said} {again}");
    let _program = folder.serve().await;
}

#[tokio::test]
async fn a_log_from_before_keys_had_names_adopts_the_one_that_is_there() {
    let (_simulator, folder) = used().await;
    let former = "DROP TRIGGER keys_are_kept; DROP TRIGGER leaves_are_kept; \
        DELETE FROM leaves WHERE kind = 6; DELETE FROM keys";
    interfere(&folder, former).await;
    let program = folder.serve().await;
    drop(program);
    std::fs::remove_file(folder.path().join("key")).unwrap();
    assert_eq!(run(&folder, &["serve"]).0, Some(3));
    interfere(&folder, "DELETE FROM leaves WHERE kind = 6; DELETE FROM keys").await;
    let (code, said) = run(&folder, &["serve"]);
    assert!(code == Some(3) && said.contains("is missing"), "{said}");
}

async fn interfere(folder: &Folder, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(folder.path().join("log.db"));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_key_is_changed_and_the_border_recorded() {
    let (_simulator, folder) = used().await;
    let former = key_id(&folder, "key");
    let (code, said) = run(&folder, &["key", "rotate", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    let key = key_id(&folder, "key");
    assert!(key != former && told["key"] == key.as_str() && told["former"] == former.as_str());
    let kept = format!("key.{former}");
    assert_eq!(key_id(&folder, &kept), former);
    for name in ["key", &kept] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let program = folder.serve().await;
    let border = &program.events("key_rotation", 1).await[0]["detail"];
    let expected = json!({"from": former, "to": key, "first_seq": 2});
    assert_eq!(border, &expected);
    let (code, said) = run(&folder, &["key", "rotate"]);
    assert!(code == Some(3) && said.contains(&format!("process {}", program.id())), "{said}");
    assert_eq!(key_id(&folder, "key"), key);
    drop(program);

    std::fs::remove_file(folder.path().join("key")).unwrap();
    let (code, said) = run(&folder, &["key", "rotate"]);
    assert!(code == Some(0) && said.contains("new key"), "a lost key is not an end: {said}");
    let _program = folder.serve().await;
}

#[tokio::test]
async fn a_change_of_the_key_that_is_killed_leaves_a_log_that_serves_or_says_how() {
    let (_simulator, folder) = used().await;
    let mut dice = Dice::of(seed(), "rotate");
    for _ in 0..25 {
        let rotate =
            folder.command(&["key", "rotate"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut rotate = rotate.unwrap();
        tokio::time::sleep(dice.millis(0, 60)).await;
        rotate.kill().unwrap();
        rotate.wait().unwrap();
        // It checks all that a start does but for the ports.
        let (code, said) = run(&folder, &["check"]);
        assert_eq!(code, Some(0), "{said}");
        if said.contains("warning") {
            assert!(said.contains("key rotate") && said.contains("once more"), "{said}");
            let (code, said) = run(&folder, &["key", "rotate"]);
            assert_eq!(code, Some(0), "{said}");
        }
    }
    let _program = folder.serve().await;
}

#[tokio::test]
async fn the_log_itself_is_locked_whatever_it_is_called() {
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "");
    let program = folder.serve().await;
    load.once(program.proxy).await;
    let path = |name: &str| folder.path().join(name);
    let config = std::fs::read_to_string(path("changegate.toml")).unwrap();
    let holder = format!("process {}", program.id());
    std::fs::remove_file(path("log.db.lock")).unwrap();
    let (code, said) = run(&folder, &["serve"]);
    assert!(code == Some(3) && said.contains(&holder), "{said}");
    std::fs::hard_link(path("log.db"), path("other.db")).unwrap();
    symlink(path("log.db"), path("link.db")).unwrap();
    for name in ["other.db", "link.db"] {
        folder.write("changegate.toml", &config.replace("log.db", name));
        let (code, said) = run(&folder, &["serve"]);
        assert!(code == Some(3) && said.contains(&holder), "{name}: {said}");
    }
    folder.write("changegate.toml", &config);
    load.once(program.proxy).await;
    load.check(&folder);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    interfere_new(&folder, "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").await;
    let database = folder.path().join("log.db");
    let former = std::fs::read(&database).unwrap();
    std::fs::remove_file(&database).unwrap();
    interfere_new(&folder, "CREATE VIEW theirs AS SELECT 1").await;
    let view = std::fs::read(&database).unwrap();
    for text in [former, view, b"no database, but a text that somebody needs".to_vec()] {
        std::fs::write(&database, &text).unwrap();
        for arguments in [&["serve"][..], &["audit", "list"], &["key", "rotate"]] {
            let (code, said) = run(&folder, arguments);
            assert!(code == Some(3) && said.contains("is not an audit log"), "{said}");
            assert!(said.contains("audit.database"), "{said}");
        }
        assert!(run(&folder, &["check"]).1.contains("is not an audit log"));
        assert_eq!(std::fs::read(&database).unwrap(), text);
        assert!(!folder.path().join("key").exists(), "no key is made for it");
    }
}

async fn interfere_new(folder: &Folder, sql: &'static str) {
    std::fs::File::create_new(folder.path().join("log.db")).unwrap();
    interfere(folder, sql).await;
}
