//! The real program: what it prints, and the codes with which it ends.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::world::client::TOKEN;
use crate::world::{DEPLOYMENT, Setup, World, world};

/// The result of a run of the program.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program in `folder` with `input` on its standard input.
fn run(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    run_with(folder, arguments, input, &[])
}

/// The same, with variables in its environment.
fn run_with(folder: &Path, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_changegate"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CHANGEGATE_CONFIG")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn in_world(world: &World, arguments: &[&str]) -> Ran {
    run(world.folder.path(), arguments, "")
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn check_says_what_holds_and_names_every_line_that_does_not() {
    let world = world().await;
    let fine = in_world(&world, &["check"]);
    assert_eq!(fine.code, 0, "{fine:?}");
    assert!(fine.out.contains("is valid"), "{fine:?}");
    assert!(fine.out.contains("timezones (deny)\n  - A schedule's time zone is"), "{fine:?}");
    let bad = "[upstream]\nprovider = 'qoder'\nurl = 'https://x/path'\n[limits]\nspeed = 3\n";
    std::fs::write(world.folder.path().join("bad.toml"), bad).unwrap();
    let broken = in_world(&world, &["check", "--config", "bad.toml"]);
    assert_eq!(broken.code, 2);
    for place in ["bad.toml:3: error: ", "bad.toml:5: error: ", "error: bad.toml is not valid"] {
        assert!(broken.err.contains(place), "{place}\n{}", broken.err);
    }
    assert_eq!(broken.out, "");
}

#[test]
fn exit_codes_tell_usage_from_success() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[upstream]\nprovider = 'qoder'\nurl = 'https://api.qoder.com'\n";
    std::fs::write(folder.path().join("c.toml"), text).unwrap();
    for (arguments, variables, code) in [
        (vec!["--help"], vec![], 0),
        (vec!["--version"], vec![], 0),
        (vec![], vec![], 2),
        (vec!["chekc"], vec![], 2),
        (vec!["check", "--config", "c.toml"], vec![], 0),
        (vec!["check", "--config", "c.toml", "--json"], vec![], 0),
        (vec!["check"], vec![("CHANGEGATE_CONFIG", "c.toml")], 0),
        (vec!["check", "--config", "absent.toml"], vec![], 2),
        (vec!["check", "--config", "c.toml"], vec![("CHANGEGATE_LIMITS__JSON_DEPTH", "0")], 2),
        (vec!["token", "fingerprint", "--config", "absent.toml"], vec![], 2),
    ] {
        let ran = run_with(folder.path(), &arguments, "", &variables);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    }
}

