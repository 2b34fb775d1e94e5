//! The disk space that a change takes, and the time that it takes to read one back.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::figures::{float, nearest};
use super::gateway::{Client, Gateway};
use super::log::{Log, Source, ask, millis};
use super::table::{Goals, Table, note};
use super::tool::tool;

/// How many changes are read back.
const READ: usize = 2_000;

/// The most pages of changes that are looked through for ids.
const PAGES_MAX: usize = 2_000;

/// How many of the biggest tables and indexes are shown.
const BIGGEST: usize = 12;

/// The query for the bytes that each table and index takes, by SQLite's `dbstat` table.
const SIZES: &str = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC";

/// Measures the log's size.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Disk {
    #[command(flatten)]
    source: Source,
}

/// Fills a log and measures it.
pub(crate) fn run(arguments: &Disk) -> anyhow::Result<()> {
    let markdown = arguments.source.common.markdown;
    let log = arguments.source.prepare()?;
    let gateway = log.setup.start(log.folder.path())?;
    note("reading changes back");
    let (count, taken) = read_back(&gateway)?;
    gateway.child.end()?;
    let changes = log.filled.unwrap_or(count);
    let (main, beside) = (bytes(&log.database), bytes(&log.database.with_extension("db-wal")));
    let each = float(main + beside) / float(changes.max(1));
    let [p50, p99] = [0.5, 0.99].map(|share| nearest(&taken, share));
    let mut table = Table::new(
        &format!("The log on disk after {changes} changes of 3 KB deployments by a small patch"),
        &["", "measured"],
    );
    let mb = |bytes: u64| format!("{:.1} MB", float(bytes) / 1e6);
    let shown = |millis: Option<f64>| format!("{:.2} ms", millis.unwrap_or_default());
    let rows = [
        ("database", mb(main)),
        ("write-ahead log left", mb(beside)),
        ("bytes per change", format!("{each:.0}")),
        ("reading one change back, p50", shown(p50)),
        ("reading one change back, p99", shown(p99)),
    ];
    for (name, figure) in rows {
        table.row([name.to_owned(), figure]);
    }
    table.print(markdown);
    biggest(&log, changes)?.print(markdown);
    let mut goals = Goals::new();
    goals.at_most("bytes per change", 1000.0, Some(each), "");
    goals.at_most("reading one change back, p99", 5.0, p99, "ms");
    goals.print(markdown);
    Ok(())
}

/// How many changes were found, and how long each of some took to read, sorted.
fn read_back(gateway: &Gateway) -> anyhow::Result<(u64, Vec<f64>)> {
    let mut client = Client::new(gateway.admin)?;
    let mut ids = Vec::new();
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let page = ask(&mut client, &format!("/api/v1/changes?limit=1000{cursor}"))?;
        let data = page.get("data").and_then(Value::as_array).context("a page without data")?;
        ids.extend(data.iter().filter_map(|change| change.get("id")?.as_str().map(str::to_owned)));
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let count = u64::try_from(ids.len())?;
    // A stride that shares no factor with the count goes through ids as if by chance.
    let stride = 7_919;
    let picked = (0..READ.min(ids.len())).filter_map(|n| ids.get(n * stride % ids.len()));
    let paths = picked.map(|id| format!("/api/v1/changes/{id}"));
    Ok((count, millis(&mut client, paths)?))
}

fn bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}

/// The biggest tables and indexes, where there is a tool that tells.
fn biggest(log: &Log, changes: u64) -> anyhow::Result<Table> {
    let mut table =
        Table::new("The biggest tables and indexes", &["name", "MB", "bytes per change"]);
    let Some(sqlite3) = tool("sqlite3") else { return Ok(table) };
    let told = Command::new(sqlite3).arg("-readonly").arg(&log.database).arg(SIZES).output()?;
    if !told.status.success() {
        note("this sqlite3 does not tell sizes (it was built without dbstat)");
    }
    for line in String::from_utf8_lossy(&told.stdout).lines().take(BIGGEST) {
        let Some((name, bytes)) = line.split_once('|') else { continue };
        let bytes: f64 = bytes.parse().context("a size is a number")?;
        let each = bytes / float(changes.max(1));
        table.row([name.to_owned(), format!("{:.1}", bytes / 1e6), format!("{each:.0}")]);
    }
    Ok(table)
}
