//! `audit` as an auditor runs it: with a log and nothing else, on a terminal or into a file.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::world::{World, world};

/// The result of a run of the program.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program in `folder`, its output read by another program.
fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_changegate"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CHANGEGATE_CONFIG")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn in_world(world: &World, arguments: &[&str]) -> Ran {
    run(world.folder.path(), arguments)
}

#[tokio::test]
async fn the_log_is_read_whatever_else_is_broken() {
    let world = world().await;
    world.update(&json!({"name": "renamed"})).await;
    let folder = world.folder.path();
    let elsewhere = tempfile::tempdir().unwrap();
    let log = world.database();
    let named = run(elsewhere.path(), &["audit", "list", "--database", log.to_str().unwrap()]);
    assert_eq!((named.code, named.err.as_str()), (0, ""), "{named:?}");
    assert_eq!(named.out.lines().count(), 2, "{}", named.out);

    std::fs::write(folder.join("policy.toml"), "x = ").unwrap();
    std::fs::remove_file(folder.join("key")).unwrap();
    let text = std::fs::read_to_string(folder.join("changegate.toml")).unwrap();
    let text = format!("speed = 3\nnode.name = 7\n{text}");
    std::fs::write(folder.join("changegate.toml"), &text).unwrap();
    let broken = in_world(&world, &["audit", "list"]);
    assert_eq!((broken.code, broken.err.as_str()), (0, ""), "{broken:?}");
    assert_eq!(broken.out, named.out);
    assert!(!folder.join("key").exists(), "no key is made");

    std::fs::write(folder.join("changegate.toml"), format!("{text}\nx = ")).unwrap();
    let garbled = in_world(&world, &["audit", "list"]);
    assert_eq!(garbled.code, 2, "{garbled:?}");
    assert!(garbled.err.contains("not TOML") && garbled.err.contains("--database FILE"));
    let both = ["audit", "list", "--config", "changegate.toml", "--database", "log.db"];
    assert_eq!(in_world(&world, &both).code, 2);
}
