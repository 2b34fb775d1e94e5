//! Witnesses of checkpoints: asked as the log grows, by every gateway of it, and never waited for.

mod bad;

use std::path::Path;

use serde_json::{Value, json};

use crate::evidence::copied;
use crate::postgres::server::TestDatabase;
use crate::world::command::{Ran, run};
use crate::world::witness::{Asked, Witness};
use crate::world::{Call, Setup, World, call, eventually};

/// The name of a witness's key.
const NAME: &str = "witness.example/w1";

/// The table that has a log signed by these witnesses.
fn evidence(witnesses: &[&Witness], keys: &[&str]) -> String {
    let urls: Vec<&str> = witnesses.iter().map(|witness| witness.url.as_str()).collect();
    let (urls, keys) = (json!(urls), json!(keys));
    format!(
        "[evidence]\norigin = 'example.com/log'\ninterval = '1s'\ncheckpoint_file = 'cp'\n\
         witness_urls = {urls}\nwitness_keys = {keys}\n"
    )
}

/// A text of the admin API or the console.
async fn text(world: &World, path: &str) -> String {
    call(world.admin(), Call::get(path)).await.text()
}

/// The line that the log's key is known by.
async fn log_key(world: &World) -> String {
    let keys = eventually("the log's keys", async || {
        let keys = text(world, "/api/v1/log/key").await;
        keys.starts_with("example.com/log+").then_some(keys)
    });
    keys.await.lines().next().unwrap().to_owned()
}

/// The newest checkpoint, once it holds that many records at least and has as many lines of
/// signatures by witnesses.
async fn checkpoint(world: &World, size: u64, lines: usize) -> String {
    eventually("a checkpoint with its signatures", async || {
        let note = text(world, "/api/v1/log/checkpoint").await;
        let found = size_of(&note)? >= size && note.matches("\u{2014} witness.").count() == lines;
        found.then_some(note)
    })
    .await
}

