//! Disguises of what built-in rules forbid, in every way in which a change may bring them.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::evaluate::{Findings, evaluate};
use super::load::load;
use super::subject::Subject;
use super::{Decision, Policy};
use crate::deployment::patch::parse;
use crate::deployment::predict::Omitted;
use crate::provider::{Operation, Provider};

const POLICY: &str = "[schedule]\nminimum_interval = '15m'\nruns_per_day = 96\n\
    [references]\nagents = ['agent_1', 'agent_x_*']\nenvironments = ['env_1']\nvaults = ['vlt_1']\n\
    resource_types = ['git_repository', 'file']\n\
    resource_urls = ['https://git.example.com/team/*']\n\
    pinned_agent_version = true\n\
    [name]\npattern = '[a-z][a-z0-9-]*'\n[metadata]\nrequired = { team = '[a-z]+' }\n";

static POLICIES: LazyLock<[(&Provider, Policy); 3]> =
    LazyLock::new(|| Provider::ALL.map(|provider| (provider, load(POLICY, provider).unwrap())));

/// A deployment that keeps every rule.
fn sound() -> Value {
    json!({
        "name": "nightly",
        "agent": {"id": "agent_1", "type": "agent", "version": 3},
        "environment_id": "env_1",
        "vault_ids": ["vlt_1"],
        "resources": [{"type": "git_repository", "url": "https://git.example.com/team/a"}],
        "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Shanghai"},
        "metadata": {"team": "web"},
    })
}

fn judged(
    policy: &Policy,
    provider: &'static Provider,
    (operation, omitted): (Operation, Omitted),
    before: Option<&Value>,
    patch: &Value,
) -> Findings {
    let patch = parse(provider, patch.to_string().as_bytes(), 64).unwrap();
    let subject = Subject { operation, omitted, ..Subject::of(provider, before, &patch) };
    evaluate(policy, &subject).findings
}

/// Holds that a member which breaks a part of a rule is denied however it comes, and standing where
/// it was there before.
fn denied(member: &str, value: &Value, rule: &str) {
    let mut broken = sound();
    broken[member] = value.clone();
    for (provider, policy) in &*POLICIES {
        let before = sound();
        let preserved = Omitted::Preserved;
        let alone = json!({member: value});
        for (way, before, patch) in [
            ((Operation::Create, preserved), None, &broken),
            ((Operation::Update, preserved), Some(&before), &alone),
            ((Operation::Update, preserved), Some(&before), &broken),
            ((Operation::Update, Omitted::Open), Some(&before), &broken),
            ((Operation::Pause, preserved), Some(&before), &alone),
            ((Operation::Run, preserved), Some(&before), &alone),
        ] {
            let found = judged(policy, provider, way, before, patch);
            let told = format!("{} {way:?} {member} {value}: {found:#?}", provider.name);
            assert_eq!(found.decision(), Decision::Deny, "{told}");
            assert!(found.violations.iter().any(|found| found.rule.starts_with(rule)), "{told}");
        }
        let way = (Operation::Update, preserved);
        let patch = json!({"description": "other"});
        let found = judged(policy, provider, way, Some(&broken), &patch);
        let told = format!("{} {member} {value}: {found:#?}", provider.name);
        assert_eq!(found.decision(), Decision::Allow, "{told}");
        assert!(found.standing.iter().any(|found| found.rule.starts_with(rule)), "{told}");
    }
}

#[test]
fn what_keeps_every_rule_passes() {
    for (provider, policy) in &*POLICIES {
        for (way, before) in [
            ((Operation::Create, Omitted::Preserved), None),
            ((Operation::Update, Omitted::Preserved), Some(sound())),
            ((Operation::Update, Omitted::Open), Some(sound())),
        ] {
            let found = judged(policy, provider, way, before.as_ref(), &sound());
            assert_eq!(found, Findings::default(), "{} {way:?}", provider.name);
        }
    }
}

