//! Evidence: what who has the file of the log can do to it, and what `audit verify` calls each.

mod forged;

use std::path::Path;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;

pub(crate) use self::forged::{Forgery, Way};
use crate::world::command::{Ran, run};
use crate::world::dice::{Dice, seed};
use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call, eventually, world};

/// Changes of several kinds and ends.
async fn fill(world: &World) {
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    for body in [
        json!({"name": "first"}),
        json!({"description": "a longer text, so that there is something to alter"}),
        json!({"metadata": {"owner_override": "me"}}),
        json!({"initial_events": 7}),
        json!({"schedule": zone}),
        json!({"name": "second"}),
    ] {
        world.update(&body).await;
    }
}

/// The folder of a gateway that has ended, with a log of several changes.
async fn ended() -> TempDir {
    ended_by(world().await).await
}

async fn ended_by(world: World) -> TempDir {
    fill(&world).await;
    world.end().await.0
}

fn verify(folder: &Path, more: &[&str]) -> Ran {
    run(folder, &[&["audit", "verify", "--config", "changegate.toml"], more].concat())
}

/// The words of a verification's findings.
fn words(ran: &Ran) -> Vec<&str> {
    ran.out.lines().filter_map(|line| line.split_once(": ")).map(|(word, _)| word).collect()
}

async fn open(database: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(database).connect().await.unwrap()
}

/// Alters a log as who has its file can, the triggers dropped before.
pub(crate) async fn attack(database: &Path, sql: &str) {
    let mut log = open(database).await;
    for off in ["foreign_keys = OFF", "ignore_check_constraints = ON"] {
        let pragma = AssertSqlSafe(format!("PRAGMA {off}"));
        sqlx::query(pragma).execute(&mut log).await.unwrap();
    }
    let triggers = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'trigger'");
    for trigger in triggers.fetch_all(&mut log).await.unwrap() {
        let drop = format!("DROP TRIGGER {}", trigger.get::<String, _>(0));
        sqlx::query(AssertSqlSafe(drop)).execute(&mut log).await.unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut log).await.unwrap();
    log.close().await.unwrap();
}

