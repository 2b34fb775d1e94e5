//! `audit` as an auditor runs it: with a log and nothing else, on a terminal or into a file.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::world::client::TOKEN;
use crate::world::command::{in_world, on_terminal, run};
use crate::world::{Call, DEPLOYMENT, Setup, call, fingerprint, world};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_log_is_read_whatever_else_is_broken() {
    let world = world().await;
    world.update(&json!({"name": "renamed"})).await;
    let folder = world.folder.path();
    let elsewhere = tempfile::tempdir().unwrap();
    let log = world.database();
    let named = run(elsewhere.path(), &["audit", "list", "--database", log.to_str().unwrap()]);
    assert_eq!((named.code, named.err.as_str()), (0, ""), "{named:?}");
    assert_eq!(named.out.lines().count(), 2, "{}", named.out);

    std::fs::write(folder.join("policy.toml"), "x = ").unwrap();
    std::fs::remove_file(folder.join("key")).unwrap();
    let text = std::fs::read_to_string(folder.join("changegate.toml")).unwrap();
    let text = format!("speed = 3\nnode.name = 7\n{text}");
    std::fs::write(folder.join("changegate.toml"), &text).unwrap();
    let broken = in_world(&world, &["audit", "list"]);
    assert_eq!((broken.code, broken.err.as_str()), (0, ""), "{broken:?}");
    assert_eq!(broken.out, named.out);
    assert!(!folder.join("key").exists(), "no key is made");

    std::fs::write(folder.join("changegate.toml"), format!("{text}\nx = ")).unwrap();
    let garbled = in_world(&world, &["audit", "list"]);
    assert_eq!(garbled.code, 2, "{garbled:?}");
    assert!(garbled.err.contains("not TOML") && garbled.err.contains("--database FILE"));
    let both = ["audit", "list", "--config", "changegate.toml", "--database", "log.db"];
    assert_eq!(in_world(&world, &both).code, 2);
}

#[tokio::test]
async fn a_list_that_goes_on_says_so() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.update(&json!({"name": name})).await;
    }
    for list in [
        vec!["audit", "list"],
        vec!["audit", "list", "--json"],
        vec!["audit", "history", DEPLOYMENT],
        vec!["audit", "history", DEPLOYMENT, "--json"],
    ] {
        for (limit, said) in
            [("2", "2 shown, there are more: --all or --limit N\n"), ("3", ""), ("4", "")]
        {
            let arguments = [list.as_slice(), &["--limit", limit]].concat();
            let ran = in_world(&world, &arguments);
            assert_eq!((ran.code, ran.err.as_str()), (0, said), "{arguments:?}");
        }
        let whole = in_world(&world, &[list.as_slice(), &["--all"]].concat());
        assert_eq!(whole.err, "");
    }
    let named = in_world(&world, &["audit", "list", "--q", "/name", "--limit", "2", "--json"]);
    assert_eq!(json_lines(&named.out).len(), 2);
    assert!(named.err.starts_with("2 shown, there are more"), "{}", named.err);
    // A program that asks for one asks for the newest: its id alone comes, and no word beside it.
    for list in ["list", "deployments"] {
        let newest = in_world(&world, &["audit", list, "--json", "--limit", "1"]);
        assert_eq!((json_lines(&newest.out).len(), newest.err.as_str()), (1, ""), "{list}");
    }
}

