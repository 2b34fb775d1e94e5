//! From start to ready on a log with many changes, and the memory at rest.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::figures::Spread;
use super::gateway::Client;
use super::load::now;
use super::log::Source;
use super::table::{Goals, Table};

/// How often the gateway is started.
const STARTS: usize = 7;

/// How often it is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_micros(500);

/// How long it may take.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// How long it rests before its memory is looked at.
const RESTS: Duration = Duration::from_secs(1);

/// Measures the start.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    source: Source,
}

/// Starts the gateway some times.
pub(crate) fn run(arguments: &Start) -> anyhow::Result<()> {
    let markdown = arguments.source.common.markdown;
    let log = arguments.source.prepare()?;
    let (mut millis, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let begun = now();
        let mut gateway = log.setup.spawn(log.folder.path())?;
        let is_ready =
            || Client::new(gateway.admin)?.ask("/readyz").map(|(status, _body)| status == 200);
        while !is_ready().unwrap_or(false) {
            ensure!(begun.elapsed() < READY_WITHIN, "the gateway does not become ready");
            std::thread::sleep(ASK_EVERY);
        }
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(gateway.child.wait(RESTS)?.is_none(), "the gateway ended by itself");
        resident.push(gateway.child.status_kb("VmRSS") / 1024.0);
        gateway.child.end()?;
    }
    let millis = Spread::of(&millis).context("it was not started")?;
    let resident = Spread::of(&resident).context("it was not started")?;
    let changes = log.filled.map_or_else(String::new, |count| format!(" with {count} changes"));
    let mut table = Table::new(&format!("Start on a log{changes}"), &["", "min–median–max"]);
    table.row(["start to ready, ms".to_owned(), millis.shown(0)]);
    table.row(["resident at rest, MB".to_owned(), resident.shown(1)]);
    table.print(markdown);
    let mut goals = Goals::new();
    goals.at_most("start to ready", 100.0, Some(millis.median), "ms");
    goals.at_most("resident memory at rest", 40.0, Some(resident.median), "MB");
    goals.print(markdown);
    Ok(())
}
