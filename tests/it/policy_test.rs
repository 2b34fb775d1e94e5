//! `policy test`: every case is a policy, a file of cases, and what the program prints of them, in
//! `tests/data/policy-test`. Arguments stand behind the title.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// One policy and its cases, and what comes of them.
struct Tried {
    title: String,
    arguments: Vec<String>,
    policy: String,
    cases: String,
    expected: String,
}

fn all() -> Vec<Tried> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policy-test");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| text.split("\n====\n").map(tried).collect::<Vec<_>>()).collect()
}

fn tried(text: &str) -> Tried {
    let (title, rest) = text.split_once('\n').unwrap();
    let (title, arguments) = title.split_once(" | ").unwrap_or((title, ""));
    let parts: Vec<&str> = rest.split("\n----\n").collect();
    let [policy, cases, expected] = parts[..] else { panic!("{title}") };
    Tried {
        title: title.to_owned(),
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        policy: policy.to_owned(),
        cases: cases.to_owned(),
        expected: expected.trim_end().to_owned(),
    }
}

/// Runs `policy test` in a folder.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_changegate"))
        .args(["policy", "test"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("CHANGEGATE_CONFIG")
        .output()
        .unwrap()
}

/// The code, and what was printed.
fn told(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    format!("code {}\n{out}{err}", output.status.code().unwrap()).trim_end().to_owned()
}

/// A folder with a policy and a file of cases in it.
fn folder(policy: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.toml"), format!("{policy}\n")).unwrap();
    std::fs::write(folder.path().join("policy.test.toml"), format!("{cases}\n")).unwrap();
    folder
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_file_of_cases_is_judged_as_its_file_says() {
    for tried in all() {
        let folder = folder(&tried.policy, &tried.cases);
        let mut arguments = vec!["--policy", "policy.toml"];
        arguments.extend(tried.arguments.iter().map(String::as_str));
        let found = told(&run(folder.path(), &arguments));
        assert_eq!(found, tried.expected, "{}", tried.title);
        let widest = found.lines().take_while(|line| !line.contains("error: "));
        assert!(widest.skip(1).all(|line| line.chars().count() <= 80), "{}", tried.title);
        // As a document and as a report it fails and passes likewise.
        arguments.extend(["--json", "--junit", "report.xml"]);
        let again = run(folder.path(), &arguments);
        assert_eq!(again.status.code(), told_code(&tried.expected), "{}", tried.title);
        if !again.stdout.is_empty() {
            let code = again.status.code();
            assert_eq!(json(&again)["passes"], Value::from(code == Some(0)), "{}", tried.title);
        }
    }
}

fn told_code(expected: &str) -> Option<i32> {
    expected.lines().next()?.strip_prefix("code ")?.parse().ok()
}

const POLICY: &str = "[[rule]]\nname = 'named'\nrequire = \"object.name != ''\"";

const CASES: &str = "[[case]]\nname = 'empty'\npatch.name = ''\nexpect.rules = ['named']\n\
    [[case]]\nname = 'x'\npatch.name = 'x'\nexpect.rules = []";

const CONFIGURATION: &str = "[upstream]\nprovider = 'claude'\nurl = 'https://api.anthropic.com'\n\
    [policy]\nfile = 'policy.toml'\n[listen.tls]\ncert = 'absent.pem'\nkey = 'absent.pem'\n";

#[test]
fn the_configuration_names_the_policy_and_need_not_be_whole() {
    let folder = folder(POLICY, CASES);
    let path = folder.path();
    let none = run(path, &[]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    std::fs::write(path.join("changegate.toml"), CONFIGURATION).unwrap();
    let beside = run(path, &["--json"]);
    assert_eq!(beside.status.code(), Some(0), "{beside:?}");
    let beside = json(&beside);
    assert_eq!(beside["files"][0]["provider"], "claude");
    assert_eq!(beside["files"][0]["file"], "policy.test.toml");
    let other = run(path, &["--json", "--provider", "qoder"]);
    assert_eq!(json(&other)["files"][0]["provider"], "qoder");
    for wrong in [&["--provider", "nobody"][..], &["--config", "absent.toml"], &["--run", "("]] {
        assert_eq!(run(path, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_file_of_cases_names_its_own_policy_and_documents() {
    let folder = folder(POLICY, CASES);
    let path = folder.path();
    std::fs::write(path.join("before.json"), r#"{"name": "x", "vault_ids": ["vlt_1"]}"#).unwrap();
    std::fs::write(path.join("patch.json"), r#"{"vault_ids": []}"#).unwrap();
    let own = "policy = 'own.toml'\nprovider = 'claude'\n[[case]]\nname = 'vaults'\n\
        before_file = 'before.json'\npatch_file = 'patch.json'\nexpect.rules = ['vaults']\n\
        [[case.each]]\n'/patch/name' = 'y'\n[[case.each]]\n'/before/vault_ids' = []\n\
        '/expect/rules' = []\n'/expect/standing' = ['vaults']\n";
    std::fs::write(path.join("own.test.toml"), own).unwrap();
    let rule = "[[rule]]\nname = 'vaults'\nrequire = \"object.vault_ids != []\"\n";
    std::fs::write(path.join("own.toml"), rule).unwrap();
    let found = run(path, &["own.test.toml", "policy.test.toml", "--policy", "own.toml"]);
    assert_eq!(found.status.code(), Some(2), "the other file's rule is unknown: {found:?}");
    let found = run(path, &["own.test.toml"]);
    assert_eq!(told(&found).lines().next(), Some("code 0"), "{found:?}");
    // Beside a policy, files that are about another one are left out.
    let beside = json(&run(path, &["--policy", "policy.toml", "--json"]));
    assert_eq!(beside["files"].as_array().unwrap().len(), 1, "{beside}");
    // A folder stands for all files in it, each with the policy that it names.
    std::fs::write(path.join("changegate.toml"), CONFIGURATION).unwrap();
    let folder = json(&run(path, &[".", "--json"]));
    let policies = [0, 1].map(|at| folder["files"][at]["policy"].as_str().unwrap().to_owned());
    assert_eq!(policies, ["own.toml", "policy.toml"], "{folder}");
}

#[test]
fn a_report_names_what_passes_and_what_fails_in_well_formed_xml() {
    let cases = format!("{CASES}\n[[case]]\nname = \"<&\\\"'>\\u0085\"\nexpect.rules = []");
    let folder =
        folder(POLICY, &cases.replace("'x'\nexpect.rules = []", "'x'\nexpect.rules = ['named']"));
    let path = folder.path();
    let ran = run(path, &["--policy", "policy.toml", "--strict", "--junit", "report.xml"]);
    assert_eq!(ran.status.code(), Some(2), "a control character is no name: {ran:?}");
    let cases = std::fs::read_to_string(path.join("policy.test.toml")).unwrap();
    std::fs::write(path.join("policy.test.toml"), cases.replace("\\u0085", "夜")).unwrap();
    let ran = run(path, &["--policy", "policy.toml", "--strict", "--junit", "report.xml"]);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let report = std::fs::read_to_string(path.join("report.xml")).unwrap();
    for part in [
        "<testsuite name=\"policy.test.toml\" package=\"changegate\" id=\"0\" tests=\"3\" \
         failures=\"2\" errors=\"0\" time=\"",
        "<testcase name=\"empty\" classname=\"policy.test.toml\" time=\"",
        "<testcase name=\"&lt;&amp;&quot;'&gt;夜\" classname",
        "<failure type=\"policy\" message=\"rules     expected  named, found     none\">",
        "name=\"provider\" value=\"qoder-cn\"",
    ] {
        let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
        let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(report.contains(&part), "{part}\n{report}");
    }
    let nowhere = run(path, &["--policy", "policy.toml", "--junit", "absent/report.xml"]);
    assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");
}

#[test]
fn a_document_tells_what_was_expected_and_what_was_found() {
    let folder = folder(POLICY, &CASES.replace("['named']", "[]"));
    let found = json(&run(folder.path(), &["--policy", "policy.toml", "--json"]));
    let case = &found["files"][0]["cases"][0];
    assert_eq!(case["line"], 1);
    assert_eq!(case["passes"], false);
    assert_eq!(case["expected"]["rules"], serde_json::json!([]));
    assert_eq!(case["found"]["rules"], serde_json::json!(["named"]));
    assert_eq!(case["found"]["decision"], "deny");
    assert_eq!(case["found"]["violations"][0]["path"], "/name");
    assert_eq!(case["differences"], serde_json::json!(["rules"]));
    let part = &case["explained"][0]["parts"][1];
    assert_eq!(
        *part,
        serde_json::json!(
            {"key": "require", "depth": 1, "text": "object.name", "value": "\"\""}
        )
    );
    assert_eq!(found["coverage"][0]["rules"][0]["violated"], 1);
    assert_eq!((found["passed"].as_u64(), found["failed"].as_u64()), (Some(1), Some(1)));
}

/// A folder of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_example_of_a_policy_is_tested_from_both_sides() {
    let folder = repository("config/examples/policies");
    let ran = run(&folder, &[".", "--strict", "--json"]);
    assert_eq!(ran.status.code(), Some(0), "{}", told(&run(&folder, &[".", "--strict"])));
    let names = std::fs::read_dir(&folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_policy = |name: &String| {
        let path = Path::new(name);
        path.extension().is_some_and(|it| it == "toml")
            && path.with_extension("").extension().is_none()
    };
    let policies: Vec<String> = names.filter(is_policy).collect();
    assert!(policies.len() >= 20, "{policies:?}");
    assert_eq!(json(&ran)["coverage"].as_array().unwrap().len(), policies.len());
    let guide = std::fs::read_to_string(repository("docs/guide/from-audit-to-deny.md")).unwrap();
    for policy in policies {
        let row = format!("| `{}` |", policy.trim_end_matches(".toml"));
        assert!(guide.contains(&row), "the guide misses the row of {row}");
    }
}

#[test]
fn the_guides_cases_pass_and_its_workflow_can_be_run() {
    let guide = std::fs::read_to_string(repository("docs/guide/policy-tests.md")).unwrap();
    let blocks = guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let policy = "[timezones]\nallowed = ['Asia/Shanghai', 'UTC']\n[[rule]]\n\
        name = 'no-weekend-runs'\nwhen = 'object.schedule != null'\n\
        require = \"!object.schedule.expression.endsWith(' 6,0')\"\nenforcement = 'warn'\n\
        message = '{{ actor.?name.orValue(\"\") }} may not plan runs at weekends'\n";
    let folder = folder(policy, &blocks.collect::<String>());
    std::fs::write(folder.path().join("changegate.toml"), CONFIGURATION).unwrap();
    let workflow = std::fs::read_to_string(repository("deploy/github-actions/policy.yml")).unwrap();
    let (_, line) = workflow.split_once("changegate policy test ").unwrap();
    let arguments: Vec<&str> = line.lines().next().unwrap().split_whitespace().collect();
    assert!(guide.contains(&format!("changegate policy test {}", arguments.join(" "))));
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.status.code(), Some(0), "{}", told(&ran));
    assert!(folder.path().join("policy-tests.xml").exists());
}