#[tokio::test]
async fn a_list_fits_the_terminal_and_stays_whole_elsewhere() {
    let world = world().await;
    world.update(&json!({"name": "renamed"})).await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let denied = world.update(&json!({"schedule": zone})).await;
    let denied = denied.header("changegate-change").unwrap();
    let list = ["audit", "list"];

    let narrow = on_terminal(&world, 80, &[("NO_COLOR", "1")], &list);
    let lines: Vec<&str> = narrow.lines().collect();
    assert_eq!(lines.len(), 5, "a change has two lines:\n{narrow}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{narrow}");
    assert!(lines[0].starts_with("RECEIVED (UTC)"), "{narrow}");
    assert!(lines[1].contains("deny") && lines[1].contains("denied"), "{narrow}");
    assert_eq!(lines[2], format!("  {denied}  timezones"));
    assert!(!narrow.contains('\u{1b}'), "{narrow:?}");
    assert_eq!(on_terminal(&world, 40, &[("NO_COLOR", "1")], &list), narrow, "80 at the least");

    let wide = on_terminal(&world, 80, &[("COLUMNS", "220"), ("TERM", "dumb")], &list);
    let lines: Vec<&str> = wide.lines().collect();
    assert_eq!(lines.len(), 3, "{wide}");
    assert!(lines[1].contains(denied) && lines[1].contains(DEPLOYMENT), "{wide}");
    assert!(!wide.contains('\u{1b}'), "{wide:?}");
    let coloured = on_terminal(&world, 220, &[], &list);
    assert!(coloured.contains("\u{1b}[31mdeny\u{1b}[0m"), "{coloured:?}");
    assert_eq!(coloured.replace("\u{1b}[31m", "").replace("\u{1b}[0m", ""), wide);

    let events = on_terminal(&world, 80, &[], &["audit", "list", "--events"]);
    assert!(events.lines().all(|line| line.chars().count() <= 80), "{events}");
    let piped = in_world(&world, &list).out;
    assert_eq!(piped.lines().count(), 3);
    assert!(piped.contains(denied) && piped.contains(DEPLOYMENT) && piped.contains('Z'), "{piped}");
}

#[tokio::test]
async fn deployments_are_listed_and_found_by_their_name() {
    let world = world().await;
    let other = world.seed(1).remove(0);
    world.update(&json!({"name": "Größe der Abrechnung"})).await;
    let path = format!("/api/v1/cloud/deployments/{other}");
    call(world.proxy(), Call::post(&path).json(&json!({"name": "billing-sync"}))).await;
    world.update(&json!({"description": "x"})).await;

    let found = json_lines(&in_world(&world, &["audit", "deployments", "--json"]).out);
    let told = |one: &Value| (one["id"].clone(), one["name"].clone(), one["changes"].clone());
    let expected = [
        (json!(DEPLOYMENT), json!("Größe der Abrechnung"), json!(2)),
        (json!(other), json!("billing-sync"), json!(1)),
    ];
    assert_eq!(found.iter().map(told).collect::<Vec<_>>(), expected);
    let one = in_world(&world, &["audit", "deployments", "--limit", "1"]);
    assert_eq!(one.out.lines().count(), 2, "{}", one.out);
    assert_eq!(one.err, "1 shown, there are more: --all or --limit N\n");

    for (text, changes) in [("GRÖSSE", 2), ("Billing", 1), ("l", 1), ("a", 2), ("nothing", 0)] {
        for option in ["--deployment-name", "--name"] {
            let named = in_world(&world, &["audit", "list", "--json", option, text]);
            assert_eq!(json_lines(&named.out).len(), changes, "{text}");
        }
    }
    let found = in_world(&world, &["audit", "list", "--json", "--q", "Grösse"]);
    assert_eq!(json_lines(&found.out).len(), 2, "{found:?}");
    let export = ["audit", "export", "--format", "csv", "--deployment-name", "BILLING"];
    assert_eq!(in_world(&world, &export).out.lines().count(), 2);
    let both = ["audit", "list", "--json", "--name", "billing", "--deployment-id", DEPLOYMENT];
    assert_eq!(in_world(&world, &both).out, "");
    let shown = on_terminal(&world, 100, &[], &["audit", "list", "--name", "billing"]);
    assert!(shown.contains("billing-sync"), "{shown}");
    let shown = on_terminal(&world, 80, &[], &["audit", "deployments"]);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains("UTC") && shown.contains(&other), "{shown}");
}

