//! Erasing through the door: what goes is in no file any more, what stays is told as it was, and
//! `audit verify` tells one from what somebody has taken away.

mod again;
mod killed;
mod sealed;

use std::fs;
use std::path::Path;

use memchr::memmem::Finder;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use tempfile::TempDir;

use crate::evidence::{attack, copied};
use crate::postgres::server::TestDatabase;
use crate::retention::{nothing_is_orphaned, open};
use crate::world::command::{Ran, on_terminal, run};
use crate::world::load::Load;
use crate::world::program::Folder;
use crate::world::{Answer, Call, DEPLOYMENT, Setup, World, call, eventually, world};

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
    let own = format!("member-{CANARY}");
    let denied = world.update(&json!({"metadata": metadata, own: true})).await;
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

/// A copy of a folder whose log was altered by somebody who has the file.
async fn attacked(folder: &Path, sql: &str) -> TempDir {
    let copy = copied(folder);
    attack(&copy.path().join("log.db"), sql).await;
    copy
}

#[tokio::test]
async fn what_is_altered_beside_an_erasure_is_found() {
    let world = world().await;
    let (first, denied, told) = told_a_secret(&world).await;
    let (folder, _simulator) = world.end().await;
    let folder = folder.path();
    for change in [&denied, &told] {
        assert_eq!(erase(folder, &[change]).code, 0);
    }
    let of = |id: &str| format!("id = unhex('{}')", id.trim_start_matches("chg_"));
    let (of_first, of_told) = (of(&first), of(&told));
    let leaf = format!("kind = 1 AND ref = (SELECT seq FROM changes WHERE {of_told})");
    let forged = format!(
        "UPDATE leaves SET entry = zeroblob(9), salt = zeroblob(32) \
         WHERE kind = 1 AND ref = (SELECT seq FROM changes WHERE {of_first})"
    );
    let newest = "SELECT max(seq) FROM events WHERE kind = 'erase'";
    let more = format!(
        "UPDATE events SET detail = json_set(detail, '$.leaves', '1', '$.left', \
         json_array(printf('%032x', 1))) WHERE seq = ({newest})"
    );
    for (sql, word) in [
        // What stays: shown in the entry or not.
        (format!("UPDATE changes SET client_ip = '192.0.2.9' WHERE {of_told}"), "altered-record"),
        (format!("UPDATE changes SET operation = 'pause' WHERE {of_told}"), "altered-record"),
        (format!("UPDATE changes SET unkept = NULL WHERE {of_told}"), "altered-record"),
        (format!("UPDATE leaves SET salt = zeroblob(32) WHERE {leaf}"), "altered-record"),
        (format!("UPDATE leaves SET salt = NULL WHERE {leaf}"), "altered-hash"),
        // An erasure without its event, and an event without its erasure.
        (format!("UPDATE changes SET patch = NULL WHERE {of_first}"), "altered-record"),
        (forged, "altered-record"),
        (format!("DELETE FROM events WHERE seq = ({newest})"), "missing-record"),
        (more, "altered-record"),
        (
            "INSERT INTO events (at, kind, detail) VALUES (1, 'erase', json_object('leaves', '1', \
             'left', json_array(printf('%032x', 1))))"
                .to_owned(),
            "altered-record",
        ),
        // A body that is still there, or again.
        (format!("UPDATE changes SET patch = x'28b52ffd0000' WHERE {of_told}"), "altered-record"),
        (
            format!("DELETE FROM ends WHERE seq = (SELECT seq FROM changes WHERE {of_told})"),
            "missing-record",
        ),
    ] {
        let copy = attacked(folder, &sql).await;
        let (code, words) = verified(copy.path());
        assert!(code == 1 && words.iter().any(|found| found == word), "{sql}: {words:?}");
    }
    assert_eq!(verified(folder), sound());
}

