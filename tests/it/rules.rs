//! Rules in CEL, from the policy file to the client and the record.

use changegate::simulator::{Options, Simulator};
use serde_json::json;

use crate::world::program::Folder;
use crate::world::{Call, Setup, call};

const POLICY: &str = r#"
[[rule]]
name = "named-well"
require = "object.name.startsWith('team-')"
message = "{{ object.name }} does not say its team"

[[rule]]
name = "no-night-runs"
when = "object.schedule != null"
require = "!object.schedule.expression.startsWith('0 2 ')"
message = "runs at two in the night wake people"
enforcement = "warn"

[[rule]]
name = "no-pause"
operations = ["pause"]
require = "actor.team == 'platform'"
"#;

#[tokio::test]
async fn a_rule_in_cel_denies_and_is_recorded_with_its_message() {
    let world = Setup::new().policy(POLICY).start().await;
    let answer = world.update(&json!({"name": "mine"})).await;
    assert_eq!(answer.status, 403);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("named-well: mine does not say its team"), "{message}");
    assert_eq!(answer.json()["error"]["param"], "name");
    let change = world.change_of(&answer).await;
    assert_eq!(change["outcome"], "denied");
    assert_eq!(change["violations"][0]["rule"], "named-well");
    assert_eq!(change["violations"][0]["path"], "/name");
    assert_eq!(change["violations"][0]["actual"], "mine");
}

#[tokio::test]
async fn a_rule_in_cel_warns_and_lets_what_it_is_not_about_pass() {
    let world = Setup::new().policy(POLICY).start().await;
    let schedule = json!({"type": "cron", "expression": "0 2 * * *", "timezone": "UTC"});
    let answer = world.update(&json!({"schedule": schedule})).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("warning").unwrap().contains("two in the night"));
    let change = world.change_of(&answer).await;
    assert_eq!(change["decision"], "warn");
    assert_eq!(change["standing"][0]["rule"], "named-well");
}

#[tokio::test]
async fn each_rule_is_counted_by_what_it_came_to() {
    let failing = "[[rule]]\nname = \"whole-number\"\nenforcement = \"audit\"\n\
        require = \"int(object.name) > 0\"\n";
    let world = Setup::new().policy(&format!("{POLICY}{failing}")).start().await;
    let text = async || call(world.admin(), Call::get("/metrics")).await.text();
    let outcomes = |text: &str| {
        let counted = text.lines().filter_map(|line| {
            let line = line.strip_prefix("changegate_rule_outcomes_total{rule=\"")?;
            line.split_once("\",outcome=\"")?.1.ends_with(" 0").then_some(())
        });
        counted.count()
    };
    assert_eq!(outcomes(&text().await), 4 * 7);
    let schedule = json!({"type": "cron", "expression": "0 2 * * *", "timezone": "UTC"});
    assert_eq!(world.update(&json!({"name": "team-a", "schedule": schedule})).await.status, 200);
    assert_eq!(world.update(&json!({"name": "mine"})).await.status, 403);
    let text = text().await;
    for (rule, outcome, count) in [
        ("named-well", "satisfied", 1),
        ("named-well", "violated", 1),
        ("no-night-runs", "violated", 1),
        ("no-night-runs", "standing", 1),
        ("no-pause", "satisfied", 0),
        ("whole-number", "error", 2),
    ] {
        let line = format!("outcomes_total{{rule=\"{rule}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(text.contains("changegate_rule_would_deny_total{rule=\"no-night-runs\"} 1\n"));
    assert!(text.contains("changegate_rule_would_deny_total{rule=\"whole-number\"} 2\n"));
    assert!(!text.contains("changegate_rule_would_deny_total{rule=\"named-well\"}"));
}

/// Policies that are deep or long in every way that a text can be.
fn monsters() -> Vec<String> {
    let rule = |require: &str| format!("[[rule]]\nname = 'a'\nrequire = '''{require}'''\n");
    let chain = |start: &str, link: &str| {
        rule(&format!("{start}{}", link.repeat((4_090 - start.len()) / link.len())))
    };
    let around = |open: &str, inner: &str, close: &str| {
        let count = 4_000 / (open.len() + close.len());
        rule(&format!("{}{inner}{}", open.repeat(count), close.repeat(count)))
    };
    let message = format!("{}message = '''{{{{ {}1 }}}}'''\n", rule("true"), "-".repeat(1_000));
    let mut all = vec![
        around("(", "1", ")"),
        around("[", "", "]"),
        around("{1:", "1", "}"),
        around("f(", "", ")"),
        around("[1].all(x,", "true", ")"),
        around("a[", "0", "]"),
        around("has(", "a.b", ")"),
        around("cel.bind(x,1,", "x", ")"),
        message,
        format!("a = {}", "[".repeat(1 << 20)),
        format!("a = {}", "{a=".repeat(1 << 18)),
        format!("a{} = 1", ".a".repeat(1 << 20)),
        format!("[a{}]\nb = 1", ".a".repeat(1 << 20)),
    ];
    let chains = [
        ("true", "&&true"),
        ("1", "+1"),
        ("1", "<1"),
        ("a", ".b"),
        ("a", ".?b"),
        ("a", "[0]"),
        ("a", ".f()"),
        ("[1]", ".map(x,x)"),
        ("true", "?true:true"),
        ("1", " in [1]"),
        ("", "!"),
        ("", "-"),
        ("", "("),
        ("", "["),
        ("", "{"),
        ("", "\""),
        ("", "a?"),
        ("", "a.all(x,"),
    ];
    all.extend(chains.map(|(start, link)| chain(start, link)));
    all
}

#[tokio::test]
async fn no_policy_ends_the_program_that_reads_it() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    for monster in monsters() {
        folder.write("policy.toml", &monster);
        let ended = folder.command(&["check"]).output().unwrap();
        let start: String = monster.chars().take(60).collect();
        assert!(matches!(ended.status.code(), Some(0 | 2)), "{:?} {start}", ended.status);
    }
}
