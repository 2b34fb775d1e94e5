//! Approvals in the metrics.

use changegate::simulator::{Options, Simulator};

use super::*;
use crate::world::program::{Folder, Program};
use crate::world::{eventually, write_key};

async fn metrics(address: SocketAddr) -> String {
    call(address, Call::get("/metrics")).await.text()
}

fn step(kind: &str, step: &str, count: usize) -> String {
    format!("changegate_approval_steps_total{{kind=\"{kind}\",step=\"{step}\"}} {count}\n")
}

fn open(kind: &str, count: usize) -> String {
    format!("changegate_approvals_open{{kind=\"{kind}\"}} {count}\n")
}

#[tokio::test]
async fn what_becomes_of_approvals_and_reviews_is_counted_from_zero() {
    let policy = format!("{POLICY}[break_glass]\npersons = ['mei']\n");
    let world = Setup::new().config(&config("")).policy(&policy).start().await;
    let before = metrics(world.admin()).await;
    for step_of in ["opened", "approved", "rejected"] {
        for kind in ["request", "break_glass"] {
            assert!(before.contains(&step(kind, step_of, 0)), "{before}");
        }
    }
    assert!(before.contains(&step("request", "used", 0)), "{before}");
    assert!(before.contains(&open("request", 0)) && before.contains(&open("break_glass", 0)));

    let first = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(waits(&rename(&world, MEI, "v2").await), first, "asked for once");
    assert_eq!(decide(&world, "release", &first, "reject").await.status, 200);
    assert_eq!(decide(&world, "release", &first, "approve").await.status, 409);
    let second = waits(&rename(&world, MEI, "v2").await);
    approve(&world, &second).await;
    assert_eq!(rename(&world, MEI, "v2").await.status, 200);
    let update = Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(MEI);
    let update = update.header("changegate-break-glass", "the nightly run is down");
    assert_eq!(call(world.proxy(), update.json(&json!({"name": "v3"}))).await.status, 200);

    let after = metrics(world.admin()).await;
    for expected in [
        step("request", "opened", 2),
        step("request", "approved", 1),
        step("request", "rejected", 1),
        step("request", "used", 1),
        step("break_glass", "opened", 1),
        step("break_glass", "approved", 0),
    ] {
        assert!(after.contains(&expected), "{expected}{after}");
    }
}

#[tokio::test]
async fn what_waits_is_told_from_the_start() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder =
        Folder::new(simulator.address(), &config("").replace("rate_limit.enabled = false\n", ""));
    write_key(&folder.path().join("key"));
    folder.write("policy.toml", POLICY);
    let rename_to = |name: &str| {
        Call::post(&format!("{BASE}/{DEPLOYMENT}")).token(MEI).json(&json!({"name": name}))
    };
    let program: Program = folder.serve().await;
    for name in ["v2", "v3"] {
        waits(&call(program.proxy, rename_to(name)).await);
    }
    program.kill();
    let program = folder.serve().await;
    eventually("two that wait", async || {
        metrics(program.admin).await.contains(&open("request", 2)).then_some(())
    })
    .await;
}