#[tokio::test]
async fn changes_are_found_by_their_effect() {
    let world = world().await;
    let exact = world.update(&json!({"name": "renamed"})).await;
    world.update(&json!({"metadata": {"owner_override": "me"}})).await;
    let id = exact.header("changegate-change").unwrap();
    let found = in_world(&world, &["audit", "list", "--json", "--effect", "exact"]);
    let found = json_lines(&found.out);
    assert_eq!((found.len(), &found[0]["id"]), (1, &json!(id)));
    assert_eq!(json!(found), world.ask("/api/v1/changes?effect=exact").await["data"]);
    assert_eq!(in_world(&world, &["audit", "list", "--json", "--effect", "other"]).out, "");
    let unknown = in_world(&world, &["audit", "list", "--effect", "all"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("exact, partial, none or other"), "{}", unknown.err);
}

#[tokio::test]
async fn events_are_found_by_who_did_what_to_which_deployment() {
    let mei = fingerprint("pt-mei-0123456789");
    let actor = format!("\n[[actor]]\nfingerprint = '{mei}'\nname = 'Mei'\nteam = 'growth'\n");
    let world = Setup::new().config(&actor).start().await;
    let other = world.seed(1).remove(0);
    world.update(&json!({"name": "known"})).await;
    let token = "pt-mei-0123456789";
    for id in [DEPLOYMENT, &other] {
        let path = format!("/api/v1/cloud/deployments/{id}");
        call(world.proxy(), Call::get(&path).token(token)).await;
        call(world.proxy(), Call::new("DELETE", &path).token(token)).await;
    }
    let refused = Call::new("DELETE", "/api/v1/cloud/deployments/dep_x");
    call(world.proxy(), refused.header("x-request-id", "req-of-mine")).await;
    assert!(world.events("refused_write", 3).await.len() >= 3);
    for (filters, count) in [
        (vec!["--deployment-id", DEPLOYMENT], 1),
        (vec!["--deployment-id", &other, "--q", "delete"], 1),
        (vec!["--actor", "Mei"], 2),
        (vec!["--actor", &mei, "--deployment-id", "dep_x"], 0),
        (vec!["--team", "growth"], 2),
        (vec!["--team", "ops"], 0),
        (vec!["--q", "REFUSED_write"], 3),
        (vec!["--q", "dep_x"], 1),
        (vec!["--q", "dep_x", "--until", "1d"], 0),
        (vec!["--request-id", "req-of-mine"], 1),
    ] {
        let arguments = [&["audit", "list", "--events", "--json"], filters.as_slice()].concat();
        let found = in_world(&world, &arguments);
        assert_eq!(json_lines(&found.out).len(), count, "{filters:?}: {found:?}");
        let query = filters.chunks(2).map(|filter| {
            format!("{}={}", filter[0].trim_start_matches('-').replace('-', "_"), filter[1])
        });
        let query = query.collect::<Vec<_>>().join("&");
        let page = world.ask(&format!("/api/v1/events?{query}")).await;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}: {page}");
    }
    let limited = ["audit", "list", "--events", "--team", "growth", "--limit", "1"];
    assert_eq!(in_world(&world, &limited).err, "1 shown, there are more: --all or --limit N\n");
}

