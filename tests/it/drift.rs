//! Changes made around the gateway: found by the next governed call, told with their window.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::command::{in_world, on_terminal};
use crate::world::program::{Folder, Program};
use crate::world::{Call, DEPLOYMENT, Setup, World, admin_token, call, world};

/// Changes the deployment around the gateway.
async fn around(world: &World, patch: &Value) {
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let answer = call(world.simulator().address(), Call::post(&path).json(patch)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn updated(world: &World, patch: &Value) -> String {
    let answer = world.update(patch).await;
    answer.header("changegate-change").unwrap().to_owned()
}

async fn count(world: &World) -> String {
    let metrics = call(world.admin(), Call::get("/metrics")).await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("changegate_drifts_total "));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn a_change_made_around_the_gateway_is_told_with_its_window() {
    let world = world().await;
    let first = updated(&world, &json!({"name": "one"})).await;
    updated(&world, &json!({"description": "own"})).await;
    let last = updated(&world, &json!({"description": "own again"})).await;
    around(&world, &json!({"name": "by hand", "environment_variables": "A=secret-by-hand"})).await;
    // A denied call looks at the deployment too.
    let denied = updated(&world, &json!({"metadata": {"owner_override": "me"}})).await;
    let events = world.events("drift", 1).await;
    assert_eq!(events.len(), 1, "{events:?}");
    let detail = &events[0]["detail"];
    assert_eq!(detail["deployment_id"], DEPLOYMENT);
    assert_eq!((&detail["after"], &detail["change"]), (&json!(last), &json!(denied)));
    assert_eq!(detail["places"], 2, "{detail}");
    let name = &detail["diff"][1];
    assert_eq!(*name, json!({"op": "replace", "path": "/name", "from": "one", "to": "by hand"}));
    assert!(!events[0].to_string().contains("secret-by-hand"), "{events:?}");

    // What was told once is not told again.
    updated(&world, &json!({"description": "later"})).await;
    updated(&world, &json!({"name": "one"})).await;
    assert_eq!(count(&world).await, "1");
    let page = world.ask(&format!("/api/v1/drift?deployment_id={DEPLOYMENT}")).await;
    assert_eq!(page["data"], json!(events));
    assert_eq!(world.ask("/api/v1/drift?deployment_id=dep_x").await["data"], json!([]));

    let listed = in_world(&world, &["audit", "drift", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed.out).unwrap(), events[0]);
    let row = format!("{},drift,,,", events[0]["at"].as_str().unwrap());
    for list in [["audit", "drift", "--csv"].as_slice(), &["audit", "list", "--events", "--csv"]] {
        let csv = in_world(&world, list).out;
        assert!(csv.lines().any(|line| line.starts_with(&row)), "nobody is an empty cell: {csv}");
    }
    let shown = on_terminal(&world, 80, &[("NO_COLOR", "1")], &["audit", "drift"]);
    assert!(shown.contains(&format!("  after   {last}")), "{shown}");
    assert!(shown.contains("  /name: \"one\" → \"by hand\""), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let none = in_world(&world, &["audit", "drift", "--deployment-id", "dep_x"]);
    assert!(none.out.starts_with("No change made around the gateway"), "{none:?}");
    assert_ne!(first, last);
}

#[tokio::test]
async fn what_the_server_moves_and_what_the_gateway_did_is_no_drift() {
    let world = world().await;
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"});
    for patch in [json!({"name": "a"}), json!({"schedule": zone}), json!({"name": "b"})] {
        updated(&world, &patch).await;
        for verb in ["run", "pause", "unpause"] {
            call(world.proxy(), Call::post(&format!("{path}/{verb}"))).await;
        }
        updated(&world, &json!({"metadata": {"owner_override": "me"}})).await;
    }
    // The looks beside calls are waited for at the end.
    let (folder, _simulator) = world.end().await;
    let file = folder.path().join("log.db");
    let list = ["audit", "drift", "--json", "--database", file.to_str().unwrap()];
    let found = crate::world::command::run(folder.path(), &list);
    assert_eq!((found.code, found.out.as_str()), (0, ""), "{found:?}");
}

#[tokio::test]
async fn a_start_finds_what_was_changed_while_no_gateway_ran() {
    let world = world().await;
    let folder = Folder::new(world.simulator().address(), "");
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let update = async |program: &Program, patch: &Value| {
        let answer = call(program.proxy, Call::post(&path).json(patch)).await;
        answer.header("changegate-change").unwrap().to_owned()
    };
    let mut first = folder.serve().await;
    let patch = json!({"name": "one", "environment_variables": "A=1"});
    let last = update(&first, &patch).await;
    first.signal(Signal::TERM);
    first.end().await;
    around(&world, &json!({"description": "while it was down"})).await;
    let mut second = folder.serve().await;
    let found = update(&second, &json!({"name": "two"})).await;
    let events = second.events("drift", 1).await;
    let detail = &events[0]["detail"];
    assert_eq!((&detail["after"], &detail["change"]), (&json!(last), &json!(found)), "{detail}");
    assert_eq!(
        (&detail["places"], &detail["diff"][0]["path"]),
        (&json!(1), &json!("/description"))
    );
    second.signal(Signal::TERM);
    second.end().await;
}

#[tokio::test]
async fn a_viewer_sees_that_it_happened_and_not_what() {
    let tokens = admin_token("seer", "v", "viewer") + &admin_token("auditor", "a", "auditor");
    let world = Setup::new().config(&tokens).start().await;
    updated(&world, &json!({"name": "one"})).await;
    around(&world, &json!({"name": "by hand"})).await;
    updated(&world, &json!({"name": "two"})).await;
    let seen = crate::world::eventually("drift", async || {
        let page = call(world.admin(), Call::get("/api/v1/drift").token("seer")).await.json();
        page["data"].get(0).cloned()
    });
    let seen = seen.await;
    assert_eq!(seen["detail"]["places"], 1, "{seen}");
    assert!(seen["detail"].get("diff").is_none() && !seen.to_string().contains("by hand"));
    // On the console too, where an auditor reads the deployment's name.
    let page = async |token| call(world.admin(), Call::get("/drift").token(token)).await.text();
    let (viewed, whole) = (page("seer").await, page("auditor").await);
    assert!(viewed.contains("1 place differs; the role auditor shows which"), "{viewed}");
    assert!(whole.contains("<bdi>two</bdi></a></h2>") && whole.contains("by hand"), "{whole}");
}
