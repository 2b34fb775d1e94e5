//! User-space instructions per request, counted by valgrind: the same every time, whatever else
//! the machine does, and so the figure to tune by.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::Common;
use super::figures::float;
use super::gateway::program;
use super::load::{Call, Plan};
use super::machine::{Folder, OTHER_CORE, cores};
use super::measure::serve;
use super::rivals::{Front, Kind, Stage};
use super::table::{Goals, Table, note};
use super::tool::tool;

/// How much longer the longer of two runs is: what start and end cost is in both.
const LONGER: u64 = 5;

/// Counts instructions per request.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Instructions {
    #[command(flatten)]
    common: Common,
    /// How many requests the shorter of two runs sends; the longer one sends 5 times as many
    #[arg(long, default_value_t = 2000)]
    requests: u64,
    /// Count writes of 1 KB in place of reads
    #[arg(long)]
    post: bool,
    /// The gateway alone
    #[arg(long)]
    alone: bool,
}

/// Counts them.
pub(crate) fn run(arguments: &Instructions) -> anyhow::Result<()> {
    ensure!(cores() > OTHER_CORE, "this needs two cores: one for the proxy alone");
    let Some(valgrind) = tool("valgrind") else { return Ok(()) };
    let program = program(arguments.common.changegate.as_deref())?;
    let folder = Folder::new(arguments.common.folder.as_deref())?;
    let upstream = serve(Some(OTHER_CORE), &["origin"], folder.path())?;
    let counts = folder.path().join("callgrind.out");
    let stage = Stage {
        under: vec![
            valgrind.display().to_string(),
            "--tool=callgrind".to_owned(),
            format!("--callgrind-out-file={}", counts.display()),
        ],
        ..Stage::new(folder.path(), upstream.address, &program)
    };
    let (call, name) = if arguments.post { (Call::Post, "POST") } else { (Call::Get, "GET") };
    let mut table = Table::new(
        &format!("User-space instructions per {name} (callgrind), 64 connections"),
        &["reverse proxy", "instructions"],
    );
    let mut goals = Goals::new();
    let all = [Kind::Nginx, Kind::Haproxy, Kind::Hyper, Kind::Changegate];
    for kind in all.into_iter().filter(|kind| !arguments.alone || *kind == Kind::Changegate) {
        note(&format!("counting instructions of {}", kind.name()));
        let counted = per_request(&stage, kind, call, arguments.requests, &counts);
        let Some(counted) = counted.with_context(|| kind.name())? else { continue };
        table.row([kind.name().to_owned(), format!("{counted:.0}")]);
        if kind == Kind::Changegate && call == Call::Get {
            goals.at_most("instructions per GET", 27_000.0, Some(counted), "");
        }
    }
    table.print(arguments.common.markdown);
    goals.print(arguments.common.markdown);
    Ok(())
}

/// The difference of two runs' counts, per request; none where the proxy is not installed.
fn per_request(
    stage: &Stage<'_>,
    kind: Kind,
    call: Call,
    requests: u64,
    counts: &Path,
) -> anyhow::Result<Option<f64>> {
    let mut totals = Vec::new();
    // The first of all makes files that the later ones find: it is left out.
    for requests in [1, requests, requests * LONGER] {
        let Some(rival) = stage.start(kind, Front::Http1)? else { return Ok(None) };
        let plan = Plan { requests: Some(requests), ..Plan::new(rival.address, call, 0.0) };
        let got = plan.run(Some(OTHER_CORE))?;
        rival.child.end()?;
        totals.push((total(counts)?, got.requests));
    }
    let [_first, (short, few), (long, many)] = totals.as_slice() else { return Ok(None) };
    Ok(Some(float(long.saturating_sub(*short)) / float(many - few)))
}

/// How many instructions callgrind counted in all.
fn total(counts: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(counts).context("callgrind has written no counts")?;
    std::fs::remove_file(counts)?;
    let total = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.context("callgrind has written no total")
}
