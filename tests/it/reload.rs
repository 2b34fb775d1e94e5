//! Files that change under a running gateway: which version comes into force, and what is said.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use changegate::base::clock::Clock;
use changegate::simulator::{Options, Simulator};
use serde_json::{Value, json};

use crate::world::program::{Folder, Program};
use crate::world::{Call, DEPLOYMENT, call, eventually};

const DENY: &str = "[metadata]\nforbidden_keys = ['tier']\nenforcement = 'deny'\n";
const WARN: &str = "[metadata]\nforbidden_keys = ['tier']\nenforcement = 'warn'\n";

/// The longest that a version on disk may wait.
const WITHIN: Duration = Duration::from_secs(5);

async fn started(policy: &str) -> (Simulator, Folder, Program) {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    folder.write("policy.toml", policy);
    let program = folder.serve().await;
    (simulator, folder, program)
}

/// Whether the policy in force lets a `tier` be set.
async fn allows(program: &Program) -> bool {
    let path = format!("/api/v1/cloud/deployments/{DEPLOYMENT}");
    // Another value each time: what stands already is not a change.
    let tier = Clock::System.now().to_string();
    let update = Call::post(&path).json(&json!({"metadata": {"tier": tier}}));
    let status = call(program.proxy, update).await.status.as_u16();
    assert!(status == 200 || status == 403, "{status}");
    status == 200
}

async fn comes_into_force(program: &Program, allowing: bool) {
    let began = Clock::System.instant();
    eventually("the new version", async || (allows(program).await == allowing).then_some(())).await;
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
}

