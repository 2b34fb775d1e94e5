//! A gateway that is killed between a call and its repetition.

use std::collections::BTreeMap;

use changegate::simulator::{Options, Simulator};
use serde_json::Value;

use super::{create, is_conflict, writes};
use crate::world::dice::{Dice, given, seed};
use crate::world::program::Folder;
use crate::world::{call, eventually, say};

/// `CHANGEGATE_ROUNDS` makes it more.
const ROUNDS: u64 = 10;
const KEYS: u64 = 12;

#[tokio::test]
async fn after_a_restart_a_repeated_call_is_told_its_change_and_outcome() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    let program = folder.serve().await;
    let first = call(program.proxy, create("done", "done")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let made = first.json()["id"].as_str().unwrap().to_owned();
    simulator.state().set_faults(["status=404:1@POST".parse().unwrap()]);
    assert_eq!(call(program.proxy, create("none", "none")).await.status, 404);
    simulator.state().set_faults(["delay-after=60000@POST".parse().unwrap()]);
    let broken = tokio::spawn(call(program.proxy, create("broken", "broken")));
    eventually("the second call", async || (writes(&simulator) == 3).then_some(())).await;
    program.kill();
    assert!(broken.await.is_err(), "its connection broke");
    simulator.state().set_faults([]);

    let program = folder.serve().await;
    for _ in 0..2 {
        let again = call(program.proxy, create("done", "done")).await;
        is_conflict(&again, first.header("changegate-change").unwrap());
        is_conflict(&again, &format!("was applied to {made}"));
        let again = call(program.proxy, create("none", "none")).await;
        is_conflict(&again, "was rejected by upstream with 404");
        let again = call(program.proxy, create("broken", "broken")).await;
        is_conflict(&again, "outcome unknown");
        assert_eq!(again.header("x-should-retry"), Some("false"));
        let named = again.header("changegate-change").unwrap();
        let changes = folder.changes(false);
        let unknown = changes.iter().find(|change| change["outcome"] == "unknown").unwrap();
        assert_eq!(unknown["id"], named);
    }
    assert_eq!(writes(&simulator), 3);
}

/// Clients that send each call until they are answered, before a gateway that is killed all the
/// time: upstream gets each key once at most.
#[tokio::test]
async fn whenever_the_gateway_is_killed_no_key_is_used_twice() {
    let mut dice = Dice::of(seed(), "idempotency");
    let simulator = Simulator::start(Options::default()).unwrap();
    let faults = ["delay=3@POST", "delay-after=4@POST", "status=429:9@POST", "delay=2@GET"];
    simulator.state().set_faults(faults.map(|fault| fault.parse().unwrap()));
    let folder = Folder::new(simulator.address(), "");
    let mut answers: BTreeMap<String, u16> = BTreeMap::new();
    let rounds = given("CHANGEGATE_ROUNDS").unwrap_or(ROUNDS);
    for round in 0..rounds {
        let program = folder.serve().await;
        let mut clients = tokio::task::JoinSet::new();
        for n in 0..KEYS {
            // Some keys are tried over several rounds, and by two clients at once.
            let key = format!("key-{}", (round + n % 3) * KEYS + n / 2);
            let proxy = program.proxy;
            clients.spawn(async move {
                loop {
                    let answer = call(proxy, create(&key, &key)).await;
                    let is_open = answer.status == 429 || answer.header("retry-after").is_some();
                    if !is_open {
                        return (key, answer.status.as_u16());
                    }
                }
            });
        }
        tokio::time::sleep(dice.millis(5, 120)).await;
        program.kill();
        while let Some(client) = clients.join_next().await {
            if let Ok((key, status)) = client {
                answers.insert(key, status);
            }
        }
    }
    let mut carried_out: BTreeMap<String, u32> = BTreeMap::new();
    for request in simulator.state().requests() {
        if request.method == "POST" && request.status == Some(200) {
            let key = request.header("idempotency-key").unwrap().to_owned();
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["name"], key.as_str());
            *carried_out.entry(key).or_default() += 1;
        }
    }
    assert!(carried_out.values().all(|times| *times == 1), "{carried_out:?}");
    for (key, status) in &answers {
        let is_told = matches!(status, 200 | 409 | 502 | 504);
        assert!(is_told, "{key}: {status}");
        assert!(*status != 200 || carried_out.contains_key(key), "{key}");
    }
    say(&format!("{} carried out, {} answered", carried_out.len(), answers.len()));
    folder.check_file().await;
}
