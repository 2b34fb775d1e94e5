//! Approvals over kills and restarts: what was used stays used, and what was not passes once.

use changegate::simulator::{Fault, Options, Simulator};

use super::*;
use crate::world::program::{Folder, Program};
use crate::world::{eventually, write_key};

fn folder(simulator: &Simulator) -> Folder {
    let config = config("").replace("rate_limit.enabled = false\n", "");
    let folder = Folder::new(simulator.address(), &config);
    write_key(&folder.path().join("key"));
    folder.write("policy.toml", POLICY);
    folder
}

fn rename_to(name: &str) -> Call {
    Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(MEI).json(&json!({"name": name}))
}

async fn state_in(program: &Program, id: &str) -> String {
    let found = Call::get(&format!("/api/v1/approvals/{id}")).token("audit");
    call(program.admin, found).await.json()["state"].as_str().unwrap().to_owned()
}

async fn approved(program: &Program, name: &str) -> String {
    let id = waits(&call(program.proxy, rename_to(name)).await);
    let decided = decide_at(program.admin, "release", &id, "approve").await;
    assert_eq!(decided.status, 200, "{}", decided.text());
    id
}

#[tokio::test]
async fn what_is_approved_before_a_kill_passes_once_after_it() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let program = folder.serve().await;
    let id = approved(&program, "v2").await;
    program.kill();
    let program = folder.serve().await;
    assert_eq!(state_in(&program, &id).await, "approved");
    assert_eq!(call(program.proxy, rename_to("v2")).await.status, 200);
    program.kill();
    let program = folder.serve().await;
    assert_eq!(state_in(&program, &id).await, "used");
    let back = call(program.proxy, rename_to("api-doc-verification-deployment")).await;
    assert_ne!(waits(&back), id);
}

#[tokio::test]
async fn what_was_on_its_way_at_a_kill_has_used_its_approval() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let program = folder.serve().await;
    let id = approved(&program, "v2").await;
    let fault: Fault = "delay=60000@POST/deployments/".parse().unwrap();
    simulator.state().set_faults([fault]);
    let on_its_way = tokio::spawn(call(program.proxy, rename_to("v2")));
    eventually("the use of the approval", async || {
        (state_in(&program, &id).await == "used").then_some(())
    })
    .await;
    program.kill();
    on_its_way.abort();
    simulator.state().set_faults([]);
    let program = folder.serve().await;
    assert_eq!(state_in(&program, &id).await, "used");
    let newest = Call::get("/api/v1/changes?decision=allow").token("audit");
    let newest = call(program.admin, newest).await.json()["data"][0].take();
    assert_eq!((&newest["outcome"], &newest["approval"]["id"]), (&json!("unknown"), &json!(id)));
    assert_ne!(waits(&call(program.proxy, rename_to("v2")).await), id);
    assert_eq!(
        simulator.state().deployment(DEPLOYMENT).unwrap()["name"],
        "api-doc-verification-deployment"
    );
}

#[tokio::test]
async fn a_policy_that_asks_for_more_since_voids_what_was_approved() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let program = folder.serve().await;
    let id = approved(&program, "v2").await;
    program.kill();
    let more = "[[rule]]\nname = 'short-names'\nrequire = 'size(object.name) > 8'\n\
        operations = ['update']\nenforcement = 'approve'\n";
    folder.write("policy.toml", &format!("{POLICY}{more}"));
    let program = folder.serve().await;
    let anew = waits(&call(program.proxy, rename_to("v2")).await);
    assert_ne!(anew, id);
    assert_eq!(state_in(&program, &id).await, "void");
    program.kill();
    // What asks for less is covered.
    folder.write("policy.toml", POLICY);
    let program = folder.serve().await;
    assert_eq!(waits(&call(program.proxy, rename_to("v2")).await), anew);
    assert_eq!(decide_at(program.admin, "release", &anew, "approve").await.status, 200);
    assert_eq!(call(program.proxy, rename_to("v2")).await.status, 200);
}

#[tokio::test]
async fn approvals_are_listed_shown_and_decided_on_the_command_line() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = folder(&simulator);
    let program = folder.serve().await;
    let id = waits(&call(program.proxy, rename_to("v2")).await);
    let url = format!("http://{}", program.admin);
    let run = |token: &str, arguments: &[&str]| {
        let mut command = folder.command(&["approval", arguments[0]]);
        command.args(&arguments[1..]).args(["--admin", &url]).env("CHANGEGATE_ADMIN_TOKEN", token);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, listed) = run("audit", &["list", "--state", "open"]);
    assert!(code == 0 && listed.contains(&id) && listed.contains("mei"), "{listed}");
    let (code, shown) = run("audit", &["show", &id]);
    assert!(code == 0 && shown.contains("-> \"v2\""), "{shown}");
    let (code, json) = run("audit", &["list", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&json).unwrap()["id"].clone()), (0, json!(id)));
    let reason = ["--reason", "it was agreed upon"];
    let approve = |token: &str| run(token, &["approve", &id, reason[0], reason[1]]);
    assert_eq!(approve("audit").0, 2);
    assert_eq!(run("release", &["approve", &id, "--reason", "."]).0, 2);
    let (code, told) = approve("release");
    assert!(code == 0 && told.contains("is approved"), "{told}");
    let (code, told) = approve("release");
    assert!(code == 1 && told.contains("is approved already"), "{told}");
    let passed = call(program.proxy, rename_to("v2")).await;
    let change = passed.header("changegate-change").unwrap();
    let record = folder.command(&["audit", "show", change]).output().unwrap();
    let record = String::from_utf8(record.stdout).unwrap();
    for part in [&*id, "asked by mei", "approved", "by chen.jie (release)", "it was agreed upon"] {
        assert!(record.contains(part), "{part}: {record}");
    }
    assert_eq!(run("wrong", &["list"]).0, 2);
    assert_eq!(run("audit", &["show", "apr_7"]).0, 2);
    drop(program);
    assert_eq!(run("audit", &["list"]).0, 3);
}
