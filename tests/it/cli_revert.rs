//! A change taken back by one command, through the gateway: policed, recorded and linked.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::client::TOKEN;
use crate::world::command::{Ran, in_world};
use crate::world::{Call, DEPLOYMENT, World, call, world};

/// Runs `audit revert`; it sits beside the world, so other tasks go on meanwhile.
async fn revert(world: &World, id: &str, more: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_changegate"));
    let via = format!("http://{}", world.proxy());
    command.args(["audit", "revert", id, "--token-env", "OPERATOR", "--via", &via]).args(more);
    command.current_dir(world.folder.path()).env_remove("CHANGEGATE_CONFIG").env("OPERATOR", TOKEN);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

async fn updated(world: &World, patch: &Value) -> String {
    let answer = world.update(patch).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("changegate-change").unwrap().to_owned()
}

async fn shown(world: &World) -> Value {
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    call(world.proxy(), Call::get(&path)).await.json()
}

#[tokio::test]
async fn a_change_is_taken_back_and_linked() {
    let world = world().await;
    let before = shown(&world).await;
    let patch = json!({
        "name": "bad", "metadata": {"team": "x"},
        "schedule": {"type": "cron", "expression": "0 1 * * *", "timezone": "UTC"},
    });
    let bad = updated(&world, &patch).await;
    let dry = revert(&world, &bad, &["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.out.contains("decision: allow") && dry.out.contains("  name: "), "{}", dry.out);
    assert_eq!(world.changes().await.len(), 1, "nothing was sent");

    let ran = revert(&world, &bad, &["--json"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["decision"], &told["status"]), (&json!("allow"), &json!(200)));
    assert_eq!(told["patch"]["metadata"], json!({"team": null}));
    assert_eq!(
        told["patch"]["schedule"],
        json!({
            "type": "cron", "expression": before["schedule"]["expression"],
            "timezone": before["schedule"]["timezone"],
        })
    );
    let after = shown(&world).await;
    for member in ["name", "metadata"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    let change = world.ask(&format!("/api/v1/changes/{}", told["change"].as_str().unwrap())).await;
    assert_eq!((&change["reverts"], &change["effect"]), (&json!(bad), &json!("exact")));
    let id = change["id"].as_str().unwrap();
    let listed = in_world(&world, &["audit", "show", id]).out;
    assert!(listed.contains(&format!("reverts     {bad}")), "{listed}");

    let again = revert(&world, &bad, &[]).await;
    assert!(again.code == 1 && again.err.contains("nothing left to restore"), "{again:?}");
    let back = revert(&world, id, &[]).await;
    assert!(back.out.starts_with(&format!("{id} is taken back by chg_")), "{back:?}");
    assert_eq!(shown(&world).await["name"], "bad", "a revert is a change like any other");
}

#[tokio::test]
async fn later_changes_stay_with_merge_and_stand_in_the_way_without() {
    let world = world().await;
    let bad = updated(&world, &json!({"name": "bad"})).await;
    updated(&world, &json!({"description": "good"})).await;
    let stopped = revert(&world, &bad, &[]).await;
    assert!(stopped.code == 1 && stopped.err.contains("at /description: --merge"), "{stopped:?}");
    let merged = revert(&world, &bad, &["--merge"]).await;
    assert_eq!(merged.code, 0, "{merged:?}");
    let now = shown(&world).await;
    assert_eq!((&now["description"], now["name"] == "bad"), (&json!("good"), false));

    let bad = updated(&world, &json!({"name": "bad"})).await;
    updated(&world, &json!({"name": "other"})).await;
    let stopped = revert(&world, &bad, &["--merge"]).await;
    assert!(stopped.code == 1 && stopped.err.contains("changed again since: /name"), "{stopped:?}");
}

#[tokio::test]
async fn a_revert_is_policed_and_what_it_cannot_restore_is_named() {
    let world = world().await;
    let around = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let patch = json!({"schedule": zone, "environment_variables": "A=one"});
    call(world.simulator().address(), Call::post(&around).json(&patch)).await;
    let patch = json!({
        "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"},
        "environment_variables": "A=two",
    });
    let moved = updated(&world, &patch).await;
    let dry = revert(&world, &moved, &["--dry-run"]).await;
    assert!(dry.out.contains("decision: deny") && dry.out.contains("timezones"), "{dry:?}");
    assert!(dry.out.contains("not restored: /environment_variables: the log holds no"), "{dry:?}");
    let denied = revert(&world, &moved, &[]).await;
    assert!(denied.code == 1 && denied.err.contains("Changegate, chg_"), "{denied:?}");
    let newest = &world.changes().await[0];
    assert_eq!((&newest["outcome"], &newest["reverts"]), (&json!("denied"), &json!(moved)));

    let paused = format!("{around}/pause");
    let paused = call(world.proxy(), Call::post(&paused)).await;
    let paused = paused.header("changegate-change").unwrap().to_owned();
    assert_eq!(revert(&world, &paused, &[]).await.code, 0);
    assert_eq!(shown(&world).await["status"], "active");
    let count = world.changes().await.len();
    for more in [&[][..], &["--dry-run"]] {
        let again = revert(&world, &paused, more).await;
        assert!(again.code == 1 && again.err.contains("nothing left to restore"), "{again:?}");
    }
    assert_eq!(world.changes().await.len(), count, "nothing is sent");
    let run = call(world.proxy(), Call::post(&format!("{around}/run"))).await;
    let run = revert(&world, run.header("changegate-change").unwrap(), &[]).await;
    assert!(run.code == 1 && run.err.contains("no call takes run back"), "{run:?}");
    let denied = newest["id"].as_str().unwrap();
    assert!(revert(&world, denied, &[]).await.err.contains("is denied"));
    assert_eq!(revert(&world, "chg_1", &[]).await.code, 2);
}

#[tokio::test]
async fn a_link_is_taken_for_a_recorded_change_of_the_same_deployment_alone() {
    let world = world().await;
    let other = world.seed(1).remove(0);
    let path = |id: &str| format!("/api/v1/cloud/deployments/{id}");
    let foreign = call(world.proxy(), Call::post(&path(&other)).json(&json!({"name": "x"}))).await;
    let foreign = foreign.header("changegate-change").unwrap().to_owned();
    let unknown = "chg_00000000000000000000000000000000";
    for link in [foreign.as_str(), unknown, "chg_1", ""] {
        let sent = Call::post(&path(DEPLOYMENT)).header("changegate-reverts", link);
        let answer = call(world.proxy(), sent.json(&json!({"name": "y"}))).await;
        assert_eq!(answer.status, 400, "{link}: {}", answer.text());
        assert!(answer.text().contains("changegate-reverts"), "{}", answer.text());
        let change = world.change_of(&answer).await;
        assert_eq!((&change["outcome"], change.get("reverts")), (&json!("refused"), None));
    }
    assert_eq!(world.writes_received(), 0);
    let own = updated(&world, &json!({"name": "z"})).await;
    let sent = Call::post(&path(DEPLOYMENT)).header("changegate-reverts", &own);
    let linked = call(world.proxy(), sent.json(&json!({"name": "w"}))).await;
    assert_eq!(world.change_of(&linked).await["reverts"], json!(own));
}