#[tokio::test]
async fn an_erased_change_is_proven_with_its_erasure() {
    let evidence = "[evidence]\ninterval = \"1s\"\n";
    let world = Setup::new().config(evidence).start().await;
    let (_first, _denied, told) = told_a_secret(&world).await;
    let (folder, simulator) = world.end().await;
    assert_eq!(erase(folder.path(), &[&told]).code, 0);
    let early = audit(folder.path(), &["prove", &told]);
    assert!(early.code == 1 && early.err.contains("erasure of change"), "{early:?}");
    // The next checkpoint is over the erasure.
    let world = World::again(folder, simulator).await;
    let bundle = eventually("a proof", async || {
        let ran = audit(world.folder.path(), &["prove", &told]);
        (ran.code == 0).then_some(ran.out)
    })
    .await;
    let keys = call(world.admin(), Call::get("/api/v1/log/key")).await.text();
    let key = keys.lines().next().unwrap();
    let (folder, _simulator) = world.end().await;
    let proven: Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!((&proven["bodies"], &proven["record"]["operation"]), (&json!({}), &json!("update")));
    let check = |bundle: &Value| {
        fs::write(folder.path().join("proof.json"), bundle.to_string()).unwrap();
        run(folder.path(), &["audit", "verify", "--bundle", "proof.json", "--key", key])
    };
    let ran = check(&proven);
    assert_eq!(ran.code, 0, "{ran:?}");
    for (pointer, value) in [
        ("/record/client_ip", json!("192.0.2.9")),
        ("/erasure/left/decision", json!("deny")),
        ("/erasure/record/detail", json!("{}")),
        ("/erasure/entry/seq", json!(1)),
        ("/erasure/salt", proven["salt"].clone()),
        ("/entry/outcome", json!("failed")),
        ("/bodies", json!({"patch": {"name": "another"}})),
        ("/erasure", Value::Null),
    ] {
        let mut other = proven.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        let ran = check(&other);
        assert_eq!(ran.code, 1, "{pointer}: {ran:?}");
    }
}