/// A bundle with another signature by the witness.
fn spoilt(bundle: &str) -> String {
    let mut bytes = bundle.as_bytes().to_vec();
    // Behind the id of the key and the time.
    let at = bundle.rfind(NAME).unwrap() + NAME.len() + 30;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn size_of(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

fn verify(folder: &Path, more: &[&str]) -> Ran {
    run(folder, &[&["audit", "verify", "--config", "changegate.toml"], more].concat())
}

/// How often a witness failed, as the metrics tell.
async fn failures(world: &World, witness: &Witness) -> u64 {
    metric(world, "changegate_witness_failures_total", witness).await
}

async fn metric(world: &World, name: &str, witness: &Witness) -> u64 {
    let label = witness.url.strip_prefix("http://").unwrap();
    let metrics = text(world, "/metrics").await;
    let start = format!("{name}{{witness=\"{label}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{start} is not in {metrics}")).parse().unwrap()
}

/// A setup on each kind of store that is at hand.
fn setups() -> Vec<(Setup, Option<TestDatabase>)> {
    let mut setups = vec![(Setup::new(), None)];
    if let Some(database) = TestDatabase::new() {
        let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
        assert_eq!(made.code, 0, "{made:?}");
        let url = database.url().replace("//postgres@", "//changegate@");
        setups.push((Setup::new().log_at(&url), Some(database)));
    }
    setups
}

/// Whether a witness was shown that a tree has grown, by a proof.
fn was_proven(asked: &[Asked]) -> bool {
    asked.iter().any(|one| one.old > 0 && one.proof > 0 && one.status == 200)
}

#[tokio::test]
async fn checkpoints_are_signed_by_a_witness_as_the_log_grows() {
    for (setup, _database) in setups() {
        let witness = Witness::start(NAME, 1).await;
        let world = setup.config(&evidence(&[&witness], &[&witness.vkey])).start().await;
        // Until it knows the log, it does not sign.
        eventually("a refusal", async || {
            text(&world, "/log").await.contains("does not know the origin").then_some(())
        })
        .await;
        assert_eq!(
            metric(&world, "changegate_witness_cosigned_timestamp_seconds", &witness).await,
            0
        );
        assert!(failures(&world, &witness).await > 0);
        let key = log_key(&world).await;
        witness.trust(&key);
        let mut size = 1;
        let mut change = String::new();
        for name in ["first", "second", "third"] {
            let answer = world.update(&json!({ "name": name })).await;
            answer.header("changegate-change").unwrap().clone_into(&mut change);
            size = size_of(&checkpoint(&world, size + 1, 1).await).unwrap();
        }
        assert!(was_proven(&witness.asked()), "{:?}", witness.asked());
        assert!(
            metric(&world, "changegate_witness_cosigned_timestamp_seconds", &witness).await > 0
        );
        let page = text(&world, "/log").await;
        assert!(page.contains(">signs<") && page.contains(NAME), "{page}");
        // Where checkpoints are put, and where they are used.
        let folder = world.folder.path();
        for file in ["cp", "key.checkpoint"] {
            eventually(file, async || {
                let note = std::fs::read_to_string(folder.join(file)).unwrap();
                note.contains(&format!("\u{2014} {NAME} ")).then_some(())
            })
            .await;
        }
        let bundle = eventually("a proof with its signatures", async || {
            let bundle = run(folder, &["audit", "prove", &change]);
            bundle.out.contains(NAME).then_some(bundle.out)
        })
        .await;
        std::fs::write(folder.join("bundle"), &bundle).unwrap();
        let bundled = ["audit", "verify", "--bundle", "bundle", "--key", &key];
        let ran = run(folder, &bundled);
        assert!(ran.code == 0 && !ran.out.contains("witness"), "{ran:?}");
        let ran = run(folder, &[&bundled[..], &["--key", &witness.vkey]].concat());
        assert!(ran.code == 0 && ran.out.contains("also by 1 of 1 witness."), "{ran:?}");
        let other = Witness::start(NAME, 2).await;
        let ran = run(folder, &[&bundled[..], &["--key", &other.vkey]].concat());
        assert!(ran.code == 0 && ran.out.contains("also by 0 of 1 witness."), "{ran:?}");
        // A signature of a key that is known, and does not hold, spoils what it is below.
        std::fs::write(folder.join("bundle"), spoilt(&bundle)).unwrap();
        let ran = run(folder, &[&bundled[..], &["--key", &witness.vkey]].concat());
        assert!(ran.code == 1 && ran.out.starts_with("unsigned: "), "{ran:?}");
        assert_eq!(run(folder, &bundled).code, 0);
        checkpoint(&world, size, 1).await;
        let ran = verify(folder, &["--key", &key, "--key", &other.vkey]);
        assert!(ran.code == 0 && ran.out.contains("also by 1 of 2 witnesses."), "{ran:?}");
        assert!(ran.err.contains("signs none of these checkpoints"), "{ran:?}");
        let ran = verify(folder, &["--json"]);
        let result: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
        let witnesses = &result["verified"]["witnesses"];
        assert_eq!(
            (&witnesses[0]["name"], witnesses[1].is_null()),
            (&json!(NAME), true),
            "{ran:?}"
        );
        assert!(witnesses[0]["at"].is_string(), "{ran:?}");
    }
}

#[tokio::test]
async fn a_restart_of_either_side_is_made_up_for() {
    for (setup, _database) in setups() {
        let witness = Witness::start(NAME, 1).await;
        let world = setup.config(&evidence(&[&witness], &[&witness.vkey])).start().await;
        witness.trust(&log_key(&world).await);
        world.update(&json!({"name": "first"})).await;
        let size = size_of(&checkpoint(&world, 4, 1).await).unwrap();
        let (folder, simulator) = world.end().await;
        let before = witness.asked().len();
        let world = World::again(folder, simulator).await;
        let size = size_of(&checkpoint(&world, size + 1, 1).await).unwrap();
        // The gateway has forgotten what the witness has seen, and is told.
        let asked = witness.asked();
        assert_eq!((asked[before].old, asked[before].status), (0, 409), "{asked:?}");
        assert!(was_proven(&asked[before..]), "{asked:?}");
        witness.forget();
        world.update(&json!({"name": "second"})).await;
        checkpoint(&world, size + 1, 1).await;
        eventually("a question from the beginning", async || {
            let asked = witness.asked();
            let again = asked.iter().rposition(|one| one.status == 409)?;
            let next = asked.get(again + 1)?;
            (again > before && (next.old, next.status) == (0, 200)).then_some(())
        })
        .await;
        assert_eq!(world.events("witness", 0).await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn an_older_log_that_is_put_back_is_told_by_who_has_seen_more() {
    let witness = Witness::start(NAME, 1).await;
    let config = evidence(&[&witness], &[&witness.vkey]);
    let world = Setup::new().config(&config).start().await;
    witness.trust(&log_key(&world).await);
    checkpoint(&world, 3, 1).await;
    let (folder, simulator) = world.end().await;
    let old = copied(folder.path());
    let world = World::again(folder, simulator).await;
    for name in ["first", "second", "third", "fourth", "fifth", "sixth"] {
        world.update(&json!({ "name": name })).await;
    }
    checkpoint(&world, 10, 1).await;
    let (folder, simulator) = world.end().await;
    // Everything that lies beside the log, the newest checkpoint included.
    drop(folder);
    let seen = witness.signed();
    let world = World::again(old, simulator).await;
    let told = world.events("witness", 1).await;
    assert_eq!(
        (&told[0]["detail"]["what"], &told[0]["detail"]["seen"]),
        (&json!("ahead"), &json!(seen)),
        "{told:?}"
    );
    let label = witness.url.strip_prefix("http://").unwrap();
    assert_eq!(told[0]["detail"]["witness"], label);
    assert!(text(&world, "/log").await.contains("an older backup put back"));
    // Once it has as many records again, they are others.
    while world.ask("/api/v1/changes?limit=1000").await["data"].as_array().unwrap().len() < 12 {
        world.update(&json!({"name": "another"})).await;
    }
    let told = world.events("witness", 2).await;
    assert_eq!(told[0]["detail"]["what"], "fork", "{told:?}");
    assert!(witness.asked().iter().any(|one| one.status == 422), "{:?}", witness.asked());
    assert!(text(&world, "/log").await.contains("are not the first ones of this log"));
    assert_eq!(witness.signed(), seen);
    let note = text(&world, "/api/v1/log/checkpoint").await;
    assert!(!note.contains("witness."), "{note}");
    let calm = world.events("witness", 3).await;
    assert_eq!(calm.len(), 2, "each is on record once: {calm:?}");
}

#[tokio::test]
async fn a_log_that_is_written_anew_is_told_on_each_store() {
    for ((setup, _former), (anew, _later)) in setups().into_iter().zip(setups()) {
        let witness = Witness::start(NAME, 1).await;
        let config = evidence(&[&witness], &[&witness.vkey]);
        let world = setup.config(&config).start().await;
        witness.trust(&log_key(&world).await);
        let change = async |world: &World| world.update(&json!({"name": "another"})).await;
        while witness.signed() < 8 {
            change(&world).await;
            checkpoint(&world, 0, 1).await;
        }
        world.end().await;
        let seen = witness.signed();
        // The same key and origin, and another history.
        let world = anew.config(&config).start().await;
        let told = world.events("witness", 1).await;
        assert_eq!(told[0]["detail"]["what"], "ahead", "{told:?}");
        let size = async || size_of(&text(&world, "/api/v1/log/checkpoint").await);
        while size().await.is_none_or(|size| size < seen) {
            change(&world).await;
        }
        let told = world.events("witness", 2).await;
        assert_eq!(told[0]["detail"]["what"], "fork", "{told:?}");
        assert_eq!(witness.signed(), seen);
    }
}

#[tokio::test]
async fn gateways_that_share_a_log_have_it_signed_in_turn() {
    let Some(database) = TestDatabase::new() else { return };
    let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
    assert_eq!(made.code, 0, "{made:?}");
    let url = database.url().replace("//postgres@", "//changegate@");
    let witness = Witness::start(NAME, 1).await;
    let config = evidence(&[&witness], &[&witness.vkey]);
    let gateway = async |name: &str| {
        let config = format!("{config}[node]\nname = '{name}'\n");
        Setup::new().log_at(&url).config(&config).start().await
    };
    let worlds = [gateway("one").await, gateway("two").await];
    witness.trust(&log_key(&worlds[0]).await);
    let mut size = 1;
    for round in 0..4 {
        for world in &worlds {
            world.update(&json!({ "name": format!("round {round}") })).await;
        }
        for world in &worlds {
            size = size_of(&checkpoint(world, size, 1).await).unwrap();
        }
    }
    for world in &worlds {
        eventually("a row of this gateway's own", async || {
            text(world, "/log").await.contains(">signs<").then_some(())
        })
        .await;
        assert_eq!(world.events("witness", 0).await, Vec::<Value>::new());
    }
    assert!(was_proven(&witness.asked()), "{:?}", witness.asked());
    assert!(witness.asked().iter().all(|one| one.status != 422), "{:?}", witness.asked());
    let ran = verify(worlds[0].folder.path(), &[]);
    assert!(ran.code == 0, "{ran:?}");
}

#[tokio::test]
async fn without_a_key_signatures_are_kept_and_not_counted() {
    let witness = Witness::start(NAME, 1).await;
    let world = Setup::new().config(&evidence(&[&witness], &[])).start().await;
    let key = log_key(&world).await;
    witness.trust(&key);
    world.update(&json!({"name": "first"})).await;
    checkpoint(&world, 3, 1).await;
    let page = text(&world, "/log").await;
    assert!(page.contains("not verified") && !page.contains(">signs<"), "{page}");
    let folder = world.folder.path();
    let ran = verify(folder, &["--key", &key]);
    assert!(ran.code == 0 && !ran.out.contains("witness"), "{ran:?}");
    checkpoint(&world, 3, 1).await;
    let ran = verify(folder, &["--key", &key, "--key", &witness.vkey]);
    assert!(ran.code == 0 && ran.out.contains("also by 1 of 1 witness."), "{ran:?}");
    let ran = run(folder, &["check", "--config", "changegate.toml"]);
    assert!((ran.out.clone() + &ran.err).contains("and not verified"), "{ran:?}");
}