/// Ids that a careless reader takes for `id`.
fn disguised(id: &str) -> Vec<String> {
    let mut ids: Vec<String> = ["", " ", "*", "null", "?"].map(str::to_owned).to_vec();
    let ends = [
        " ", "\n", "\t", "\0", "\u{200b}", "\u{ad}", "\u{feff}", "\u{a0}", "\u{301}", "/", "/..",
        "?a=b", "#a", "%00", "%20", ",agent_2", ";", "\\", "2", "*",
    ];
    ids.extend(ends.iter().map(|end| format!("{id}{end}")));
    ids.extend(
        [" ", "\u{feff}", "\u{200b}", "../", "./", "/", "x/../"].map(|s| format!("{s}{id}")),
    );
    ids.push(id.to_ascii_uppercase());
    ids.push(id.replacen('_', "\u{ff3f}", 1));
    ids.push(id.replacen('_', "-", 1));
    ids.push(id.replacen('e', "\u{435}", 1).replacen('v', "\u{3bd}", 1));
    ids.push(id.replacen('1', "\u{ff11}", 1));
    ids.push(id.replacen('_', "%5f", 1));
    ids.retain(|disguised| disguised != id);
    ids
}

#[test]
fn no_disguised_id_passes() {
    for id in disguised("agent_1") {
        denied("agent", &json!({"id": id, "version": 1}), "references.agents");
    }
    for id in disguised("env_1") {
        denied("environment_id", &json!(id), "references.environments");
    }
    for id in disguised("vlt_1") {
        denied("vault_ids", &json!(["vlt_1", id]), "references.vaults");
    }
    for kind in disguised("git_repository") {
        denied("resources", &json!([{"type": kind}]), "references.resource_types");
    }
    for agent in [
        json!({"id": "agent_1", "version": 1, "Id": "agent_2"}),
        json!({"id": "agent_1", "version": 1, "\u{ff49}d": "agent_2"}),
        json!({"id": ["agent_1"], "version": 1}),
        json!({"version": 1}),
        json!(["agent_1"]),
        json!({"id": "agent_x_a/../agent_2", "version": 1}),
        json!({"id": "agent_x_\u{4e2d}", "version": 1}),
    ] {
        denied("agent", &agent, "references.agents");
    }
    for other in ["agentId", "agents", "environment", "envId", "vaults"] {
        denied(other, &json!("other"), "references.");
    }
}