/// A copy of a folder.
pub(crate) fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test]
async fn a_log_that_nobody_altered_is_sound() {
    let folder = ended().await;
    let ran = verify(folder.path(), &[]);
    assert_eq!((ran.code, words(&ran)), (0, vec!["sound"]), "{ran:?}");
    assert!(ran.out.contains("are signed, as of "), "{ran:?}");
    assert!(ran.err.contains("the keys are those that the log names itself"), "{ran:?}");
    // A copy of the log, and nothing else.
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("log.db"), alone.path().join("copy.db")).unwrap();
    let ran = run(alone.path(), &["audit", "verify", "--database", "copy.db", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let result: Value = serde_json::from_str(ran.out.trim()).unwrap();
    assert_eq!(result["verified"]["found"], 0);
    assert_eq!(result["verified"]["leaves"], result["verified"]["signed"]);
}

#[tokio::test]
async fn what_is_done_to_a_log_has_its_word() {
    let folder = ended().await;
    for (sql, expected) in [
        ("UPDATE changes SET client_ip = '192.0.2.1' WHERE seq = 2", "altered-record"),
        (
            "UPDATE changes SET decision = 'allow', violations = NULL WHERE seq = 3",
            "altered-record",
        ),
        ("UPDATE ends SET outcome = 'rejected' WHERE seq = 1", "altered-record"),
        ("UPDATE events SET detail = '{}' WHERE seq = 1", "altered-record"),
        ("UPDATE policies SET text = '' WHERE number = 1", "altered-record"),
        ("UPDATE keys SET at = at + 1", "altered-record"),
        ("UPDATE nodes SET name = 'other'", "altered-record"),
        ("UPDATE deployments SET id = 'dep_other'", "altered-record"),
        ("UPDATE snapshots SET body = zeroblob(10) WHERE number = 2", "altered-record"),
        ("UPDATE changes SET before = 2 WHERE seq = 1", "altered-record"),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE position = 4", "altered-hash"),
        ("UPDATE leaves SET salt = NULL WHERE position = 4", "altered-hash"),
        ("DELETE FROM leaves WHERE kind = 1 AND ref = 2", "missing-leaf"),
        ("DELETE FROM ends WHERE seq = 2", "missing-record"),
        ("DELETE FROM events WHERE seq = 1", "missing-record"),
        (
            "DELETE FROM leaves WHERE kind = 1 AND ref = 2; DELETE FROM ends WHERE seq = 2; \
          DELETE FROM changes WHERE seq = 2",
            "gap",
        ),
        ("UPDATE sqlite_sequence SET seq = 200000 WHERE name = 'changes'", "gap"),
        ("DELETE FROM leaves WHERE position > 5", "cut-tail"),
        ("UPDATE tree SET size = 3; DELETE FROM leaves WHERE position > 2", "cut-tail"),
        ("DELETE FROM checkpoint", "sound"),
        // What finds records.
        (
            "DELETE FROM touched WHERE seq = (SELECT max(seq) FROM touched) AND kind = 0",
            "altered-record",
        ),
        (
            "INSERT INTO touched SELECT max(place), 5, min(seq) FROM touched WHERE kind < 5",
            "altered-record",
        ),
        ("UPDATE places SET path = path || 'x' WHERE path = '/name'", "altered-record"),
        ("DELETE FROM broken", "altered-record"),
        ("INSERT INTO broken VALUES ('another', 1)", "altered-record"),
        ("INSERT INTO pending VALUES (1)", "altered-record"),
        ("DELETE FROM spans", "altered-record"),
        ("UPDATE spans SET first_at = first_at + 1", "altered-record"),
        // Where more changes are looked at than need be, each is found.
        ("UPDATE spans SET last_at = last_at + 1", "sound"),
        ("UPDATE checkpoint SET note = replace(note, 'A', 'B')", "unsigned"),
        (
            "INSERT INTO changes SELECT 99, zeroblob(16), upstream, policy, node, operation, \
              method, \
          deployment, actor_fingerprint, actor_name, actor_team, actor_person, client_ip, \
          user_agent, client_retry, request_id, received_at, decided_at, decision, violations, \
          standing, patch, before, body_bytes, body_digest, redacted, unkept, approval, reverts, \
          sealed \
          FROM changes WHERE seq = 1",
            "missing-record",
        ),
    ] {
        let copy = copied(folder.path());
        attack(&copy.path().join("log.db"), sql).await;
        let ran = verify(copy.path(), &[]);
        assert!(words(&ran).contains(&expected), "{sql}: {ran:?}");
        assert_eq!(ran.code, i32::from(expected != "sound"), "{sql}: {ran:?}");
    }
}

/// Names are found through tables of their own, in which anybody can put more.
#[tokio::test]
async fn rows_that_no_change_names_hide_none() {
    let folder = ended().await;
    let copy = copied(folder.path());
    let junk = "INSERT INTO deployments (upstream, id) \
        WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 70) \
        SELECT 'junk' || n, (SELECT min(id) FROM deployments) FROM more";
    attack(&copy.path().join("log.db"), junk).await;
    let list = ["audit", "list", "--deployment-id", DEPLOYMENT, "--json", "--database", "log.db"];
    let (before, after) = (run(folder.path(), &list), run(copy.path(), &list));
    assert!(before.out.contains(DEPLOYMENT), "{before:?}");
    assert_eq!(after.out, before.out);
}

#[tokio::test]
async fn an_old_backup_that_is_put_back_is_found_by_the_newest_checkpoint() {
    let folder = ended().await;
    let old = copied(folder.path());
    let config = changegate::config::check::check(&folder.path().join("changegate.toml"), &[]);
    let options = changegate::server::Options::default();
    let server = changegate::server::Server::start(config.config.unwrap(), options).await.unwrap();
    server.shutdown().await;
    let elsewhere = std::fs::read_to_string(folder.path().join("key.checkpoint")).unwrap();
    assert_eq!(verify(folder.path(), &[]).code, 0);

    std::fs::copy(old.path().join("log.db"), folder.path().join("log.db")).unwrap();
    let ran = verify(folder.path(), &[]);
    assert_eq!((ran.code, words(&ran)), (1, vec!["cut-tail"]), "{ran:?}");
    // By itself the backup is sound; a checkpoint that lay elsewhere tells.
    assert_eq!(verify(old.path(), &[]).code, 0);
    std::fs::write(old.path().join("elsewhere"), &elsewhere).unwrap();
    let ran = verify(old.path(), &["--checkpoint", "elsewhere"]);
    assert_eq!((ran.code, words(&ran)), (1, vec!["cut-tail"]), "{ran:?}");
}

#[tokio::test]
async fn another_log_in_the_place_of_this_one_is_signed_by_another_key() {
    let apart = Setup::new().config("[evidence]\nkey_file = 'own.key'\n").start().await;
    let (own, other) = (ended_by(apart).await, ended().await);
    let world_key = run(own.path(), &["audit", "verify", "--database", "log.db", "--json"]);
    let result: Value = serde_json::from_str(world_key.out.trim()).unwrap();
    let key = result["verified"]["keys"][0].as_str().unwrap().to_owned();
    assert_eq!(verify(own.path(), &["--key", &key]).code, 0);
    std::fs::copy(other.path().join("log.db"), own.path().join("log.db")).unwrap();
    let ran = verify(own.path(), &["--key", &key]);
    assert_eq!(ran.code, 1);
    assert!(words(&ran).contains(&"unknown-key"), "{ran:?}");
    // Without the key the remembered checkpoint tells, which that key signed.
    let ran = verify(own.path(), &[]);
    assert!(words(&ran).contains(&"unsigned"), "{ran:?}");
}

#[tokio::test]
async fn a_byte_anywhere_in_a_log_is_found() {
    let folder = ended().await;
    let whole = std::fs::read(folder.path().join("log.db")).unwrap();
    let mut dice = Dice::of(seed(), "bytes of a log");
    let mut found = 0;
    for _ in 0..40 {
        let copy = copied(folder.path());
        let mut bytes = whole.clone();
        // Rows lie where there are other bytes than zero.
        let place = loop {
            let place = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
            if place >= 100 && bytes[place] != 0 {
                break place;
            }
        };
        bytes[place] ^= 1 << dice.roll(8);
        std::fs::write(copy.path().join("log.db"), &bytes).unwrap();
        let ran = verify(copy.path(), &[]);
        assert!([0, 1, 3].contains(&ran.code), "{place}: {ran:?}");
        found += usize::from(ran.code != 0);
        if ran.code == 0 {
            // Then no record is told otherwise: it was a trigger's text, or free room.
            let list = |folder: &Path| run(folder, &["audit", "list", "--json", "--full", "--all"]);
            let listed = list(copy.path());
            assert!(listed.code != 0 || listed.out == list(folder.path()).out, "{place}");
        }
    }
    assert!(found > 10, "{found} of 40");
}

#[tokio::test]
async fn a_change_is_proven_without_the_log() {
    let world = Setup::new().config("[evidence]\ninterval = '1s'\n").start().await;
    let answer = world.update(&json!({"name": "proven"})).await;
    let id = answer.header("changegate-change").unwrap().to_owned();
    let text = async |path: &str| {
        let answer = call(world.admin(), Call::get(&format!("/api/v1/log/{path}"))).await;
        (answer.status == 200).then(|| answer.text())
    };
    let proof = format!("proof/{id}");
    let proof = eventually("a proof", async || text(&proof).await).await;
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex "), "{proof}");
    let keys = text("key").await.unwrap();
    let key = keys.lines().next().unwrap();
    let checkpoint = text("checkpoint").await.unwrap();
    assert!(checkpoint.starts_with("changegate.local/"), "{checkpoint}");
    let folder = world.folder.path();
    let ran = run(folder, &["audit", "prove", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let bundle: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(bundle["bodies"]["patch"], json!({"name": "proven"}));
    assert_eq!(bundle["decision"], "allow");
    let alone = tempfile::tempdir().unwrap();
    let check = |bundle: &Value, key: &str| {
        std::fs::write(alone.path().join("bundle"), bundle.to_string()).unwrap();
        run(alone.path(), &["audit", "verify", "--bundle", "bundle", "--key", key])
    };
    let ran = check(&bundle, key);
    assert_eq!(ran.code, 0, "{ran:?}");
    for (pointer, other, word) in [
        ("/bodies/patch/name", json!("other"), "altered-record"),
        ("/bodies/after", Value::Null, "altered-record"),
        ("/record/client_ip", json!("192.0.2.1"), "altered-record"),
        ("/decision", json!("deny"), "altered-record"),
        ("/policy", json!(""), "altered-record"),
        ("/policy", Value::Null, "altered-record"),
        ("/entry/outcome", json!("denied"), "altered-hash"),
    ] {
        let mut bundle = bundle.clone();
        *bundle.pointer_mut(pointer).unwrap() = other;
        let ran = check(&bundle, key);
        assert_eq!(ran.code, 1, "{pointer}: {ran:?}");
        assert!(words(&ran).contains(&word), "{pointer}: {ran:?}");
    }
    // Nothing that is not proven stands beside what is.
    for pointer in ["", "/bodies"] {
        let mut bundle = bundle.clone();
        bundle.pointer_mut(pointer).unwrap()["original"] = json!({"name": "forged"});
        assert_eq!(check(&bundle, key).code, 1, "{pointer}");
    }
    // Nor twice: others may read the other one.
    let twice =
        bundle.to_string().replacen("\"bodies\":{", "\"bodies\":{\"after\":{\"name\":1},", 1);
    std::fs::write(alone.path().join("bundle"), twice).unwrap();
    let ran = run(alone.path(), &["audit", "verify", "--bundle", "bundle", "--key", key]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let others = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(words(&check(&bundle, others)), ["unknown-key"]);
    let mut forged = bundle;
    let proof =
        forged["proof"].as_str().unwrap().replacen("changegate.local", "changegate.other", 1);
    forged["proof"] = json!(proof);
    assert_eq!(check(&forged, key).code, 1);
}

#[tokio::test]
async fn checkpoints_come_also_when_nothing_happens() {
    let config =
        "[evidence]\ninterval = '1s'\ncheckpoint_file = 'cp'\norigin = 'example.com/log'\n";
    let world = Setup::new().config(config).start().await;
    let file = world.folder.path().join("cp");
    let first = eventually("a checkpoint", async || std::fs::read_to_string(&file).ok()).await;
    assert!(first.starts_with("example.com/log\n"), "{first}");
    let size = |text: &str| text.lines().nth(1).unwrap().to_owned();
    let later = eventually("the next ones", async || {
        let text = std::fs::read_to_string(&file).unwrap();
        (text != first && size(&text) == size(&first)).then_some(text)
    });
    let later = later.await;
    assert_eq!(later.lines().nth(2), first.lines().nth(2), "the same tree");
}

#[tokio::test]
async fn a_viewer_reads_the_tree_and_nobody_without_a_token() {
    let config = admin_token("t-viewer", "eve", "viewer");
    let world = Setup::new().config(&config).start().await;
    world.update(&json!({"name": "n"})).await;
    eventually("a checkpoint", async || {
        let asked = Call::get("/api/v1/log/checkpoint").token("t-viewer");
        (call(world.admin(), asked).await.status == 200).then_some(())
    })
    .await;
    for (path, status) in [
        ("checkpoint", 200),
        ("key", 200),
        ("tile/0/000.p/1", 200),
        ("tile/entries/000.p/1", 200),
        ("tile/0/000", 404),
        ("tile/0/x000/000", 404),
        ("tile/../checkpoint", 404),
        ("proof/chg_00000000000000000000000000000000", 404),
        ("proof/none", 404),
    ] {
        let path = format!("/api/v1/log/{path}");
        let answer = call(world.admin(), Call::get(&path).token("t-viewer")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(call(world.admin(), Call::get(&path)).await.status, 401, "{path}");
    }
}
