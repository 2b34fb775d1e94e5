//! The configuration through its door: files and variables in, complaints or a configuration out.

mod documents;
mod folder;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::folder::folder;
use super::check::{Checked, check};
use super::keys::KEYS;
use super::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MINIMAL: &str = "[upstream]\nprovider = 'qoder-cn'\nurl = 'https://api.qoder.com.cn'\n";
const DIGEST: &str = "1b988d7c6233e6a7b9beecc77f17be0de3151cb55166760ae5c8f3ad83d7e3f4";

fn check_text(folder: &Path, text: &str, environment: &[(&str, &str)]) -> Checked {
    let file = folder.join("changegate.toml");
    fs::write(&file, text).unwrap();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    check(&file, &environment.iter().map(own).collect::<Vec<_>>())
}

fn complaints_of(folder: &Path, checked: &Checked) -> String {
    let folder = format!("{}/", folder.display());
    checked.complaints.iter().map(|c| format!("{c}\n").replace(&folder, "")).collect()
}

/// The configuration, printed without its folder.
fn config_of(folder: &Path, text: &str, environment: &[(&str, &str)]) -> Config {
    let checked = check_text(folder, text, environment);
    let complaints = complaints_of(folder, &checked);
    checked.config.unwrap_or_else(|| panic!("{complaints}"))
}

/// Each case file holds cases after lines of `====`. A case is a configuration and, after `----`,
/// the complaints about it. Sections that a case does not name are added below it, unless it says
/// `#bare`; `#env NAME=VALUE` sets a variable.
#[test]
fn a_message_of_claude_may_take_ten_minutes_to_begin() {
    let folder = folder();
    for (provider, seconds) in [("qoder-cn", 60), ("qoder", 60), ("claude", 600)] {
        let text = MINIMAL.replace("qoder-cn", provider);
        let config = config_of(folder.path(), &text, &[]);
        assert_eq!(config.upstream.response_timeout, Duration::from_secs(seconds), "{provider}");
    }
}