#[tokio::test]
async fn a_question_that_can_find_nothing_is_told_so() {
    let world = world().await;
    world.update(&json!({"name": "renamed"})).await;
    for (rule, warns) in [
        ("timezones", false),
        ("metadata.forbidden_keys", false),
        ("metadata", true),
        ("nonsense", true),
    ] {
        let ran = in_world(&world, &["audit", "list", "--rule", rule]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.err.contains("no policy on record has a rule"), warns, "{ran:?}");
    }
    for (option, text, fix) in [
        ("--deployment-name", "", "--deployment-name: write a value"),
        ("--q", "", "--q: write a value"),
        ("--path", "/a~2", "--path: in a JSON Pointer ~0 stands for ~"),
        ("--asked-path", "/a~", "--asked-path: in a JSON Pointer"),
    ] {
        let ran = in_world(&world, &["audit", "list", option, text]);
        assert!(ran.code == 2 && ran.err.contains(fix), "{option} {text:?}: {ran:?}");
    }
    let ran = in_world(&world, &["audit", "list", "--until", "9999-12-31T23:59:59Z", "--json"]);
    assert_eq!((ran.code, json_lines(&ran.out).len()), (0, 1), "{ran:?}");
    let day = ["audit", "list", "--since", "2026-06-14", "--until", "2026-06-14"];
    let ran = in_world(&world, &day);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("begin in UTC"), "{}", ran.err);
    let help = in_world(&world, &["audit", "list", "--help"]).out;
    let words: Vec<&str> = help.split_whitespace().collect();
    assert!(words.join(" ").contains("begin in UTC"), "{help}");
}

#[tokio::test]
async fn a_text_is_found_in_any_case_of_any_script() {
    let world = world().await;
    world.update(&json!({"metadata": {"Größe": "1", "КОМАНДА": "а"}})).await;
    world.update(&json!({"name": "Größe"})).await;
    for (text, count) in [("gRÖßE", 2), ("GRÖSSE", 2), ("команда", 1), ("ALICE-команда", 0)]
    {
        let found = in_world(&world, &["audit", "list", "--json", "--q", text]);
        assert_eq!(json_lines(&found.out).len(), count, "{text}: {found:?}");
    }
    let asked = world.ask("/api/v1/changes?q=%D0%BA%D0%BE%D0%BC%D0%B0%D0%BD%D0%B4%D0%B0").await;
    assert_eq!(asked["data"].as_array().unwrap().len(), 1, "{asked}");
    let nul = call(world.admin(), Call::get("/api/v1/changes?q=%00")).await;
    assert_eq!(nul.status, 400, "SQLite would find everything");
}

#[tokio::test]
async fn a_backup_is_whole_its_owners_and_overwrites_nothing() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.update(&json!({"name": name})).await;
    }
    let made = in_world(&world, &["backup", "copy.db"]);
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
    let copy = world.folder.path().join("copy.db");
    let bytes = std::fs::read(&copy).unwrap();
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let full = ["audit", "list", "--json", "--full", "--database"];
    let of = |database| in_world(&world, &[full.as_slice(), &[database]].concat()).out;
    assert_eq!(of("copy.db"), of("log.db"));
    assert_eq!(json_lines(&of("copy.db")).len(), 3);

    let again = in_world(&world, &["backup", "copy.db"]);
    assert_eq!(again.code, 3);
    assert!(again.err.contains("copy.db is there already"), "{}", again.err);
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    let absent = in_world(&world, &["backup", "other.db", "--database", "absent.db"]);
    assert_eq!(absent.code, 3);
    assert!(absent.err.contains("no audit database at absent.db"), "{}", absent.err);
    let foreign = in_world(&world, &["backup", "other.db", "--database", "changegate.toml"]);
    assert_eq!(foreign.code, 3, "{foreign:?}");
    let nowhere = in_world(&world, &["backup", "nowhere/other.db"]);
    assert_eq!(nowhere.code, 3, "{nowhere:?}");
    assert!(!world.folder.path().join("other.db").exists());
}

