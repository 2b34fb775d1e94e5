//! Bodies as they were before their secrets were concealed: kept sealed, and shown to the role
//! admin for a reason that is on record.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::evidence::{attack, copied};
use crate::world::client::TOKEN;
use crate::world::command::run;
use crate::world::program::{Folder, Program};
use crate::world::{Answer, Call, DEPLOYMENT, admin_token, call, eventually};
use changegate::simulator::{Options, Simulator};

const SECRET: &str = "A=plain-as-day";

const NEWER: &str = "A=another-day";

/// A folder whose gateway seals, under a key in a folder of its own.
pub(crate) fn folder(simulator: &Simulator) -> Folder {
    let apart = tempfile::tempdir().unwrap().keep();
    let tokens = ["admin", "auditor"].map(|role| admin_token(&format!("{role}-token"), role, role));
    let key = apart.join("seal.key");
    let more = format!("{}[seal]\nkey_file = '{}'\n", tokens.concat(), key.display());
    Folder::new(simulator.address(), &more)
}

/// The file of a folder's sealing key.
pub(crate) fn key_file(folder: &Folder) -> PathBuf {
    let config = fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let end = config.split("[seal]\nkey_file = '").nth(1).unwrap();
    end.split('\'').next().unwrap().into()
}

pub(crate) async fn updated(program: &Program, patch: &Value) -> String {
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let answer = call(program.proxy, Call::post(&path).json(patch)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("changegate-change").unwrap().to_owned()
}

async fn unsealed(program: &Program, token: &str, id: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/changes/{id}/unseal");
    call(program.admin, Call::post(&path).token(token).json(body)).await
}

/// Events of a kind, newest first, once there is one.
async fn events(program: &Program, kind: &str) -> Vec<Value> {
    eventually(kind, async || {
        let call_for = Call::get("/api/v1/events").token("auditor-token");
        let events = call(program.admin, call_for).await.json();
        let of_kind = |event: &&Value| event["kind"] == kind;
        let found: Vec<Value> =
            events["data"].as_array().unwrap().iter().filter(of_kind).cloned().collect();
        (!found.is_empty()).then_some(found)
    })
    .await
}

fn reason() -> Value {
    json!({"reason": "the vault was lost"})
}

/// Whether a text is in any file of the log.
fn is_anywhere(folder: &Folder, text: &str) -> bool {
    let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let mut logs = files.filter(|file| file.to_string_lossy().contains("log.db"));
    let finder = memchr::memmem::Finder::new(text);
    logs.any(|file| finder.find(&fs::read(file).unwrap()).is_some())
}

#[tokio::test]
async fn originals_are_sealed_and_shown_for_a_reason_that_is_on_record() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let program = folder.serve().await;
    let plain = updated(&program, &json!({"name": "no secret here"})).await;
    let first = updated(&program, &json!({"environment_variables": SECRET})).await;
    let second = updated(&program, &json!({"environment_variables": NEWER})).await;

    let shown = unsealed(&program, "admin-token", &second, &reason()).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    let shown: Value = shown.json();
    assert_eq!(shown["patch"]["environment_variables"], NEWER);
    assert_eq!(shown["before"]["environment_variables"], SECRET);
    assert_eq!(shown["after"]["environment_variables"], NEWER);
    let told = events(&program, "unsealing").await;
    let expected = json!({"change": second, "by": "admin", "reason": "the vault was lost"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&told[0]["detail"][name], value, "{told:?}");
    }
    for (token, id, body, status) in [
        ("auditor-token", &first, reason(), 403),
        ("admin-token", &first, json!({"reason": "x"}), 400),
        ("admin-token", &first, json!({}), 400),
        ("admin-token", &plain, reason(), 404),
    ] {
        let refused = unsealed(&program, token, id, &body).await;
        assert_eq!(refused.status, status, "{token} {body}: {}", refused.text());
    }
    assert_eq!(events(&program, "unsealing").await.len(), 1, "what is refused shows nothing");
    // The record itself stays concealed, and its bytes hold no secret.
    let path = format!("/api/v1/changes/{first}");
    let change = call(program.admin, Call::get(&path).token("auditor-token")).await.json();
    assert!(!change.to_string().contains("plain-as-day"), "{change}");
    program.kill();
    assert!(!is_anywhere(&folder, "plain-as-day"));
}

