//! `policy replay`: recorded changes, judged anew by another policy or by the recorded ones.

use std::net::SocketAddr;

use changegate::simulator::{Options, Simulator};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::client::TOKEN;
use crate::world::command::{Ran, in_world, on_terminal, run};
use crate::world::program::Folder;
use crate::world::{Call, DEPLOYMENT, POLICY, World, call, seed, world};

fn json_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn write(world: &World, name: &str, text: &str) {
    std::fs::write(world.folder.path().join(name), text).unwrap();
}

/// How many changes were decided `old` and would be `new`.
fn cell(replay: &Value, old: &str, new: &str) -> u64 {
    let rows = replay["matrix"].as_array().unwrap();
    let row = rows.iter().find(|row| row["recorded"] == old).unwrap();
    row[new].as_u64().unwrap()
}

const STRICTER: &str = r#"
[timezones]
allowed = ["UTC"]

[[rule]]
name = "short-names"
require = "object.name.size() < 10"
enforcement = "warn"
"#;

async fn some_changes() -> World {
    let world = world().await;
    let zone = |zone: &str| json!({"type": "cron", "expression": "0 9 * * *", "timezone": zone});
    assert_eq!(world.update(&json!({"schedule": zone("Asia/Shanghai")})).await.status, 200);
    assert_eq!(world.update(&json!({"name": "a name that is long"})).await.status, 200);
    assert_eq!(world.update(&json!({"metadata": {"owner_override": "me"}})).await.status, 403);
    assert_eq!(world.update(&json!({"name": "short"})).await.status, 200);
    let bad = Call::post(&format!("/api/v1/cloud/deployments/{DEPLOYMENT}")).body("{");
    assert_eq!(call(world.proxy(), bad).await.status, 400);
    world
}

