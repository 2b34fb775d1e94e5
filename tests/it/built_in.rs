//! Built-in rules, from the policy file to the client and the record.

use std::time::Duration;

use changegate::base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::world::client::TOKEN;
use crate::world::{Call, DEPLOYMENT, Setup, World, call, fingerprint};

const BASE: &str = "/api/v1/cloud/deployments";

const FREEZE: &str = "[[schedule.freeze]]\nstarts = '0 18 * * 5'\nlasts = '60h'\n\
    timezone = 'Asia/Shanghai'\n";

/// A world that begins at a moment.
async fn at(now: &str, policy: &str) -> (World, ManualClock) {
    let clock = ManualClock::at(Timestamp::parse(now).unwrap());
    let setup = Setup::new().policy(policy).clock(Clock::Manual(clock.clone()));
    (setup.start().await, clock)
}

fn schedule(expression: &str, zone: &str) -> Value {
    json!({"schedule": {"type": "cron", "expression": expression, "timezone": zone}})
}

/// The rules that an answer's record names.
async fn rules(world: &World, patch: &Value) -> (u16, Vec<String>) {
    let answer = world.update(patch).await;
    let change = world.change_of(&answer).await;
    let rules = change["violations"].as_array().unwrap().iter();
    (
        answer.status.as_u16(),
        rules.map(|found| found["rule"].as_str().unwrap().to_owned()).collect(),
    )
}

