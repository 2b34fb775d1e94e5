//! `audit` as an auditor runs it: with a log and nothing else, on a terminal or into a file.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

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

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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

#[tokio::test]
async fn a_list_that_goes_on_says_so() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.update(&json!({"name": name})).await;
    }
    let deployment = crate::world::DEPLOYMENT;
    for list in [
        vec!["audit", "list"],
        vec!["audit", "list", "--json"],
        vec!["audit", "history", deployment],
        vec!["audit", "history", deployment, "--json"],
    ] {
        for (limit, said) in
            [("2", "2 shown, there are more: --all or --limit N\n"), ("3", ""), ("4", "")]
        {
            let arguments = [list.as_slice(), &["--limit", limit]].concat();
            let ran = in_world(&world, &arguments);
            assert_eq!((ran.code, ran.err.as_str()), (0, said), "{arguments:?}");
        }
        let whole = in_world(&world, &[list.as_slice(), &["--all"]].concat());
        assert_eq!(whole.err, "");
    }
    let named = in_world(&world, &["audit", "list", "--q", "/name", "--limit", "1", "--json"]);
    assert_eq!(json_lines(&named.out).len(), 1);
    assert!(named.err.starts_with("1 shown, there are more"), "{}", named.err);
}
