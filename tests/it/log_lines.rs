//! The lines of the diagnostic log: what they tell, and in which form.

use std::collections::BTreeMap;

use changegate::simulator::{Fault, Options, Simulator};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::certificate::Certificate;
use crate::world::client::TOKEN;
use crate::world::program::{Folder, Program};
use crate::world::{Call, DEPLOYMENT, call, eventually, fingerprint, write_key};

const API: &str = "/api/v1/cloud";

/// An upstream that shakes hands as `localhost`, under a certificate that nobody has signed.
async fn under_tls() -> u16 {
    let acceptor = Certificate::of("localhost").acceptor(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // It fails: that is what is looked for.
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

fn start() -> (Simulator, Folder) {
    let simulator = Simulator::start(Options::default()).unwrap();
    let folder = Folder::new(simulator.address(), "");
    (simulator, folder)
}

async fn with_variable(folder: &Folder, name: &str, value: &str) -> Program {
    let mut command = folder.command(&["serve"]);
    command.env(name, value);
    folder.serve_as(command).await
}

async fn update(program: &Program, patch: &Value) -> u16 {
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    call(program.proxy, Call::post(&path).json(patch)).await.status.as_u16()
}

#[tokio::test]
async fn a_failure_of_upstream_tells_its_address_and_every_cause_in_one_field() {
    let (simulator, folder) = start();
    let plain = simulator.address().port();
    let (tls, free) = (under_tls().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let closed = free.local_addr().unwrap().port();
    drop(free);
    for (url, told) in [
        (format!("http://127.0.0.1:{closed}"), &["does not take", "Connection refused"][..]),
        (format!("http://upstream.invalid:{plain}"), &["can't be looked up", "upstream.invalid:"]),
        (format!("https://localhost:{tls}"), &["UnknownIssuer", "upstream.ca_file"]),
        (format!("https://127.0.0.1:{plain}"), &["TLS handshake", "begin with http://"]),
        (format!("http://127.0.0.1:{tls}"), &["upstream", "begin with https://"]),
    ] {
        let program = with_variable(&folder, "CHANGEGATE_UPSTREAM__URL", &url).await;
        let read = call(program.proxy, Call::get(&format!("{API}/agents"))).await.status.as_u16();
        assert_eq!((read, update(&program, &json!({"name": "x"})).await), (502, 502), "{url}");
        let at = url.split('/').next_back().unwrap();
        for message in ["no answer from upstream", "no answer from upstream to a governed call"] {
            let line = eventually(message, async || program.line(message)).await;
            let error = line["error"].as_str().unwrap();
            assert!(error.starts_with(&format!("{at}: ")), "{error}");
            assert!(told.iter().all(|told| error.contains(told)), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn every_line_of_serve_is_json_where_no_terminal_reads_it() {
    let (_simulator, folder) = start();
    folder.write("policy.toml", "[metadata]\nforbidden_keys = ['tier']\n");
    let mut command = folder.command(&["serve"]);
    // It is warned of, as plain text would be.
    command.env("CHANGEGATE_LIMITS__BODY_BYTES", "64 MiB");
    let mut program = folder.serve_as(command).await;
    assert_eq!(update(&program, &json!({"metadata": {"tier": 1}})).await, 403);
    folder.write("policy.toml", "nonsense = true\n");
    program.events("reload", 1).await;
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let warned = program.lines().into_iter().find(|line| line["file"] == "environment").unwrap();
    assert_eq!(warned["level"], "WARN", "{warned}");

    folder.write("policy.toml", "[metadata]\nforbidden_keys = ['tier']\n");
    for (variables, code) in [
        // Nothing filters why a start fails.
        ([("CHANGEGATE_LIMITS__JSON_DEPTH", "0"), ("CHANGEGATE_LOG", "off")], 2),
        ([("CHANGEGATE_LISTEN__PROXY", "192.0.2.1:80"), ("CHANGEGATE_LOG", "info")], 3),
    ] {
        let ended = folder.command(&["serve"]).envs(variables).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        let lines: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR", "{said}");
        assert!(last["timestamp"].as_str().unwrap().ends_with('Z'), "{said}");
    }
}

#[tokio::test]
async fn words_that_are_no_levels_are_refused() {
    let (_simulator, folder) = start();
    for command in ["serve", "check"] {
        for bad in ["verbose", "changegate=loud"] {
            let ended = folder.command(&[command]).env("CHANGEGATE_LOG", bad).output().unwrap();
            assert_eq!(ended.status.code(), Some(2), "{command}: {ended:?}");
            let said = String::from_utf8(ended.stderr).unwrap();
            assert!(said.contains("CHANGEGATE_LOG"), "{said}");
            assert!(said.contains("error, warn, info, debug, trace or off"), "{said}");
        }
    }
    let program = with_variable(&folder, "CHANGEGATE_LOG", "info,changegate::gateway=warn").await;
    assert_eq!(update(&program, &json!({"name": "x"})).await, 200);
    assert!(!program.has_said("governed call"));
}

#[tokio::test]
async fn a_governed_calls_line_names_the_actor_and_the_rules_of_its_denial() {
    let (simulator, _) = start();
    let named = format!("[[actor]]\nfingerprint = '{}'\nname = 'nightly'\n", fingerprint(TOKEN));
    let folder = Folder::new(simulator.address(), &named);
    write_key(&folder.path().join("key"));
    let mut program = folder.serve().await;
    let zone = json!({"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Paris"});
    let both = json!({"schedule": zone, "metadata": {"owner_override": "x", "secret_a": "y"}});
    assert_eq!(update(&program, &both).await, 403);
    assert_eq!(update(&program, &json!({"name": "x"})).await, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code(), Some(0));
    let lines = program.lines();
    let mut calls = lines.iter().filter(|line| line["message"] == "governed call");
    let (denied, applied) = (calls.next().unwrap(), calls.next().unwrap());
    assert_eq!(
        (&denied["actor_name"], &applied["actor_name"]),
        (&"nightly".into(), &"nightly".into())
    );
    assert_eq!(denied["rules"], "metadata.forbidden_keys, timezones");
    assert_eq!(applied.get("rules"), None);
}

#[tokio::test]
async fn changes_that_a_crash_left_open_are_told_and_counted() {
    let (simulator, folder) = start();
    let left_open = async |program: &Program| {
        let text = call(program.admin, Call::get("/metrics")).await.text();
        let line = text.lines().find(|line| line.starts_with("changegate_audit_left_open "));
        line.unwrap().to_owned()
    };
    let program = folder.serve().await;
    assert_eq!(left_open(&program).await, "changegate_audit_left_open 0");
    let digest = program.events("start", 1).await[0]["detail"]["policy_digest"].clone();
    assert_eq!(digest.as_str().unwrap().len(), 64, "{digest}");
    simulator.state().set_faults(["delay=60000:1@POST".parse::<Fault>().unwrap()]);
    let proxy = program.proxy;
    let path = format!("{API}/deployments/{DEPLOYMENT}");
    let hanging = tokio::spawn(async move {
        call(proxy, Call::post(&path).json(&json!({"name": "x"}))).await;
    });
    eventually("an open change", async || {
        let open = program.ask("/api/v1/changes?outcome=pending").await;
        (!open["data"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    program.kill();
    hanging.abort();
    let program = folder.serve().await;
    assert_eq!(left_open(&program).await, "changegate_audit_left_open 1");
    let message = "a crash has left changes open: whether they were applied is unknown";
    let line = eventually(message, async || program.line(message)).await;
    assert_eq!((&line["level"], &line["changes"]), (&"WARN".into(), &1.into()));
}

/// The rules that `promtool check metrics` has.
#[tokio::test]
async fn metrics_are_named_and_described_as_prometheus_wants_them() {
    let (_simulator, folder) = start();
    let program = folder.serve().await;
    assert_eq!(update(&program, &json!({"metadata": {"owner_override": 1}})).await, 403);
    let answer = call(program.admin, Call::get("/metrics").header("accept", "text/plain")).await;
    let text = answer.text();
    let described = |word: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (kinds, helps) = (described("# TYPE "), described("# HELP "));
    for (name, kind) in &kinds {
        assert!(helps.get(name).is_some_and(|help| help.len() > 10), "{name} has no help");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}: {kind}");
        let abbreviated = ["_ms", "_millis", "_milliseconds", "_kb", "_mb", "_secs", "_sec"];
        assert!(!abbreviated.iter().any(|unit| name.ends_with(unit)), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
    }
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap();
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(kinds.contains_key(histogram.unwrap_or(name)), "{sample} is of no family");
    }
    let denied = "operation=\"update\",outcome=\"denied\",decision=\"deny\"} 1";
    assert!(text.contains(denied), "{text}");
    let open = call(
        program.admin,
        Call::get("/metrics").header("accept", "application/openmetrics-text;version=1.0.0"),
    );
    let open = open.await;
    assert!(
        open.text().ends_with("# EOF\n") && open.text().contains("# TYPE changegate_changes c")
    );
    assert_eq!(open.header("vary"), Some("accept"));
}