#[test]
fn serve_with_a_broken_configuration_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[upstream]\nprovider = 'nobody'\nurl = 'https://api.qoder.com'\n";
    std::fs::write(folder.path().join("changegate.toml"), text).unwrap();
    let ran = run(folder.path(), &["serve"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("changegate.toml\",\"line\":2"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no log, no key");
}

#[tokio::test]
async fn a_tokens_fingerprint_is_the_one_that_is_recorded() {
    let world = world().await;
    let answer = world.update(&json!({"name": "x"})).await;
    let change = world.change_of(&answer).await;
    let recorded = change["actor"]["fingerprint"].as_str().unwrap();
    let ran = run(world.folder.path(), &["token", "fingerprint"], &format!("{TOKEN}\n"));
    assert_eq!((ran.code, ran.out.trim_end()), (0, recorded), "{ran:?}");
    assert_eq!(ran.err, "");
}

#[test]
fn a_key_that_a_fingerprint_makes_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[upstream]\nprovider = 'qoder'\nurl = 'https://api.qoder.com'\n\
                [audit]\nkey_file = 'new.key'\n\
                [[sink]]\nname = 's'\nkind = 'syslog'\nurl = 'tcp://siem.example:601'\n";
    std::fs::write(folder.path().join("changegate.toml"), text).unwrap();
    let print = || run(folder.path(), &["token", "fingerprint"], "pt-1\n");
    let (first, second) = (print(), print());
    assert_eq!((first.code, &first.out), (0, &second.out), "{first:?}");
    assert!(first.err.contains("new.key is a new key"), "{first:?}");
    assert_eq!(second.err, "", "what is warned of has nothing to do with it");
    let checked = run(folder.path(), &["check"], "");
    assert!(checked.err.contains("plain syslog"), "{checked:?}");
}

#[tokio::test]
async fn the_log_answers_beside_the_gateway_and_after_it() {
    let world = world().await;
    let applied = world.update(&json!({"name": "renamed"})).await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let denied = world.update(&json!({"schedule": zone})).await;
    let applied = applied.header("changegate-change").unwrap().to_owned();
    let denied = denied.header("changegate-change").unwrap().to_owned();
    let shown = world.ask(&format!("/api/v1/changes/{applied}")).await;
    assert_log(world.folder.path(), &applied, &denied, &shown);
    let World { server, folder, .. } = world;
    server.shutdown().await;
    assert_log(folder.path(), &applied, &denied, &shown);
}

fn assert_log(folder: &Path, applied: &str, denied: &str, shown: &Value) {
    let list = run(folder, &["audit", "list"], "");
    assert_eq!(list.code, 0, "{list:?}");
    let lines: Vec<_> = list.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", list.out);
    assert!(lines[0].starts_with("RECEIVED"));
    assert!(lines[1].contains(denied) && lines[1].contains("timezones"), "{}", list.out);
    assert!(lines[2].contains(applied) && lines[2].contains("applied"), "{}", list.out);

    let list = run(folder, &["audit", "list", "--json", "--decision", "deny"], "");
    let found = json_lines(&list.out);
    assert_eq!((found.len(), &found[0]["id"]), (1, &json!(denied)));
    assert!(found[0].get("patch").is_none(), "bodies only with --full");
    let full = run(folder, &["audit", "list", "--json", "--full", "--limit", "1"], "");
    assert_eq!(json_lines(&full.out)[0]["patch"]["schedule"]["timezone"], "Europe/Paris");

    let show = run(folder, &["audit", "show", applied], "");
    assert!(show.out.contains("/name: \"api-doc-verification-deployment\" → \"renamed\""));
    let show = run(folder, &["audit", "show", denied], "");
    assert!(show.out.contains("asked for:\n  /schedule/"), "{}", show.out);
    assert!(show.out.contains("(found \"Europe/Paris\")"), "{}", show.out);
    assert!(!show.out.contains(": timezones: "), "the rule is named once: {}", show.out);
    let show = run(folder, &["audit", "show", applied, "--json"], "");
    assert_eq!(&json_lines(&show.out)[0], shown);

    let history = run(folder, &["audit", "history", DEPLOYMENT], "");
    assert!(history.out.contains("→ \"renamed\"") && history.out.contains("! timezones"));
    let history = run(folder, &["audit", "history", DEPLOYMENT, "--json"], "");
    assert_eq!(json_lines(&history.out).len(), 2);
    let events = run(folder, &["audit", "list", "--events"], "");
    assert!(events.out.contains("start"), "{}", events.out);
}

#[tokio::test]
async fn what_clients_wrote_steers_no_terminal() {
    let world = world().await;
    let hostile =
        "n\r\n\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}";
    let answer = world.update(&json!({"name": hostile, "metadata": {"a\u{202e}b": hostile}})).await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": hostile});
    let denied = world.update(&json!({"schedule": zone})).await;
    assert_eq!((answer.status.as_u16(), denied.status.as_u16()), (200, 403));
    let applied = answer.header("changegate-change").unwrap();
    let denied = denied.header("changegate-change").unwrap();
    for arguments in [
        vec!["audit", "list"],
        vec!["audit", "list", "--full"],
        vec!["audit", "list", "--full", "--json"],
        vec!["audit", "list", "--events"],
        vec!["audit", "show", applied],
        vec!["audit", "show", denied],
        vec!["audit", "show", applied, "--json"],
        vec!["audit", "history", DEPLOYMENT],
        vec!["audit", "history", DEPLOYMENT, "--json", "--full"],
        vec!["audit", "show", hostile],
        vec!["audit", "list", "--since", hostile],
        vec!["audit", "history", hostile],
        vec!["check", "--config", hostile],
    ] {
        let ran = in_world(&world, &arguments);
        let steers =
            |c: &char| c.is_control() && *c != '\n' || !c.is_ascii() && hostile.contains(*c);
        let said = ran.out + &ran.err;
        assert_eq!(said.chars().find(steers), None, "{arguments:?}: {said:?}");
    }
    let shown = in_world(&world, &["audit", "show", applied, "--json"]);
    assert_eq!(json_lines(&shown.out)[0]["after"]["name"], hostile, "it means the same");
}

#[tokio::test]
async fn what_is_not_there_is_told_by_the_code() {
    let world = world().await;
    let unknown = format!("chg_{}", "0".repeat(32));
    for (arguments, code) in [
        (vec!["audit", "show", &unknown], 1),
        (vec!["audit", "history", "dep_nobody"], 1),
        (vec!["audit", "show", "nonsense"], 2),
        (vec!["audit", "list", "--since", "yesterday"], 2),
        (vec!["audit", "list", "--limit", "0"], 2),
        (vec!["audit", "list"], 0),
    ] {
        let ran = in_world(&world, &arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert_eq!(ran.err.is_empty(), code == 0, "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_missing_database_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[upstream]\nprovider = 'qoder'\nurl = 'https://api.qoder.com'\n\
                [audit]\ndatabase = 'sqlite://absent.db'\n";
    std::fs::write(folder.path().join("changegate.toml"), text).unwrap();
    let ran = run(folder.path(), &["audit", "list"], "");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("absent.db"), "{}", ran.err);
    assert!(!folder.path().join("absent.db").exists());
}

#[test]
fn schema_prints_what_either_file_or_one_of_them_holds() {
    let folder = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| {
        let ran = run(folder.path(), arguments, "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let both = printed(&["schema"]);
    for (file, pointer, taken) in [
        ("configuration", "/properties/limits/properties/json_depth/maximum", json!(128)),
        ("policy", "/properties/timezones/required", json!(["allowed"])),
    ] {
        let mut alone = printed(&["schema", file]);
        assert_eq!(alone.pointer(pointer), Some(&taken));
        let dialect = alone.as_object_mut().unwrap().remove("$schema").unwrap();
        assert_eq!(dialect, "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(both["$defs"][file], alone);
    }
    assert_eq!(run(folder.path(), &["schema", "log"], "").code, 2);
}

#[tokio::test]
async fn openapi_prints_what_the_gateway_serves() {
    let world = Setup::new().start().await;
    let ran = in_world(&world, &["openapi"]);
    assert_eq!(ran.code, 0);
    let printed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(printed, world.ask("/openapi.json").await);
}

#[test]
fn shells_complete_and_the_manual_has_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| {
        let ran = run(folder.path(), arguments, "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        ran.out
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("older-than"), "{shell}: {script}");
    }
    for wrong in [&["completions"][..], &["completions", "csh"]] {
        assert_eq!(run(folder.path(), wrong, "").code, 2, "{wrong:?}");
    }
    let page = printed(&["man"]);
    assert!(page.contains("\n.TH changegate 1"), "{page}");
    for command in ["serve", "audit list", "audit hold add", "policy test", "man"] {
        assert!(page.contains(&format!("\n.SS \"changegate {command}\"\n")), "{command}: {page}");
    }
    // The definitions of each part stand at the beginning, once.
    assert_eq!(page.matches(".ie ").count(), 1, "{page}");
}