#[tokio::test]
async fn every_command_says_that_it_was_erased() {
    let world = world().await;
    let (first, _denied, told) = told_a_secret(&world).await;
    let (folder, simulator) = world.end().await;
    assert_eq!(erase(folder.path(), &[&told]).code, 0);
    let shown = audit(folder.path(), &["show", &told]);
    assert!(shown.code == 0 && shown.out.contains("patch, before, after"), "{shown:?}");
    let beside = audit(folder.path(), &["show", &first]);
    assert!(beside.out.contains("erased") && beside.out.contains("after"), "{beside:?}");
    let json = audit(folder.path(), &["show", &told, "--json"]);
    let change: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(change["unkept"]["erased"], json!(["patch", "before", "after"]));
    assert_eq!((&change["patch"], &change["diff"]), (&Value::Null, &json!([])));
    let diff = audit(folder.path(), &["diff", &told]);
    assert!(diff.code == 1 && diff.err.contains("were erased"), "{diff:?}");
    let time = change["completed_at"].as_str().unwrap();
    let at = audit(folder.path(), &["at", DEPLOYMENT, time]);
    assert!(at.err.contains("was erased"), "{at:?}");
    let blame = audit(folder.path(), &["blame", DEPLOYMENT, "--json"]);
    assert!(blame.code == 0 && blame.out.contains("\"set_by\":\"erased\""), "{blame:?}");
    assert!(!blame.out.contains("\"set_by\":\"around\""), "{blame:?}");
    let export = audit(folder.path(), &["export", "--format", "jsonl"]);
    let erased = "\"erased\":[\"patch\",\"before\",\"after\"]";
    assert!(export.code == 0 && export.out.contains(erased), "{export:?}");
    let drift = audit(folder.path(), &["drift"]);
    assert!(drift.code == 0 && !drift.out.contains(DEPLOYMENT), "{drift:?}");
    let status = audit(folder.path(), &["erase", "--status"]);
    assert!(status.out.contains("complete since"), "{status:?}");
    assert!(status.out.contains("a request of the person"), "{status:?}");
    // The gateway goes on upon it, and what is there again is that of the last change.
    let world = World::again(folder, simulator).await;
    let status = on_terminal(&world, 80, &[("NO_COLOR", "1")], &["audit", "erase", "--status"]);
    assert!(status.contains("a request of the person"), "{status}");
    assert!(status.lines().all(|line| line.len() <= 80), "{status}");
    let answer = world.update(&json!({"name": "after it"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let next = world.change_of(&answer).await;
    assert_eq!(next["before"]["description"], "nothing");
    let page = call(world.admin(), Call::get(&format!("/changes/{told}"))).await.text();
    assert!(page.contains("Erased: patch, before, after"), "{page}");
    let (folder, _simulator) = world.end().await;
    assert_eq!(verified(folder.path()), sound());
    let all = erase(folder.path(), &["--deployment", DEPLOYMENT]);
    assert_eq!(all.code, 0, "{all:?}");
    let at = audit(folder.path(), &["at", DEPLOYMENT, "now"]);
    assert!(at.code == 1 && at.err.contains("was erased"), "{at:?}");
    let blame = audit(folder.path(), &["blame", DEPLOYMENT]);
    assert!(blame.code == 1 && blame.err.contains("was erased"), "{blame:?}");
    assert_eq!(verified(folder.path()), sound());
}

#[tokio::test]
async fn what_may_not_be_erased_is_refused_and_stays() {
    let config = "[retention]\nhold = [{ team = 'held' }]\n";
    let world = Setup::new().config(config).start().await;
    let (first, ..) = told_a_secret(&world).await;
    let folder = world.folder.path().to_owned();
    let running = erase(&folder, &[&first]);
    assert!(running.code == 3 && running.err.contains("stop it first"), "{running:?}");
    let (_folder, _simulator) = world.end().await;
    let unknown = format!("chg_{}", "ab".repeat(16));
    for (what, code, word) in [
        (vec![unknown.as_str()], 1, "has no change"),
        (vec!["--deployment", "dep_nobody"], 1, "has no deployment"),
        (vec!["chg_7"], 2, "names no change"),
        (vec![], 2, "required"),
    ] {
        let ran = erase(&folder, &what);
        assert!(ran.code == code && ran.err.contains(word), "{what:?}: {ran:?}");
    }
    for reason in ["", " ", &"x".repeat(1_025)] {
        let ran = audit(&folder, &["erase", &first, "--reason", reason]);
        assert!(ran.code == 2 && ran.err.contains("write a reason"), "{ran:?}");
    }
    let held = audit(&folder, &["hold", "add", "--deployment", DEPLOYMENT]);
    assert_eq!(held.code, 0, "{held:?}");
    for what in [vec![first.as_str()], vec!["--deployment", DEPLOYMENT]] {
        let ran = erase(&folder, &what);
        assert!(ran.code == 1 && ran.err.contains("is held, by its deployment"), "{ran:?}");
    }
    assert!(is_anywhere(&folder, CANARY.as_bytes()), "nothing was erased");
    assert_eq!(verified(&folder), sound());
}

#[tokio::test]
async fn events_that_repeat_what_is_erased_lose_it_too() {
    let world = world().await;
    world.update(&json!({"name": "first"})).await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let by_hand = Call::post(&path).json(&json!({"description": CANARY}));
    assert_eq!(call(world.simulator().address(), by_hand).await.status, 200);
    let found = id_of(&world.update(&json!({"name": "second"})).await);
    assert!(world.events("drift", 1).await[0].to_string().contains(CANARY));
    world.update(&json!({"description": "nothing"})).await;
    let (folder, simulator) = world.end().await;
    assert!(is_anywhere(folder.path(), CANARY.as_bytes()), "the event has it in clear");
    let ran = erase(folder.path(), &[&found]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!is_anywhere(folder.path(), CANARY.as_bytes()));
    assert_eq!(verified(folder.path()), sound());
    let drift = audit(folder.path(), &["drift"]);
    assert_eq!(drift.code, 0, "{drift:?}");
    let world = World::again(folder, simulator).await;
    let drift = &world.events("drift", 1).await[0]["detail"];
    assert_eq!((&drift["erased"], &drift["change"]), (&json!(true), &json!(found)));
    let page = call(world.admin(), Call::get("/drift")).await;
    assert_eq!(page.status, 200, "{}", page.text());
}

#[tokio::test]
async fn an_erased_log_is_moved_whole_and_is_sound_there() {
    let Some(database) = TestDatabase::new() else { return };
    let world = world().await;
    let (_first, denied, told) = told_a_secret(&world).await;
    let (folder, _simulator) = world.end().await;
    let folder = folder.path();
    assert_eq!(erase(folder, &[&denied]).code, 0);
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let copied = run(folder, &["audit", "copy", "--from", "log.db", "--to", &database.url()]);
    assert_eq!(copied.code, 0, "{copied:?}");
    let config = fs::read_to_string(folder.join("changegate.toml")).unwrap();
    let url = database.url().replace("//postgres@", "//changegate@");
    fs::write(folder.join("changegate.toml"), config.replace("sqlite://log.db", &url)).unwrap();
    assert_eq!(verified(folder), sound());
    let ran = erase(folder, &[&told]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(verified(folder), sound());
    let texts = "SELECT string_agg(violations, '') FROM changegate.changes";
    assert!(!database.sql(texts).contains(CANARY));
    let status = audit(folder, &["erase", "--status"]);
    assert_eq!(status.out.lines().count(), 2, "{status:?}");
}

#[tokio::test]
async fn a_gateway_builds_upon_nothing_that_was_erased_beside_it() {
    let Some(database) = TestDatabase::new() else { return };
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "");
    folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
    let program = folder.serve().await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let update = async |text: &str| {
        call(program.proxy, Call::post(&path).json(&json!({"description": text}))).await
    };
    let long = "a text that stays ".repeat(40);
    let first = update(&format!("{long} one")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let ran = erase(folder.path(), &[&id_of(&first)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // What it remembers of the deployment is gone: it takes along what it named before.
    let next = update(&format!("{long} two")).await;
    assert_eq!(next.status, 200, "{}", next.text());
    let shown = audit(folder.path(), &["show", &id_of(&next), "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["before"]["description"], format!("{long} one"));
    assert_eq!(shown["after"]["description"], format!("{long} two"));
    program.kill();
    assert_eq!(verified(folder.path()), sound());
}