#[tokio::test]
async fn a_name_finds_what_its_token_did_before_it_was_named() {
    let world = world().await;
    let applied = world.update(&json!({"name": "renamed"})).await;
    call(world.proxy(), Call::new("DELETE", "/api/v1/cloud/deployments/dep_x")).await;
    assert!(!world.events("refused_write", 1).await.is_empty());
    let list = |name: &str| {
        let listed = ["audit", "list", "--json", "--actor", name];
        json_lines(&in_world(&world, &listed).out)
    };
    assert!(list("Alice").is_empty());
    let path = world.folder.path().join("changegate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let token = fingerprint(TOKEN);
    let actor = format!("{text}\n[[actor]]\nfingerprint = '{token}'\nname = 'Alice'\n");
    std::fs::write(&path, actor).unwrap();
    assert_eq!(list("Alice")[0]["id"], applied.header("changegate-change").unwrap());
    let events = ["audit", "list", "--events", "--json", "--actor", "Alice"];
    assert_eq!(json_lines(&in_world(&world, &events).out).len(), 1);
}

#[tokio::test]
async fn a_list_is_printed_as_csv_without_formulas() {
    let world = world().await;
    let answer = world.update(&json!({"name": "=HYPERLINK(\"x\"),1"})).await;
    let id = answer.header("changegate-change").unwrap();
    for list in [vec!["audit", "list"], vec!["audit", "history", DEPLOYMENT]] {
        let ran = in_world(&world, &[list.as_slice(), &["--csv"]].concat());
        let lines: Vec<&str> = ran.out.split("\r\n").collect();
        assert_eq!((ran.code, lines.len(), lines[2]), (0, 3, ""), "{ran:?}");
        assert!(lines[0].starts_with("received_at,completed_at,change,"), "{ran:?}");
        let cells: Vec<&str> = lines[1].split(',').collect();
        assert_eq!((cells.len(), cells[2], cells[3]), (15, id, DEPLOYMENT), "{ran:?}");
    }
    let deployments = in_world(&world, &["audit", "deployments", "--csv"]).out;
    let expected = format!("{DEPLOYMENT},\"'=HYPERLINK(\"\"x\"\"),1\",1,");
    assert!(deployments.lines().nth(1).unwrap().starts_with(&expected), "{deployments}");
    let none = in_world(&world, &["audit", "list", "--csv", "--q", "nothing"]).out;
    assert_eq!(none.lines().count(), 1, "the header row alone: {none}");
    assert_eq!(in_world(&world, &["audit", "list", "--csv", "--json"]).code, 2);
}

#[tokio::test]
async fn a_denied_change_shows_what_would_have_changed() {
    let world = world().await;
    world.update(&json!({"name": "as it is"})).await;
    let whole = json!({"name": "as it is", "description": "new", "metadata": {"secret_a": "1"}});
    let denied = world.update(&whole).await;
    let shown = in_world(&world, &["audit", "show", denied.header("changegate-change").unwrap()]);
    let asked = shown.out.split("asked for:\n").nth(1).unwrap();
    assert!(!asked.contains("/name"), "{asked}");
    assert!(asked.contains("/description: ") && asked.contains(" → \"new\"\n"), "{asked}");
    assert!(asked.contains("/metadata/secret_a: (none) → \""), "{asked}");
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let denied = world.update(&json!({"schedule": zone})).await;
    let shown = in_world(&world, &["audit", "show", denied.header("changegate-change").unwrap()]);
    let asked = shown.out.split("asked for:\n").nth(1).unwrap();
    assert!(asked.contains("/schedule/timezone: \"Asia/Shanghai\" → \"Europe/Paris\""), "{asked}");
    assert!(!asked.contains("upcoming_runs_at"), "the server computes them: {asked}");
}

#[tokio::test]
async fn long_values_are_folded_on_a_terminal_alone() {
    let world = world().await;
    let answer = world.update(&json!({"description": "long ".repeat(1_000)})).await;
    let id = answer.header("changegate-change").unwrap();
    for question in [["audit", "show", id], ["audit", "history", DEPLOYMENT]] {
        let shown = on_terminal(&world, 80, &[("NO_COLOR", "1")], &question);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("… (--json shows it whole)"), "{shown}");
        assert!(shown.len() < 3_000, "{shown}");
        assert!(in_world(&world, &question).out.len() > 5_000);
    }
}