async fn stays_denied(program: &Program, how_long: Duration) {
    let began = Clock::System.instant();
    while began.elapsed() < how_long {
        assert!(!allows(program).await, "after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_policy_that_is_caught_while_it_is_written_is_not_taken() {
    let (_simulator, folder, program) = started(DENY).await;
    // A section that was written first, and the rest a moment later.
    for half in ["", "# to come\n", "[timezones]\nallowed = ['Asia/Shanghai', 'UTC']\n"] {
        folder.write("policy.toml", half);
        stays_denied(&program, Duration::from_millis(700)).await;
        folder.write("policy.toml", DENY);
        stays_denied(&program, Duration::from_millis(1_300)).await;
    }
    // One that stays empty is refused, and the former one stays in force.
    folder.write("policy.toml", "");
    let refused = async || {
        let events = program.events("reload", 0).await;
        let errors = events.iter().filter_map(|event| event["detail"]["error"].as_str());
        errors.map(|error| error.contains("no rule")).next()
    };
    assert!(eventually("a refusal", refused).await);
    assert!(!allows(&program).await);
}

#[tokio::test]
async fn a_file_that_is_never_twice_the_same_is_not_taken() {
    let (_simulator, folder, program) = started(DENY).await;
    for n in 0..12 {
        folder.write("policy.toml", &format!("{WARN}# {n}\n"));
        stays_denied(&program, Duration::from_millis(300)).await;
    }
    comes_into_force(&program, true).await;
}

#[tokio::test]
async fn every_version_on_disk_comes_into_force_whatever_its_length_time_or_links() {
    assert_eq!(DENY.len(), WARN.len());
    let (_simulator, folder, program) = started(WARN).await;
    let file = |name: &str| folder.path().join(name);
    for (name, text) in [("warn.toml", WARN), ("deny.toml", DENY)] {
        folder.write(name, text);
        let of_old = std::fs::File::options().append(true).open(file(name)).unwrap();
        of_old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }
    for (target, allowing) in [("deny.toml", false), ("warn.toml", true)] {
        symlink(target, file("next")).unwrap();
        std::fs::rename(file("next"), file("policy.toml")).unwrap();
        comes_into_force(&program, allowing).await;
    }
    // A second version right behind the first one, again and again.
    for n in 0..3 {
        std::fs::remove_file(file("policy.toml")).unwrap();
        folder.write("policy.toml", &format!("{WARN}# {n}\n"));
        tokio::time::sleep(Duration::from_millis(1_000 + 35 * n)).await;
        folder.write("policy.toml", &format!("{DENY}# {n}\n"));
        comes_into_force(&program, false).await;
        folder.write("policy.toml", WARN);
        comes_into_force(&program, true).await;
    }
}

#[tokio::test]
async fn a_configuration_that_is_cut_off_lets_nobody_in() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let end = "[actors]\nunknown = 'deny'\n[[actor]]\nfingerprint = 'pat_0000000000000000'\n\
        name = 'nobody'\n";
    let folder = Folder::new(simulator.address(), end);
    let program = folder.serve().await;
    let whole = std::fs::read_to_string(folder.path().join("changegate.toml")).unwrap();
    let cut = whole.strip_suffix(end).unwrap();
    folder.write("changegate.toml", cut);
    stays_denied(&program, Duration::from_millis(700)).await;
    folder.write("changegate.toml", &whole);
    stays_denied(&program, Duration::from_millis(1_500)).await;
}

#[tokio::test]
async fn the_event_of_a_reload_names_what_changed() {
    let (_simulator, folder, program) = started(DENY).await;
    let path = folder.path().join("changegate.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let more = "limits.turn_timeout = '7s'\nupstream.allow_writes = ['DELETE /deployments/{id}']\n";
    folder.write("changegate.toml", &format!("{more}{config}"));
    folder.write("policy.toml", WARN);
    let events = program.events("reload", 1).await;
    let detail: &Value = &events[0]["detail"];
    let expected = ["limits.turn_timeout", "policy.metadata", "upstream.allow_writes"];
    assert_eq!(detail["changed"], json!(expected), "{detail}");
    assert_ne!(detail["policy_digest"], detail["former_policy_digest"]);

    folder.write("policy.toml", "[metadata]\nforbidden_keys = 7\nnonsense = 1\n");
    let events = program.events("reload", 2).await;
    let detail: &Value = &events[0]["detail"];
    assert!(detail["error"].as_str().unwrap().contains("policy.toml:2"), "{detail}");
    assert_eq!(detail["complaints"].as_array().unwrap().len(), 2, "{detail}");
}

/// What the gateway says of the configuration on disk: in `/readyz`, which stays 200, and in the
/// metrics.
async fn refused(program: &Program) -> (Value, bool) {
    let ready = call(program.admin, Call::get("/readyz")).await;
    assert_eq!(ready.status, 200);
    let metrics = call(program.admin, Call::get("/metrics")).await.text();
    let is_refused = metrics.contains("changegate_config_last_reload_successful 0\n");
    assert_ne!(is_refused, metrics.contains("changegate_config_last_reload_successful 1\n"));
    (ready.json()["config_refused"].take(), is_refused)
}

#[tokio::test]
async fn a_policy_that_is_refused_is_told_until_it_is_fixed_and_the_former_one_decides() {
    let (_simulator, folder, program) = started(DENY).await;
    let policy = folder.path().join("policy.toml");
    assert_eq!(refused(&program).await, (Value::Null, false));
    let deep = format!("[[rule]]\nname = 'deep'\nrequire = '{}true'\n", "1 == ".repeat(800));
    let make_pipe = || {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &policy, mode).unwrap();
    };
    let faults: [(&dyn Fn(), &str); 5] = [
        (&|| folder.write("policy.toml", &deep), "policy.toml is not valid at line 3"),
        (&|| std::fs::create_dir(&policy).unwrap(), "policy.toml can't be read"),
        (&|| folder.write("policy.toml", "x = 1\ny = 2"), "is not valid at line 1, and 1 more"),
        (&make_pipe, "policy.toml can't be read"),
        (&|| folder.write("policy.toml", &"[".repeat(1 << 20)), "is not valid at line 1"),
    ];
    let mut known = Value::Null;
    for (fault, reason) in faults {
        let _ = std::fs::remove_file(&policy).or_else(|_no_file| std::fs::remove_dir(&policy));
        fault();
        let told = async || {
            let (told, is_refused) = refused(&program).await;
            let has_come = told["reason"].as_str().is_some_and(|it| it.contains(reason));
            (has_come && is_refused).then_some(told)
        };
        let told = eventually(reason, told).await;
        assert!(known.is_null() || known["since"] == told["since"], "{known} {told}");
        known = told;
        assert!(!allows(&program).await, "{reason}");
    }
    std::fs::remove_file(&policy).unwrap();
    folder.write("policy.toml", WARN);
    comes_into_force(&program, true).await;
    let well = async || (refused(&program).await == (Value::Null, false)).then_some(());
    eventually("a word that all is well", well).await;
}

#[tokio::test]
async fn a_name_that_comes_later_finds_what_its_token_did_before() {
    let (_simulator, folder, program) = started(WARN).await;
    assert!(allows(&program).await);
    call(program.proxy, Call::new("DELETE", "/api/v1/cloud/deployments/dep_x")).await;
    assert!(!program.events("refused_write", 1).await.is_empty());
    let change = program.ask("/api/v1/changes").await["data"][0].take();
    let theirs = async |list: &str| {
        program.ask(&format!("/api/v1/{list}?actor=Alice")).await["data"].as_array().unwrap().len()
    };
    assert_eq!((theirs("changes").await, theirs("events").await), (0, 0));
    let path = folder.path().join("changegate.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let token = change["actor"]["fingerprint"].as_str().unwrap();
    let actor = format!("{config}\n[[actor]]\nfingerprint = '{token}'\nname = 'Alice'\n");
    folder.write("changegate.toml", &actor);
    let named = async || (theirs("changes").await == 1).then_some(());
    eventually("the name in force", named).await;
    assert_eq!(theirs("events").await, 1);
    let history = format!("deployments/{DEPLOYMENT}/history");
    assert_eq!(theirs(&history).await, 1);
    // The log remembers whose token it was.
    assert!(allows(&program).await);
    folder.write("changegate.toml", &config);
    program.events("reload", 2).await;
    assert_eq!(theirs("changes").await, 2);
}