#[tokio::test]
async fn a_new_policy_is_held_against_what_was_recorded() {
    let world = some_changes().await;
    write(&world, "new.toml", STRICTER);
    let ran = in_world(&world, &["policy", "replay", "--policy", "new.toml", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let replay = json_of(&ran);
    assert_eq!((&replay["changes"], &replay["not_asked"]), (&json!(4), &json!(1)), "{replay}");
    for (old, new, count) in [
        ("allow", "deny", 1),
        ("allow", "warn", 1),
        ("allow", "allow", 1),
        ("deny", "allow", 1),
        ("deny", "deny", 0),
        ("allow", "not_replayable", 0),
    ] {
        assert_eq!(cell(&replay, old, new), count, "{old} → {new}: {replay}");
    }
    let moved = replay["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 3);
    let denied = moved.iter().find(|moved| moved["now"] == "deny").unwrap();
    assert_eq!(denied["rules"], json!(["timezones"]));
    assert_eq!(denied["deployment_id"], DEPLOYMENT);

    let failing = ["policy", "replay", "--policy", "new.toml", "--fail-on-deny"];
    let ran = in_world(&world, &failing);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("1 of the changes that passed would be denied"), "{ran:?}");
    let narrowed = [&failing[..], &["--path", "/name"]].concat();
    let ran = in_world(&world, &narrowed);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("2 changes judged by new.toml in "), "{ran:?}");
    for columns in [80, 120] {
        let shown = ["policy", "replay", "--policy", "new.toml"];
        let shown = on_terminal(&world, columns, &[("NO_COLOR", "1")], &shown);
        let fits = |line: &str| line.chars().count() <= usize::from(columns);
        assert!(shown.lines().all(fits), "{shown}");
        assert!(shown.contains("allow → deny: 1"), "{shown}");
    }
}

#[tokio::test]
async fn changes_that_are_decided_otherwise_become_cases_that_pass() {
    let world = some_changes().await;
    write(&world, "new.toml", STRICTER);
    let replay = ["policy", "replay", "--policy", "new.toml", "--emit-cases", "moved.test.toml"];
    let ran = in_world(&world, &replay);
    assert_eq!((ran.code, ran.err.as_str()), (0, "moved.test.toml: 3 cases\n"), "{ran:?}");
    let ran = in_world(&world, &["policy", "test", "moved.test.toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("3 passed, 0 failed"), "{ran:?}");
}

#[tokio::test]
async fn what_a_rule_reads_and_is_concealed_is_never_guessed() {
    let world = world().await;
    let variables = json!({"environment_variables": "API_KEY=s3cr3t-value-of-mine"});
    assert_eq!(world.update(&variables).await.status, 200);
    assert_eq!(world.update(&json!({"name": "plain"})).await.status, 200);
    let rule = |name: &str, require: &str, enforcement: &str| {
        format!(
            "[[rule]]\nname = '{name}'\nrequire = \"{require}\"\nenforcement = '{enforcement}'\n"
        )
    };
    let reads = "!string(get(patch, 'environment_variables', '')).contains('s3cr3t')";
    let looks_at_names = "!('webhook' in object.metadata)";
    let text = [rule("reads", reads, "deny"), rule("names", looks_at_names, "deny")].concat();
    write(&world, "new.toml", &text);
    let replay =
        json_of(&in_world(&world, &["policy", "replay", "--policy", "new.toml", "--json"]));
    assert_eq!(cell(&replay, "allow", "not_replayable"), 1, "{replay}");
    assert_eq!(cell(&replay, "allow", "allow"), 1, "{replay}");
    assert_eq!(replay["rules"][0]["not_replayable"], json!({"concealed": 1, "not_kept": 0}));
    assert_eq!(replay["rules"][1]["not_replayable"], json!({"concealed": 0, "not_kept": 0}));
    assert_eq!(replay["moved"][0]["rules"], json!(["reads"]));

    // One that could not change the decision does not keep it from being told.
    write(&world, "mild.toml", &rule("reads", reads, "audit"));
    let replay =
        json_of(&in_world(&world, &["policy", "replay", "--policy", "mild.toml", "--json"]));
    assert_eq!(cell(&replay, "allow", "allow"), 2, "{replay}");
    assert_eq!(replay["rules"][0]["not_replayable"]["concealed"], 1);
}

/// Many callers' writes to many deployments, at once, of which some are denied.
async fn many_writes(proxy: SocketAddr, ids: &[String], round: usize) {
    let zones = ["UTC", "Europe/Paris", "Asia/Shanghai"];
    let calls = (0..24).map(|n| {
        let path = format!("/api/v1/cloud/deployments/{}", ids[n % ids.len()]);
        let zone = zones[(n + round) % zones.len()];
        let schedule = json!({"type": "cron", "expression": "0 9 * * *", "timezone": zone});
        let patch = match n % 4 {
            0 => json!({"schedule": schedule}),
            1 => json!({"metadata": {"owner_override": format!("n{round}"), "n": 1.0}}),
            2 => json!({"name": format!("n{n}"), "metadata": {"team": TOKEN}}),
            _ => json!({"metadata": {"cas_config": {"config": {"max_concurrent": n}}}}),
        };
        let method = if n % 5 == 0 { "PUT" } else { "POST" };
        call(proxy, Call::new(method, &path).json(&patch))
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn the_log_replayed_against_its_policies_gives_its_decisions() {
    let odd = "[[rule]]\nname = 'odd'\nrequire = 'now.getMilliseconds() < 500'\n";
    let whole = "[[rule]]\nname = 'whole'\nenforcement = 'warn'\n\
        require = 'get(object.metadata, \"n\", 2) / 2 == 0.5 || true'\n";
    let lenient = "[timezones]\nallowed = ['UTC', 'Asia/Shanghai', 'Europe/Paris']\n";
    let policies = [POLICY.to_owned(), format!("{POLICY}{odd}"), format!("{lenient}{odd}{whole}")];
    let simulator = Simulator::start(Options::default()).unwrap();
    let ids = seed(&simulator, 3);
    let folder = Folder::new(simulator.address(), "");
    folder.write("policy.toml", &policies[0]);
    let program = folder.serve().await;
    for (round, policy) in policies.iter().chain(&policies).enumerate() {
        // While calls wait for their turns: each is judged by what is in force when it comes.
        folder.write("policy.toml", policy);
        program.signal(Signal::HUP);
        many_writes(program.proxy, &ids, round).await;
    }
    program.settle_down().await;
    let run = |arguments: &[&str]| run(folder.path(), arguments);
    let ran = run(&["policy", "replay", "--recorded", "--json"]);
    let replay = json_of(&ran);
    assert_eq!(ran.code, 0, "{replay:#}");
    for (key, expected) in
        [("decided_otherwise", 0), ("not_replayable", 0), ("policy_unreadable", 0)]
    {
        assert_eq!(replay[key], expected, "{key}: {replay:#}");
    }
    assert_eq!(replay["changes"], 144, "{replay:#}");
    assert!(cell(&replay, "deny", "deny") > 20, "{replay:#}");
    let told = run(&["policy", "replay", "--recorded"]);
    assert!(told.out.contains("Every change comes to the decision that is recorded."), "{told:?}");
}
