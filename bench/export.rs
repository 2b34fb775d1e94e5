//! How fast the log is exported in each format, and the memory that it takes.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::child::{Child, command};
use super::figures::float;
use super::load::now;
use super::log::{Log, Source};
use super::table::{Goals, Table, note};

/// The most memory that an export of any length may take, in megabytes.
const PEAK_MEGABYTES_MAX: f64 = 200.0;

const FORMATS: [&str; 4] = ["jsonl", "csv", "parquet", "ocsf"];

/// How often it is looked how much memory an export has taken, at least.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How much of an export is read at once: as much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// How long an export may take to end once all of it was read.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Measures exports of the log.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    source: Source,
    /// The core that it runs on
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// One format alone
    #[arg(long, value_parser = FORMATS)]
    format: Option<String>,
}

/// The figures of one export.
struct Taken {
    rows: u64,
    bytes: u64,
    seconds: f64,
    /// The most memory that it had at a time.
    peak_megabytes: f64,
}

/// Exports the log in each format, on one core; what is written is counted, and kept nowhere.
pub(crate) fn run(arguments: &Export) -> anyhow::Result<()> {
    let markdown = arguments.source.common.markdown;
    let log = arguments.source.prepare()?;
    let mut table = Table::new(
        "Exports, on one core",
        &["format", "rows", "MB", "seconds", "rows per second", "peak MB"],
    );
    let mut goals = Goals::new();
    for format in FORMATS {
        if arguments.format.as_deref().is_some_and(|only| only != format) {
            continue;
        }
        note(format);
        let taken = export(&log, format, arguments.core)?;
        table.row([
            format.to_owned(),
            taken.rows.to_string(),
            format!("{:.1}", float(taken.bytes) / 1e6),
            format!("{:.1}", taken.seconds),
            format!("{:.0}", float(taken.rows) / taken.seconds),
            format!("{:.1}", taken.peak_megabytes),
        ]);
        let goal = format!("{format}, peak memory");
        goals.at_most(&goal, PEAK_MEGABYTES_MAX, Some(taken.peak_megabytes), "MB");
    }
    table.print(markdown);
    goals.print(markdown);
    Ok(())
}

fn export(log: &Log, format: &str, core: usize) -> anyhow::Result<Taken> {
    let name = format!("export-{format}");
    let told = log.folder.path().join(format!("{name}.log"));
    let mut exporting = command(Some(core), &log.setup.program);
    exporting.args(["audit", "export", "--format", format, "--database"]).arg(&log.database);
    exporting.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&told)?);
    let begun = now();
    let mut process = exporting.spawn().context("the export can't be started")?;
    let written = process.stdout.take().context("the export has no output")?;
    let mut child = Child::from(process, &name);
    let (bytes, peak_megabytes) = drain(written, &child)?;
    let seconds = begun.elapsed().as_secs_f64();
    let ended = child.wait(END_WITHIN)?.with_context(|| format!("{name} does not end"))?;
    ensure!(ended.success(), "{}", std::fs::read_to_string(&told)?);
    ensure!(peak_megabytes > 0.0, "the memory of {name} was not seen: it was too short");
    Ok(Taken { rows: rows(&told)?, bytes, seconds, peak_megabytes })
}

/// Reads all that an export writes; tells how much that is, and how much memory the export took.
/// The last of it waits in the pipe while the memory is looked at, so that no peak is missed.
fn drain(mut written: impl Read, child: &Child) -> anyhow::Result<(u64, f64)> {
    let (mut chunk, mut bytes) = (vec![0; CHUNK_BYTES], 0);
    let (mut looked, mut peak) = (now(), 0.0_f64);
    loop {
        match written.read(&mut chunk)? {
            0 => return Ok((bytes, peak)),
            read => bytes += u64::try_from(read)?,
        }
        if peak == 0.0 || looked.elapsed() >= LOOK_EVERY {
            peak = child.peak_kb().map_or(peak, |kb| kb * 1024.0 / 1e6);
            looked = now();
        }
    }
}

/// How many changes were exported, by the export's own word.
fn rows(told: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(told)?;
    let counted = text.lines().find_map(|line| line.split_once(" changes exported"));
    let Some((count, _rest)) = counted else { bail!("the export says no count: {text}") };
    count.parse().with_context(|| format!("the export says no count: {text}"))
}