#[test]
fn no_agent_passes_whose_version_is_open() {
    for version in [
        json!("3"),
        json!("latest"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!([3]),
        json!({}),
        json!(true),
        json!(""),
    ] {
        let agent = json!({"id": "agent_1", "version": version});
        denied("agent", &agent, "references.pinned_agent_version");
    }
    for agent in [
        json!({"id": "agent_1"}),
        json!({"id": "agent_1", "Version": 3}),
        json!({"id": "agent_1", "version": 3, "VERSION": "latest"}),
    ] {
        denied("agent", &agent, "references.pinned_agent_version");
    }
}

#[test]
fn no_disguised_url_passes() {
    for url in [
        "https://evil.com/team/a",
        "http://git.example.com/team/a",
        "//git.example.com/team/a",
        "https://git.example.com@evil.com/team/a",
        "https://git.example.com.evil.com/team/a",
        "https://evil.com\\@git.example.com/team/a",
        "https://evil.com#@git.example.com/team/a",
        "https://git.example.com/team/../other/a",
        "https://git.example.com/team/%2e%2e/other",
        "https://git.example.com/team/..%2fother",
        "https://git.example.com/team/%252e%252e/a",
        "https://git.example.com/team%2f..%2fother",
        "https://git.example.com:8443/team/a",
        "https://git.example.com/Team/a",
        "https:/git.example.com/team/a",
        "git.example.com/team/a",
        "git@git.example.com:team/a",
        "ssh://git.example.com/team/a",
        "file:///team/a",
        "",
        " ",
        "https://git.example.com/team/a\n",
        "\thttps://git.example.com/team/a",
        "https://git.exam\u{ad}ple.com/team/a",
        "https://g\u{456}t.example.com/team/a",
        "https://git.example.com\u{ff0f}team/a",
        "https://git\u{3002}example.com/team/a",
        "https://[git.example.com]/team/a",
        "https://git.example.com",
        "https://",
        "https://user@git.example.com@evil.com/team/a",
        "https://git.example.com:443@evil.com/a",
    ] {
        for name in ["url", "URL", "repo_url", "cloneUrl", "\u{ff55}rl", "mirror-uri"] {
            let resource = json!({"type": "git_repository", name: url});
            denied("resources", &json!([resource]), "references.resource_urls");
        }
    }
}

#[test]
fn no_disguised_schedule_passes() {
    let minutes = (0..60).map(|minute| minute.to_string()).collect::<Vec<_>>().join(",");
    for expression in [
        "* * * * *",
        "*/1 * * * *",
        "0-59 * * * *",
        "00-59/1 * * * *",
        "0-59,0 * * * *",
        "\t*\t*\t*\t*\t*",
        " * * * * * ",
        "*\n* * * *",
        "*/14 * * * *",
        "0,1 9 * * *",
        "0 9 31 2 *",
        "0 9 30 FEB *",
        "@hourly",
        "@every 1m",
        "@reboot",
        "TZ=UTC * * * * *",
        "CRON_TZ=UTC * * * * *",
        "* * * * * *",
        "0 * * * * *",
        "* * * *",
        "? ? ? ? ?",
        "0 9 L * *",
        "0 9 ? * 5#3",
        "H * * * *",
        "\u{ff0a} * * * *",
        "*\u{a0}* * * *",
        "*\u{200b}/1 * * * *",
        "rate(1 minute)",
        "",
        " ",
        "*/0 * * * *",
        "60 * * * *",
        &minutes,
        "0-10/5,30 * * * *",
        "58,4 * * * *",
        "0,50-59 * * * *",
    ] {
        for name in ["expression", "Expression", "\u{ff45}xpression"] {
            let schedule = json!({"type": "cron", name: expression, "timezone": "Asia/Shanghai"});
            denied("schedule", &schedule, "schedule.");
        }
        if !expression.trim().is_empty() {
            let schedule = json!({
                "type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Shanghai",
                "cron": expression,
            });
            denied("schedule", &schedule, "schedule.");
        }
    }
    for zone in ["utc", "UTC ", "", "Mars/Phobos", "+08:00", "EST5EDT4", "Asia/shanghai", "../UTC"]
    {
        let schedule = json!({"type": "cron", "expression": "0 9 * * *", "timezone": zone});
        denied("schedule", &schedule, "schedule.readable");
    }
    for kind in ["once", "Cron", "interval", "rrule", "", "cron ", "at"] {
        let schedule = json!({"type": kind, "expression": "0 9 * * *", "timezone": "UTC"});
        denied("schedule", &schedule, "schedule.readable");
    }
}

#[test]
fn no_disguised_name_and_no_key_that_looks_required_passes() {
    for name in [
        "Nightly",
        "nightly ",
        " nightly",
        "nightly\n",
        "\nnightly",
        "night ly",
        "n\u{131}ghtly",
        "nightl\u{443}",
        "\u{ff4e}ightly",
        "nightly\u{200b}",
        "nightly\0",
        "1nightly",
        "",
        "-",
        "a\nb",
        "nightly_",
        "nightly.",
    ] {
        denied("name", &json!(name), "name");
    }
    denied("name", &json!(["nightly"]), "name");
    for metadata in [
        json!({"team": ""}),
        json!({"team": "Web"}),
        json!({"team": "web "}),
        json!({"team": "web\n"}),
        json!({"team": "w\u{435}b"}),
        json!({"team": ["web"]}),
        json!({"team": {"team": "web"}}),
        json!({"team": 7}),
        json!({"team": true}),
    ] {
        denied("metadata", &metadata, "metadata.required");
    }
}