#[tokio::test]
async fn a_schedule_is_held_to_its_interval_and_its_count_over_a_change_of_the_clocks() {
    let policy = "schedule = { minimum_interval = '24h', runs_per_day = 24 }";
    let (world, _clock) = at("2026-11-29T00:00:00Z", policy).await;
    for (expression, zone, expected) in [
        ("0 9 * * *", "Asia/Shanghai", &[][..]),
        ("0 9 * * *", "Europe/Berlin", &["schedule.minimum_interval"]),
        ("0 9 * * *", "America/New_York", &["schedule.minimum_interval"]),
        ("0 9 * * *", "Australia/Lord_Howe", &["schedule.minimum_interval"]),
        ("*/30 * * * *", "Asia/Shanghai", &["schedule.minimum_interval", "schedule.runs_per_day"]),
        ("0 9 31 2 *", "Asia/Shanghai", &["schedule.must_fire"]),
        ("@daily", "Asia/Shanghai", &["schedule.readable"]),
    ] {
        let (status, found) = rules(&world, &schedule(expression, zone)).await;
        assert_eq!(found, expected, "{expression} {zone}");
        assert_eq!(status, if expected.is_empty() { 200 } else { 403 }, "{expression} {zone}");
    }
    // What stands is left alone: the rename passes.
    let answer = world.update(&json!({"name": "renamed"})).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn nothing_begins_in_a_freeze_and_all_does_once_it_is_over() {
    let (world, clock) = at("2026-11-29T21:59:59Z", FREEZE).await;
    let id = format!("{BASE}/{DEPLOYMENT}");
    let calls = || {
        let verbs = ["pause", "unpause", "run", "archive"];
        let verbs = verbs.map(|verb| Call::post(&format!("{id}/{verb}")).json(&json!({})));
        let update = Call::post(&id).json(&json!({"name": "a"}));
        [update].into_iter().chain(verbs)
    };
    let create = json!({
        "name": "new", "agent": changegate::simulator::AGENT_ID,
        "environment_id": changegate::simulator::ENVIRONMENT_ID,
        "initial_events": [{"content": "Report", "type": "user.message"}],
    });
    for asked in [Call::post(BASE).json(&create)].into_iter().chain(calls()) {
        let answer = call(world.proxy(), asked).await;
        assert_eq!(answer.status, 403);
        let error = &answer.json()["error"];
        let message = error["message"].as_str().unwrap().to_owned();
        assert!(message.contains("2026-11-30 06:00 +08:00 (Asia/Shanghai)"), "{message}");
        assert!(message.contains("2026-11-29 22:00 UTC"), "{message}");
        assert_eq!(error.get("param"), None, "{error}");
        let change = world.change_of(&answer).await;
        assert_eq!(change["violations"][0]["rule"], "schedule.freeze");
        assert_eq!(change["outcome"], "denied");
    }
    assert_eq!(world.writes_received(), 0);
    clock.advance(Duration::from_secs(1));
    for asked in calls() {
        assert_eq!(call(world.proxy(), asked).await.status, 200);
    }
}

/// A change that was let through is not found to have begun in a freeze because it took long.
#[tokio::test]
async fn a_freeze_that_begins_while_a_call_is_under_way_is_not_held_against_it() {
    let (world, clock) = at("2026-11-27T09:59:59.900Z", FREEZE).await;
    let slow = "delay=400:1@POST".parse().unwrap();
    world.simulator().state().set_faults([slow]);
    // What the server shows is not exactly what was asked, so that it is judged again.
    let patch = json!({"metadata": {"a": "b"}, "agent": changegate::simulator::AGENT_ID});
    let begun = async {
        while world.writes_received() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        clock.advance(Duration::from_hours(1));
    };
    let (answer, ()) = tokio::join!(world.update(&patch), begun);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let change = world.change_of(&answer).await;
    assert_eq!(change["decision"], "allow");
    assert_eq!(change.get("after_violations").and_then(Value::as_array).map_or(0, Vec::len), 0);
    assert_eq!(world.update(&json!({"name": "late"})).await.status, 403);
}

#[tokio::test]
async fn references_names_and_required_keys_are_held_and_say_what_is_right() {
    let policy = "[references]\nagents = ['agent_*']\nvaults = []\n\
        resource_urls = ['https://git.example.com/*']\npinned_agent_version = true\n\
        [name]\npattern = '[a-z][a-z0-9-]*'\n[metadata]\nrequired = { team = '[a-z]+' }\n";
    let world = Setup::new().policy(policy).start().await;
    for (patch, expected, fix) in [
        (json!({"vault_ids": ["vlt_1"]}), "references.vaults", "none is allowed"),
        (json!({"agent": "agent_2"}), "references.pinned_agent_version", "send `agent` with"),
        (json!({"agent": {"id": "x", "version": 1}}), "references.agents", "use agent_*"),
        (
            json!({"resources": [{"type": "git_repository",
                "url": "https://git.example.com@evil.com/a"}]}),
            "references.resource_urls",
            "use https://git.example.com/*",
        ),
        (json!({"name": "Nightly"}), "name", "does not fit `[a-z][a-z0-9-]*`"),
        (json!({"metadata": {"team": "Web"}}), "metadata.required", "fits `[a-z]+`"),
    ] {
        let answer = world.update(&patch).await;
        assert_eq!(answer.status, 403, "{patch}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(fix), "{message}");
        let change = world.change_of(&answer).await;
        assert_eq!(change["violations"][0]["rule"], expected, "{patch}");
    }
    assert_eq!(world.writes_received(), 0);
    let patch = json!({"description": "x", "metadata": {"team": "web"}});
    assert_eq!(world.update(&patch).await.status, 200);
}

#[tokio::test]
async fn a_rule_is_about_those_whom_its_scope_names() {
    let config = format!(
        "[[actor]]\nfingerprint = '{}'\nname = 'bot'\nteam = 'platform'\nperson = 'wang.li'\n",
        fingerprint(TOKEN)
    );
    for (scope, status) in [
        ("actors = ['bot']", 403),
        ("actors = ['wang.li']", 403),
        ("actors = ['other']", 200),
        ("teams = ['platform']", 403),
        ("teams = ['web']", 200),
        ("except_actors = ['wang.li']", 200),
        ("except_teams = ['platform']", 200),
        ("except_teams = ['web']", 403),
    ] {
        let policy = format!("[name]\npattern = '[a-z]+'\n{scope}\n");
        let setup = Setup::new().config(&config).policy(&policy);
        let world = setup.start().await;
        assert_eq!(world.update(&json!({"name": "A"})).await.status, status, "{scope}");
    }
}