#[test]
fn every_case_is_complained_of_as_written() {
    let folder = folder();
    let mut wrong = String::new();
    for entry in fs::read_dir(format!("{ROOT}/tests/data/config")).unwrap() {
        let path = entry.unwrap().path();
        for case in fs::read_to_string(&path).unwrap().split("====\n").skip(1) {
            let (text, expected) = case.split_once("----\n").unwrap();
            let variables = text.lines().filter_map(|line| line.strip_prefix("#env "));
            let environment: Vec<_> = variables.map(|v| v.split_once('=').unwrap()).collect();
            let mut whole = text.to_owned();
            if !text.contains("#bare") && !text.contains("[upstream]") {
                whole += MINIMAL;
            }
            if !text.contains("#bare") && !text.contains("[policy]") {
                whole += "[policy]\nfile = 'policy.toml'\n";
            }
            let checked = check_text(folder.path(), &whole, &environment);
            let found = complaints_of(folder.path(), &checked);
            let forbidden = found.contains(": error: ");
            assert_eq!(checked.config.is_none(), forbidden, "{text}");
            if found != expected {
                writeln!(wrong, "==== {}\n{text}----\n{found}", path.display()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "these cases were answered otherwise:\n{wrong}");
}

#[test]
fn what_is_not_written_is_as_documented() {
    let folder = folder();
    let config = config_of(folder.path(), MINIMAL, &[]);
    let seconds = Duration::from_secs;
    assert_eq!(
        config.listen,
        Listen {
            proxy: ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap()),
            admin: ListenAddress::Tcp("127.0.0.1:8081".parse().unwrap()),
            tls: None,
            admin_tls: None,
            trusted_proxies: vec![],
            trusts_socket_file: false,
            cors: vec![],
            socket_mode: 0o660,
        }
    );
    assert_eq!(config.upstream.provider.name, "qoder-cn");
    assert_eq!(config.upstream.origin.to_string(), "https://api.qoder.com.cn");
    assert_eq!(config.upstream.connect_timeout, seconds(5));
    assert_eq!(config.upstream.response_timeout, seconds(60));
    assert!(config.upstream.ca_file.is_none() && config.upstream.allow_writes.is_empty());
    let read = Budget::per_second(50, 100);
    let write = Budget::per_second(20, 40);
    assert_eq!(config.rate_limit, Some(RateLimit { read, write }));
    assert_eq!(
        config.audit,
        AuditConfig {
            database: folder.path().join("changegate.db").into(),
            key_file: folder.path().join("changegate.key"),
            other_writes: true,
            finish_timeout: seconds(5),
        }
    );
    assert_eq!(
        config.limits,
        Limits {
            body_bytes: 4 << 20,
            answer_bytes: 32 << 20,
            header_bytes: 64 << 10,
            header_count: 100,
            json_depth: 64,
            kept_bytes_per_minute: 64 << 20,
            header_timeout: seconds(10),
            body_timeout: seconds(30),
            write_timeout: seconds(30),
            pace_timeout: seconds(20),
            idle_timeout: seconds(75),
            connections: 10_000,
            connections_per_address: 1_000_000,
            turn_timeout: seconds(30),
            drain_timeout: seconds(8),
        }
    );
    assert_eq!(config.actors, Actors::default());
    assert!(config.admin_tokens.is_empty() && config.redact.is_empty());
    assert_eq!(config.files, [folder.path().join("changegate.toml")]);
}

#[test]
fn every_example_is_valid_where_it_lies() {
    let mut count = 0;
    for entry in fs::read_dir(format!("{ROOT}/config/examples")).unwrap() {
        let path = entry.unwrap().path();
        // Policies are tested by their own cases.
        if path.is_dir() {
            continue;
        }
        let checked = check(&path, &[]);
        assert!(checked.config.is_some(), "{}: {:?}", path.display(), checked.complaints);
        // A minimal one has no policy; the others have whole files beside them.
        let expected: &[&str] = match path.file_stem().and_then(|name| name.to_str()) {
            Some("minimal") => &["policy.file"],
            Some("tls-and-tokens") => &["a placeholder", "a placeholder"],
            _ => &[],
        };
        // Whether others may write to a checked-out file is the umask's matter.
        let told = complaints_of(Path::new(ROOT), &checked);
        let told: Vec<_> = told.lines().filter(|line| !line.contains("chmod go-w")).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        let mut pairs = told.iter().zip(expected);
        assert!(pairs.all(|(line, part)| line.contains(part)), "{told:?}");
        count += 1;
    }
    assert_eq!(count, 4);
}

/// Values of keys that take no number.
const OWN_VALUES: &[(&str, &str)] = &[
    ("listen.proxy", "[::1]:9000"),
    ("listen.admin", "127.0.0.1:9001"),
    ("listen.trusted_proxies", r#"["10.0.0.0/8", "192.0.2.1"]"#),
    ("listen.socket_mode", "0600"),
    ("listen.cors", "['https://a.example']"),
    ("listen.tls.cert", "tls/c2.pem"),
    ("listen.tls.key", "tls/k2.pem"),
    ("listen.admin_tls.cert", "tls/c2.pem"),
    ("listen.admin_tls.key", "tls/k2.pem"),
    ("upstream.provider", "claude"),
    ("upstream.url", "https://api.example.com:8443/"),
    ("upstream.proxy", "http://proxy.example:3128"),
    ("upstream.ca_file", "tls/ca.pem"),
    ("upstream.allow_writes", "['DELETE /deployments/{id}']"),
    ("policy.file", "policy.toml"),
    ("rate_limit.enabled", "false"),
    ("rate_limit.backend", "redis://127.0.0.1"),
    ("rate_limit.ca_file", "tls/ca.pem"),
    ("rate_limit.away", "deny"),
    ("audit.database", "sqlite://other.db"),
    ("audit.key_file", "good.key"),
    ("audit.other_writes", "off"),
    ("limits.header_bytes", "16 KiB"),
    ("actors.unknown", "\"deny\""),
    ("actor", r#"[{"fingerprint": "pat_0011223344556677", "name": "a"}]"#),
    ("admin.view", "[{name = 'a', query = 'decision=deny'}]"),
    ("admin.oidc.issuer", "https://j.example"),
    ("admin.oidc.client_secret_file", "oidc.secret"),
    ("admin.oidc.redirect_url", "https://d.example/login/oidc/callback"),
    ("admin.oidc.ca_file", "tls/ca.pem"),
    ("admin.oidc.scopes", "['groups']"),
    ("admin.auth_proxy.addresses", "['10.0.0.2']"),
    ("admin.roles.viewer", "['a']"),
    ("admin.roles.auditor", "['a']"),
    ("admin.roles.approver", "['a']"),
    ("admin.roles.admin", "['a']"),
    ("admin.roles.default", "none"),
    ("sink", r#"[{"name": "s", "kind": "file", "path": "s.jsonl"}]"#),
    ("redact.pointers", "[\"/a\"]"),
    ("seal.key_file", "tls/seal.key"),
    ("seal.beside_database", "true"),
    ("retention.max_age", "400d"),
    ("retention.hold", "[{team = 'a'}]"),
    ("evidence.key_file", "good.key"),
    ("evidence.witness_urls", "[\"https://witness.example.com\"]"),
    (
        "evidence.witness_keys",
        "['witness.example+0080fed4+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f']",
    ),
];

#[test]
fn every_key_can_be_overridden_by_its_variable() {
    let folder = folder();
    let text = format!(
        "{MINIMAL}[listen.tls]\ncert = 'tls/cert.pem'\nkey = 'tls/key.pem'\n\
        [listen.admin_tls]\ncert = 'tls/cert.pem'\nkey = 'tls/key.pem'\n\
        [admin.oidc]\nissuer = 'https://i.example'\nclient_id = 'a'\n\
        redirect_url = 'https://c.example/login/oidc/callback'\n\
        [admin.auth_proxy]\naddresses = ['10.0.0.1']\n"
    );
    fs::copy(folder.path().join("tls/cert.pem"), folder.path().join("tls/c2.pem")).unwrap();
    fs::copy(folder.path().join("tls/key.pem"), folder.path().join("tls/k2.pem")).unwrap();
    // What was typed differs by itself.
    let mut base = config_of(folder.path(), &text, &[]);
    base.typed.clear();
    let base = format!("{base:?}");
    let token = format!("[{{name = 'a', role = 'admin', sha256 = '{DIGEST}'}}]");
    let more = [("admin.token", token.as_str())];
    for path in KEYS.all().map(|key| key.path).filter(|path| !path.contains("[]")) {
        let value = OWN_VALUES
            .iter()
            .chain(&more)
            .find(|(key, _)| *key == path)
            .map_or("7", |(_, value)| value);
        let variable = format!("CHANGEGATE_{}", path.to_uppercase().replace('.', "__"));
        let mut config = config_of(folder.path(), &text, &[(&variable, value)]);
        config.typed.clear();
        assert_ne!(format!("{config:?}"), base, "{variable}");
    }
}

#[test]
fn the_variable_of_a_key_wins_over_that_of_its_section() {
    let folder = folder();
    let environment = [
        ("CHANGEGATE_RATE_LIMIT__READ__BURST", "3"),
        ("CHANGEGATE_RATE_LIMIT__READ", "{per_second = 1, burst = 2}"),
        ("CHANGEGATE_RATE_LIMIT", r#"{"read": {"per_second": 9}, "write": {"burst": 4}}"#),
        ("PATH", "/bin"),
    ];
    let config = config_of(folder.path(), MINIMAL, &environment);
    let read = Budget::per_second(1, 3);
    let write = Budget::per_second(20, 4);
    assert_eq!(config.rate_limit, Some(RateLimit { read, write }));
}

#[test]
fn names_in_variables_need_no_quotes_even_where_they_look_like_numbers() {
    let folder = folder();
    fs::write(folder.path().join("42"), "timezones.allowed = ['UTC']").unwrap();
    let config = config_of(folder.path(), MINIMAL, &[("CHANGEGATE_POLICY__FILE", "42")]);
    assert_eq!(config.files.last(), Some(&folder.path().join("42")));
}

#[test]
fn meanings_are_read_as_typed() {
    let folder = folder();
    let text = "[upstream]\nprovider = 'claude'\nurl = 'HTTP://[::1]:8000/'\n\
        allow_writes = ['DELETE /deployments/{id}', 'POST /v2/Deployments/x/y']\n\
        [audit]\ndatabase = 'sqlite:///tmp/abs.db'\n\
        [[actor]]\nfingerprint = 'pat_0011223344556677'\nname = '夜间同步'\nteam = 'ops'\n\
        [policy]\nfile = 'policy.toml'\n";
    let config = config_of(folder.path(), text, &[]);
    let origin = Origin { tls: false, host: "::1".to_owned(), port: 8000 };
    assert_eq!(config.upstream.origin, origin);
    assert_eq!(origin.to_string(), "http://[::1]:8000");
    let [delete, post] = &config.upstream.allow_writes[..] else { panic!("two entries") };
    assert_eq!(delete.method, http::Method::DELETE);
    assert_eq!(delete.segments, [Some("deployments".to_owned()), None]);
    assert_eq!(post.segments.len(), 4);
    assert_eq!(config.audit.database, PathBuf::from("/tmp/abs.db").into());
    assert_eq!(config.limits.body_bytes, 32 << 20);
    let fingerprint = "pat_0011223344556677".parse().unwrap();
    let (team, person) = (Some("ops".to_owned()), None);
    let holder = ActorName { name: "夜间同步".to_owned(), team, person };
    assert_eq!(config.actors.known.get(&fingerprint), Some(&holder));
    let files = ["changegate.toml", "policy.toml"].map(|name| folder.path().join(name));
    assert_eq!(config.files, files);
}

#[test]
fn mistakes_in_the_policy_are_told_of_the_policy_file() {
    let folder = folder();
    fs::write(folder.path().join("bad.toml"), "\n[timezones\n").unwrap();
    let text = format!("{MINIMAL}[policy]\nfile = 'bad.toml'\n[limits]\njson_depth = 0\n");
    let checked = check_text(folder.path(), &text, &[]);
    assert!(checked.config.is_none());
    let places: Vec<_> = checked.complaints.iter().map(|c| (c.file.clone(), c.line)).collect();
    let place = |name: &str, line| (folder.path().join(name), Some(line));
    assert_eq!(places, [place("changegate.toml", 7), place("bad.toml", 2)]);
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_complaint() {
    let folder = folder();
    fs::write(folder.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
    fs::write(folder.path().join("long.toml"), "#".repeat((4 << 20) + 1)).unwrap();
    for name in ["absent.toml", "binary.toml", "long.toml", "tls"] {
        let checked = check(&folder.path().join(name), &[]);
        assert!(checked.config.is_none(), "{name}");
        assert_eq!(checked.complaints.len(), 1, "{name}");
        assert!(checked.complaints[0].message.contains("--config"), "{name}");
    }
}

#[test]
fn what_never_ends_is_not_read_at_all() {
    let folder = folder();
    let text = format!(
        "{MINIMAL}ca_file = '/dev/zero'\n[policy]\nfile = '/dev/zero'\n\
         [audit]\nkey_file = '/dev/zero'\n[listen.tls]\ncert = '/dev/zero'\nkey = '/dev/zero'\n"
    );
    let checked = check_text(folder.path(), &text, &[]);
    assert_eq!(checked.complaints.len(), 4, "{:?}", checked.complaints);
    for message in checked.complaints.into_iter().map(|complaint| complaint.message) {
        assert!(message.contains("not a regular file"), "{message}");
    }
}

#[test]
fn of_very_many_complaints_the_first_are_told() {
    let folder = folder();
    let many = (0..20_000).fold(MINIMAL.to_owned(), |text, n| text + &format!("[x{n}]\n"));
    let checked = check_text(folder.path(), &many, &[]);
    assert!(checked.config.is_none());
    let last = checked.complaints.last().unwrap();
    assert_eq!(checked.complaints.len(), 101);
    assert!(!last.warning && last.message.starts_with("and 199"), "{last}");
}

#[test]
fn no_complaint_repeats_what_may_be_a_secret() {
    let folder = folder();
    let text = "[upstream]\nprovider = 'qoder'\nurl = 'https://me:hunter2@host'\n\
        [audit]\ndatabase = 'postgres://me:hunter2@host/db?sslmode=prefer'\n\
        [[actor]]\nfingerprint = 'pt-hunter2'\nname = 'a'\n\
        [[admin.token]]\nname = 'a'\nrole = 'admin'\nsha256 = 'hunter2'\n";
    let checked = check_text(folder.path(), text, &[("CHANGEGATE_UPSTREAM__URL", "hunter2://")]);
    assert_eq!(checked.complaints.iter().filter(|c| !c.warning).count(), 4);
    assert!(!format!("{checked:?}").contains("hunter2"), "{checked:?}");
}

#[test]
fn a_complaint_is_short_and_steers_no_terminal() {
    let folder = folder();
    let long = "x".repeat(100_000);
    let text = format!(
        "{MINIMAL}[policy]\nfile = \"\\u001b[2J\"\n[listen.tls]\ncert = '{long}'\nkey = '{long}'\n"
    );
    let environment = [("CHANGEGATE_L\u{1b}[2JIMITS", "1")];
    let checked = check_text(folder.path(), &text, &environment);
    assert_eq!(checked.complaints.len(), 3, "{:?}", checked.complaints);
    for message in checked.complaints.into_iter().map(|complaint| complaint.message) {
        assert!(message.len() < 2_000 && !message.contains('\u{1b}'), "{message:?}");
    }
}

#[test]
fn checking_leaves_no_trace() {
    let folder = folder();
    check_text(folder.path(), MINIMAL, &[]);
    let before = fs::read_dir(folder.path()).unwrap().count();
    let changed = fs::metadata(folder.path()).unwrap().modified().unwrap();
    assert!(check(&folder.path().join("changegate.toml"), &[]).config.is_some());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
    assert_eq!(fs::metadata(folder.path()).unwrap().modified().unwrap(), changed);
}
