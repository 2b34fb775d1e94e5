//! Every deployment held against the log, by one command.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::client::TOKEN;
use crate::world::command::Ran;
use crate::world::{Call, Setup, World, call, world};

async fn sweep(world: &World, more: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_changegate"));
    let via = format!("http://{}", world.proxy());
    let sweep = ["audit", "drift", "--sweep", "--token-env", "OPERATOR", "--via", &via];
    command.args(sweep).args(["--per-second", "100"]).args(more);
    command.current_dir(world.folder.path()).env_remove("CHANGEGATE_CONFIG").env("OPERATOR", TOKEN);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn path(id: &str) -> String {
    format!("/api/v1/cloud/deployments/{id}")
}

/// Changes some deployments through the gateway, each once.
async fn changed(world: &World, count: usize) -> Vec<String> {
    let ids = world.seed(count);
    for id in &ids {
        let patch = json!({"name": format!("of {id}"), "environment_variables": "A=secret-in-env"});
        let answer = call(world.proxy(), Call::post(&path(id)).json(&patch)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    ids
}

async fn around(world: &World, path: &str, patch: &Value) {
    let answer = call(world.simulator().address(), Call::post(path).json(patch)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_sweep_finds_what_was_changed_around_the_gateway_and_nothing_else() {
    let world = world().await;
    let ids = changed(&world, 5).await;
    let ran = sweep(&world, &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert!(ran.err.contains("5 deployments looked at, 0 changed"), "{}", ran.err);

    around(&world, &path(&ids[1]), &json!({"name": "by hand"})).await;
    // A secret is not compared: the log has none to compare it with.
    around(&world, &path(&ids[2]), &json!({"environment_variables": "A=secret-by-hand"})).await;
    let ran = sweep(&world, &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = format!("  /name: \"of {}\" → \"by hand\"", ids[1]);
    assert!(ran.out.contains(&expected) && ran.out.lines().count() == 4, "{}", ran.out);
    assert!(ran.err.contains("1 changed around the gateway"), "{}", ran.err);

    let ran = sweep(&world, &["--json", "--deployment-id", &ids[1]]).await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["deployment_id"]), (1, &json!(ids[1])), "{ran:?}");
    assert_eq!(told["diff"][0]["to"], "by hand", "{told}");
}

#[tokio::test]
async fn a_sweep_keeps_to_the_limit_of_its_token() {
    let limit = "[rate_limit]\nread = { per_second = 2, burst = 2 }\n";
    let world = Setup::new().config(limit).start().await;
    changed(&world, 4).await;
    let ran = sweep(&world, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("4 deployments looked at, 0 changed"), "{}", ran.err);
}

#[tokio::test]
async fn a_sweep_that_is_shown_nothing_says_so() {
    let world = world().await;
    changed(&world, 1).await;
    world.simulator().state().set_faults(["status=503@GET".parse().unwrap()]);
    let ran = sweep(&world, &[]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("1 can't be told"), "{}", ran.err);
    for (arguments, fix) in [
        (&["audit", "drift", "--sweep"][..], "--token-env"),
        (
            &["audit", "drift", "--sweep", "--token-env", "NOT_THERE", "--via", "http://x"],
            "NOT_THERE",
        ),
    ] {
        let ran = crate::world::command::in_world(&world, arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(fix), "{}", ran.err);
    }
}
