//! Timelines as an auditor reads them: a deployment at a moment, who set which field, where two
//! states differ.

use serde_json::{Value, json};

use crate::world::command::{in_world, on_terminal};
use crate::world::{Call, DEPLOYMENT, World, call, world};

const PROMPT: &str = "You write the daily report.\nKeep it short.\n\n每天早上九点发送。\nSign it.";
const OTHER_PROMPT: &str =
    "You write the weekly report.\nKeep it short.\n\n每周早上九点发送 👍。\nSign it.";

fn events(prompt: &str) -> Value {
    json!([{"type": "user.message", "content": [{"type": "text", "text": prompt}]}])
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Makes an update and tells its change.
async fn updated(world: &World, patch: &Value) -> String {
    let answer = world.update(patch).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("changegate-change").unwrap().to_owned()
}

/// Changes the deployment around the gateway.
async fn around(world: &World, patch: &Value) {
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    let answer = call(world.simulator().address(), Call::post(&path).json(patch)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The columns of a line, where a CJK character and an emoji take two.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if ('\u{2e80}'..='\u{1faff}').contains(&c) { 2 } else { 1 }).sum()
}

#[tokio::test]
async fn blame_names_the_change_the_server_and_what_came_around_the_gateway() {
    let world = world().await;
    let first = updated(&world, &json!({"name": "one", "initial_events": events(PROMPT)})).await;
    let second = updated(&world, &json!({"name": "two"})).await;
    around(&world, &json!({"description": "by hand"})).await;
    let third = updated(&world, &json!({"metadata": {"team": "ops"}})).await;

    let blame = ["audit", "blame", DEPLOYMENT, "--json"];
    let found = json_lines(&in_world(&world, &blame).out);
    let of = |path: &str| found.iter().find(|place| place["path"] == path).unwrap();
    assert_eq!(
        (&of("/name")["change"], &of("/name")["set_by"]),
        (&json!(second), &json!("change"))
    );
    assert_eq!(of("/name")["value"], "two");
    assert_eq!(of("/name")["decision"], "allow");
    assert_eq!(of("/name")["policy_digest"].as_str().unwrap().len(), 64);
    assert_eq!(of("/initial_events/0/content/0/text")["change"], json!(first));
    assert_eq!(of("/metadata/team")["change"], json!(third));
    let by_hand = of("/description");
    assert_eq!(by_hand["set_by"], "around");
    assert_eq!((&by_hand["after"], &by_hand["before"]), (&json!(second), &json!(third)));
    assert_eq!(of("/agent/id")["set_by"], "unseen");
    assert_eq!(of("/updated_at")["set_by"], "server");

    let shown = on_terminal(&world, 80, &[("NO_COLOR", "1")], &blame[..3]);
    assert!(shown.lines().all(|line| columns(line) <= 80), "{shown}");
    assert!(shown.contains("around the gateway") && shown.contains("kept by the server: "));
    assert!(shown.contains(&format!("as {first} found it")), "{shown}");
    assert!(shown.lines().any(|line| line == "/name  \"two\""), "{shown}");
    let digest = of("/name")["policy_digest"].as_str().unwrap();
    let policy: String = digest.chars().take(8).collect();
    let wide = on_terminal(&world, 200, &[("NO_COLOR", "1")], &blame[..3]);
    assert!(wide.lines().all(|line| columns(line) <= 200), "{wide}");
    assert!(wide.lines().any(|line| line.ends_with(&format!("{second}  {policy}"))), "{wide}");
    let piped = in_world(&world, &blame[..3]);
    assert!(piped.out.starts_with("FIELD"), "{}", piped.out);
    // What the server keeps is nobody's, and stands last.
    let last: Vec<&str> = piped.out.lines().last().unwrap().split("  ").collect();
    let cells: Vec<&str> =
        last.into_iter().map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!((cells[0], cells[2], cells[4]), ("/updated_at", "the server", "-"), "{piped:?}");

    let changes = world.changes().await;
    let of = |id: &str| changes.iter().find(|change| change["id"] == id).unwrap();
    let after_first = of(&first)["completed_at"].as_str().unwrap();
    let then = in_world(&world, &["audit", "blame", DEPLOYMENT, "--json", "--at", after_first]);
    let then = json_lines(&then.out);
    let name = then.iter().find(|place| place["path"] == "/name").unwrap();
    assert_eq!((&name["change"], &name["value"]), (&json!(first), &json!("one")));
    assert_eq!(in_world(&world, &["audit", "blame", "dep_none"]).code, 1);
    assert_eq!(in_world(&world, &["audit", "blame", DEPLOYMENT, "--at", "2020-01-01"]).code, 1);
}

#[tokio::test]
async fn an_empty_id_or_time_is_named() {
    let world = world().await;
    updated(&world, &json!({"name": "one"})).await;
    let (id, time) = ("the deployment's id is empty", "the time is empty: write a time");
    let no_time = format!("{DEPLOYMENT}@");
    for (question, word) in [
        (vec!["history", ""], id),
        (vec!["at", "", "1d"], id),
        (vec!["blame", ""], id),
        (vec!["diff", "@7d", DEPLOYMENT], id),
        (vec!["diff", ""], id),
        (vec!["diff", &no_time, DEPLOYMENT], time),
        (vec!["at", DEPLOYMENT, ""], time),
        (vec!["show", ""], "an empty id names no change"),
        (vec!["drift", "--deployment-id", ""], "--deployment-id: write a value"),
    ] {
        let ran = in_world(&world, &[&["audit"], question.as_slice()].concat());
        assert!(ran.code == 2 && ran.err.contains(word), "{question:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_deployment_is_shown_as_it_was() {
    let world = world().await;
    let first = updated(&world, &json!({"name": "one"})).await;
    updated(&world, &json!({"name": "two"})).await;
    let changes = world.changes().await;
    let time = changes.iter().find(|change| change["id"] == *first).unwrap();
    let time = time["completed_at"].as_str().unwrap();
    let at = ["audit", "at", DEPLOYMENT, time, "--json"];
    let found = json_lines(&in_world(&world, &at).out).remove(0);
    let path = format!("/api/v1/deployments/{DEPLOYMENT}/at?time={time}");
    assert_eq!(found, world.ask(&path).await);
    assert_eq!(found["deployment"]["name"], "one");
    let shown = in_world(&world, &at[..4]).out;
    assert!(shown.contains("\n  \"name\": \"one\",\n") && shown.contains(&first), "{shown}");
    let newest = in_world(&world, &["audit", "at", DEPLOYMENT, "now"]);
    assert!(newest.out.contains("\"name\": \"two\""), "{newest:?}");
    let bad = in_world(&world, &["audit", "at", DEPLOYMENT, "yesterday"]);
    assert!(bad.code == 2 && bad.err.contains("write a time such as"), "{bad:?}");
    let early = in_world(&world, &["audit", "at", DEPLOYMENT, "2020-01-01"]);
    assert!(early.code == 1 && early.err.contains("audit history"), "{early:?}");
}

#[tokio::test]
async fn two_states_are_compared_and_prompts_word_by_word() {
    let world = world().await;
    let first = updated(&world, &json!({"initial_events": events(PROMPT)})).await;
    let second =
        updated(&world, &json!({"initial_events": events(OTHER_PROMPT), "name": "b"})).await;
    let two = ["audit", "diff", &first, &second];
    let narrow = on_terminal(&world, 80, &[("NO_COLOR", "1")], &two);
    for line in [
        "/initial_events/0/content/0/text:",
        "  - You write the [-daily-] report.",
        "  + You write the {+weekly+} report.",
        "    Keep it short.",
        "  - 每[-天-]早上九点发送。",
        "  + 每{+周+}早上九点发送{+ 👍+}。",
    ] {
        assert!(narrow.lines().any(|shown| shown == line), "{line}\n{narrow}");
    }
    assert!(narrow.lines().all(|line| columns(line) <= 80), "{narrow}");

    let wide = on_terminal(&world, 120, &[("NO_COLOR", "1")], &two);
    assert!(wide.lines().all(|line| columns(line) <= 120), "{wide}");
    let gutters = wide.lines().filter(|line| line.contains(" | ") || line.contains(" │ "));
    let places: Vec<usize> = gutters
        .map(|line| columns(line.split(" | ").next().unwrap().split(" │ ").next().unwrap()))
        .collect();
    assert!(places.len() >= 4 && places.iter().all(|at| *at == places[0]), "{places:?}\n{wide}");
    let coloured = on_terminal(&world, 120, &[], &two);
    assert!(coloured.contains("\u{1b}[7;31mdaily\u{1b}[0m"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[7;32mweekly\u{1b}[0m"), "{coloured:?}");

    let json = json_lines(&in_world(&world, &["audit", "diff", &first, &second, "--json"]).out);
    let told: Vec<_> = json[0]["diff"].as_array().unwrap().iter().map(|at| &at["path"]).collect();
    assert!(told.contains(&&json!("/initial_events/0/content/0/text")), "{told:?}");
    assert_eq!(
        (&json[0]["from"]["side"], &json[0]["to"]["change"]),
        (&json!("after"), &json!(second))
    );

    let alone = in_world(&world, &["audit", "diff", &second]).out;
    assert!(alone.contains("/name: ") && alone.contains("[-daily-]"), "{alone}");
    let newest = in_world(&world, &["audit", "diff", &first, &format!("{DEPLOYMENT}@now")]).out;
    assert!(newest.contains("{+weekly+}"), "{newest}");
    let same = in_world(&world, &["audit", "diff", DEPLOYMENT, &second]).out;
    assert!(same.contains("They do not differ."), "{same}");
    for (bad, code) in [(DEPLOYMENT, 2), ("chg_1", 2), ("chg_00000000000000000000000000000000", 1)]
    {
        assert_eq!(in_world(&world, &["audit", "diff", bad]).code, code, "{bad}");
    }
}

#[tokio::test]
async fn a_history_tells_what_came_around_the_gateway() {
    let world = world().await;
    let first = updated(&world, &json!({"name": "one", "initial_events": events(PROMPT)})).await;
    around(&world, &json!({"name": "by hand"})).await;
    let second = updated(&world, &json!({"initial_events": events(OTHER_PROMPT)})).await;
    let history = in_world(&world, &["audit", "history", DEPLOYMENT]).out;
    let lines: Vec<&str> = history.lines().collect();
    let head = format!("changed around the gateway, between {first} and {second}");
    let at = lines.iter().position(|line| *line == head).expect(&history);
    assert_eq!(lines[at + 1], "  /name: \"one\" → \"by hand\"");
    assert!(lines[..at].iter().any(|line| line.contains("[-daily-]")), "{history}");
    let shown = on_terminal(&world, 80, &[], &["audit", "show", &second]);
    assert!(shown.contains("\u{1b}[7;32mweekly"), "{shown:?}");
}