#[tokio::test]
async fn an_original_that_is_altered_or_gone_is_found() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let mut program = folder.serve().await;
    updated(&program, &json!({"name": "no secret here"})).await;
    updated(&program, &json!({"environment_variables": SECRET})).await;
    let erased = updated(&program, &json!({"environment_variables": NEWER})).await;
    updated(&program, &json!({"environment_variables": "A=a-third-day"})).await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    // Of the changes beside it one half stays.
    for done in
        [&["audit", "erase", &erased, "--reason", "a test"][..], &["key", "rotate", "--seal"]]
    {
        let ran = folder.command(done).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
    for (sql, expected) in [
        ("SELECT 1", "sound"),
        ("UPDATE originals SET body = zeroblob(length(body)) WHERE half = 1", "altered-record"),
        ("UPDATE originals SET seq = seq + 10 WHERE half = 2", "missing-record"),
        ("DELETE FROM originals WHERE half = 1", "missing-record"),
        ("DELETE FROM originals WHERE half = 2", "missing-record"),
        ("DELETE FROM originals", "missing-record"),
        (
            "INSERT INTO originals SELECT 1, 2, key, wrapped, body FROM originals LIMIT 1",
            "altered-record",
        ),
        ("UPDATE changes SET sealed = NULL; DELETE FROM originals", "altered-record"),
    ] {
        let copy = copied(folder.path());
        attack(&copy.path().join("log.db"), sql).await;
        let ran = run(copy.path(), &["audit", "verify", "--database", "log.db"]);
        assert!(ran.out.contains(&format!("{expected}: ")), "{sql}: {ran:?}");
        assert_eq!(ran.code, i32::from(expected != "sound"), "{sql}: {ran:?}");
    }
}

#[tokio::test]
async fn a_key_is_changed_and_the_originals_stay() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let mut program = folder.serve().await;
    let id = updated(&program, &json!({"environment_variables": SECRET})).await;
    let rotate = ["key", "rotate", "--seal", "--json"];
    let held = folder.command(&rotate).output().unwrap();
    assert_eq!(held.status.code(), Some(3), "a gateway runs: {held:?}");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let rotated = folder.command(&rotate).output().unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    let rotated: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(rotated["originals"], 2, "{rotated}");
    assert_ne!(rotated["key"], rotated["former"]);
    let mut program = folder.serve().await;
    let shown = unsealed(&program, "admin-token", &id, &reason()).await;
    assert_eq!(shown.json()["patch"]["environment_variables"], SECRET);
    assert_eq!(events(&program, "seal_rotation").await[0]["detail"]["originals"], 2);
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    // With a key that is not theirs, no gateway starts; nor while a change of the key is half done.
    let file = key_file(&folder);
    let key = fs::read(&file).unwrap();
    fs::write(&file, format!("{}\n", "ab".repeat(32))).unwrap();
    let other = folder.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(3) && said.contains("are sealed under"), "{said}");
    fs::write(&file, key).unwrap();
    fs::copy(&file, file.with_extension("key.new")).unwrap();
    let halfway = folder.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&halfway.stderr).into_owned();
    assert!(halfway.status.code() == Some(3) && said.contains("being changed"), "{said}");
}

#[tokio::test]
async fn a_revert_restores_a_secret_from_its_original() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let program = folder.serve().await;
    updated(&program, &json!({"environment_variables": SECRET})).await;
    let bad = updated(&program, &json!({"environment_variables": NEWER})).await;
    let via = format!("http://{}", program.proxy);
    let admin = format!("http://{}", program.admin);
    let mut command = folder.command(&["audit", "revert", &bad, "--token-env", "OPERATOR"]);
    command.args(["--via", &via, "--admin", &admin, "--unseal", "a bad day, taken back"]);
    command.env("OPERATOR", TOKEN).env("CHANGEGATE_ADMIN_TOKEN", "admin-token");
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let shown = call(program.proxy, Call::get(&path)).await.json();
    assert_eq!(shown["environment_variables"], SECRET);
    assert_eq!(events(&program, "unsealing").await.len(), 1);
}

#[tokio::test]
async fn a_key_beside_the_database_is_refused_unless_told() {
    let simulator = Simulator::start(Options::default()).unwrap();
    for (more, code) in [("", 2), ("beside_database = true\n", 0)] {
        let seal = format!("[seal]\nkey_file = 'seal.key'\n{more}");
        let folder = Folder::new(simulator.address(), &seal);
        let checked = folder.command(&["check"]).output().unwrap();
        let text = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert_eq!(checked.status.code(), Some(code), "{text}");
        assert_eq!(code == 2, text.contains("a key beside the database"), "{text}");
    }
}
