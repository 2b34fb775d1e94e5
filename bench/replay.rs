//! How fast recorded changes are judged anew, beside reading them alone.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::child::command;
use super::log::Source;
use super::table::{Goals, Table, note};

/// The least changes that one core judges by ten rules in a second.
const PER_SECOND_MIN: f64 = 10_000.0;

/// A rule that is asked about nothing in the log: what is left is reading.
const READING: &str = "[[rule]]\nname = \"none\"\noperations = [\"create\"]\nrequire = \"false\"\n";

/// Rules as an installation has them.
const TEN_RULES: &str = r#"
[timezones]
allowed = ["Asia/Shanghai", "UTC"]

[metadata]
forbidden_keys = ["owner_override", "secret_*"]
protected_keys = ["cas_config.config.max_concurrent"]

[[rule]]
name = "named"
require = "object.name.size() <= 64"
[[rule]]
name = "no-weekend-runs"
when = "object.schedule != null"
require = "!object.schedule.expression.endsWith(' 6,0')"
[[rule]]
name = "short-keys"
require = "object.metadata.all(key, key.size() < 65)"
[[rule]]
name = "described"
require = "object.?description.orValue('').size() < 5000"
[[rule]]
name = "team-kept"
require = "get(object.metadata, 'team', '') == get(oldObject.metadata, 'team', '')"
operations = ["update"]
[[rule]]
name = "few-events"
require = "object.initial_events.size() <= 10"
[[rule]]
name = "not-at-night"
when = "touches('/schedule') && object.schedule != null"
require = "!object.schedule.expression.startsWith('0 2 ')"
[[rule]]
name = "no-removal"
require = "removed('/initial_events').size() == 0"
enforcement = "warn"
"#;

/// Measures replays of the log.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    source: Source,
    /// The core that it runs on
    #[arg(long, default_value_t = 0)]
    core: usize,
}

/// Replays the log by each policy, on one core.
pub(crate) fn run(arguments: &Replay) -> anyhow::Result<()> {
    let markdown = arguments.source.common.markdown;
    let log = arguments.source.prepare()?;
    let mut table = Table::new(
        "Recorded changes judged anew, on one core",
        &["policy", "changes", "seconds", "per second", "of reading"],
    );
    let mut goals = Goals::new();
    let mut reading = None;
    for (name, text) in [("reading alone", READING), ("ten rules", TEN_RULES)] {
        note(name);
        let policy = log.folder.path().join("replayed.toml");
        std::fs::write(&policy, text)?;
        let mut replay = command(Some(arguments.core), &log.setup.program);
        replay.args(["policy", "replay", "--json", "--database"]).arg(&log.database);
        replay.arg("--policy").arg(&policy);
        let done = replay.output().context("the replay can't be started")?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let told: Value = serde_json::from_slice(&done.stdout).context("it tells no JSON")?;
        let figure = |key: &str| told.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let (changes, seconds) = (figure("changes"), figure("seconds"));
        let rate = changes / seconds;
        let reading = *reading.get_or_insert(rate);
        table.row([
            name.to_owned(),
            format!("{changes:.0}"),
            format!("{seconds:.1}"),
            format!("{rate:.0}"),
            format!("{:.2}", rate / reading),
        ]);
        if name == "ten rules" {
            goals.at_least("changes judged by ten rules", PER_SECOND_MIN, Some(rate), "a second");
        }
    }
    table.print(markdown);
    goals.print(markdown);
    Ok(())
}
