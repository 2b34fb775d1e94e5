//! Governed updates, everything durable: how many a second, and what one costs.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::Common;
use super::child::{family, signal, tether};
use super::figures::{Spread, float};
use super::gateway::{Client, Gateway, Setup, program};
use super::load::{Call, Got, Plan, now};
use super::machine::Folder;
use super::measure::{Server, serve};
use super::table::{Goals, Table, note};
use super::tool::tool;

/// How many callers, and how many deployments.
const CALLERS: usize = 64;

/// How many times the disk is asked how long it takes.
const SYNCS: usize = 300;

/// How much each of these appends.
const APPENDED_BYTES: usize = 4096;

/// Measures governed updates.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Write {
    #[command(flatten)]
    common: Common,
    /// How long each part takes
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// The results of 64 callers, and their cost.
struct Crowd {
    got: Got,
    gateway_micros: f64,
    upstream_micros: f64,
    commits: f64,
    peak_mb: f64,
    rest_mb: f64,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &Write) -> anyhow::Result<()> {
    let program = program(arguments.common.changegate.as_deref())?;
    let folder = Folder::new(arguments.common.folder.as_deref())?;
    let count = format!("--count={CALLERS}");
    let upstream = serve(None, &["deployments", &count], folder.path())?;
    let setup = Setup { budget: None, ..Setup::new(&program, upstream.address) };
    let gateway = setup.start(&folder.inner("crowd")?)?;
    note("64 callers over 64 deployments");
    let crowd = crowd(&gateway, &upstream, arguments.seconds)?;
    note("one caller alone");
    // The disk is asked right before and after, for it may be busier at other times.
    let mut sync_micros = sync_micros(folder.path())?;
    let alone = alone(&gateway, &upstream, arguments.seconds)?;
    sync_micros.extend(self::sync_micros(folder.path())?);
    drop(gateway);
    let sync_micros = Spread::of(&sync_micros).context("the disk was not asked")?.median;
    let syncs = syncs_per_commit(&setup, &folder, arguments.seconds.min(3.0))?;
    report(arguments.common.markdown, &crowd, alone, sync_micros, syncs);
    Ok(())
}

fn crowd(gateway: &Gateway, upstream: &Server, seconds: f64) -> anyhow::Result<Crowd> {
    let rest_mb = gateway.child.status_kb("VmRSS") / 1024.0;
    Plan::new(gateway.proxy, Call::Update, 1.0).run(None)?;
    let before = (gateway.child.cpu_micros(), upstream.child.cpu_micros(), commits(gateway)?);
    let got = Plan::new(gateway.proxy, Call::Update, seconds).run(None)?;
    let updates = float(got.requests);
    Ok(Crowd {
        got,
        gateway_micros: (gateway.child.cpu_micros() - before.0) / updates,
        upstream_micros: (upstream.child.cpu_micros() - before.1) / updates,
        commits: (commits(gateway)? - before.2) / updates,
        peak_mb: gateway.child.status_kb("VmHWM") / 1024.0,
        rest_mb,
    })
}

/// How many transactions the gateway has committed.
fn commits(gateway: &Gateway) -> anyhow::Result<f64> {
    let (_status, body) = Client::new(gateway.admin)?.ask("/metrics")?;
    let text = String::from_utf8_lossy(&body);
    let line = text.lines().find_map(|line| line.strip_prefix("changegate_audit_commits_total "));
    line.and_then(|count| count.trim().parse().ok()).context("the metrics tell no commits")
}

/// The median of one caller's update, and of its two calls without the gateway.
fn alone(gateway: &Gateway, upstream: &Server, seconds: f64) -> anyhow::Result<[f64; 2]> {
    let median = |target, call| {
        let plan = Plan { connections: 1, ..Plan::new(target, call, seconds / 2.0) };
        plan.run(None).map(|got| got.p50_micros)
    };
    let whole = median(gateway.proxy, Call::Update)?;
    let show = median(upstream.address, Call::Show)?;
    let update = median(upstream.address, Call::Update)?;
    Ok([whole, show + update])
}

/// How long it takes to make 4 KB durable that were appended, on the disk that the log is on.
fn sync_micros(folder: &Path) -> anyhow::Result<Vec<f64>> {
    let path = folder.join("appended");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let piece = [7; APPENDED_BYTES];
    let mut micros = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = now();
        file.write_all(&piece)?;
        file.sync_data()?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(micros)
}

/// How many times the gateway syncs per commit, counted by strace in a run of its own. Tracing
/// makes syncs slow, so that more updates share one: only this ratio is like that of a free run.
fn syncs_per_commit(setup: &Setup, folder: &Folder, seconds: f64) -> anyhow::Result<Option<f64>> {
    let Some(strace) = tool("strace") else { return Ok(None) };
    note("counting syncs");
    let folder = folder.inner("syncs")?;
    let trace = folder.join("syncs.txt");
    // The filter in the kernel stops the calls that are counted, and no others.
    let mut under = vec![strace.display().to_string(), "-f".to_owned(), "--seccomp-bpf".to_owned()];
    under.extend(["-e", "trace=fsync,fdatasync,sync_file_range", "-o"].map(str::to_owned));
    under.push(trace.display().to_string());
    under.extend(tether("KILL").into_iter().map(str::to_owned));
    let gateway = Setup { under, ..setup.clone() }.start(&folder)?;
    let syncs = || std::fs::read_to_string(&trace).map(|text| text.matches("sync(").count());
    let before = (syncs()?, commits(&gateway)?);
    Plan::new(gateway.proxy, Call::Update, seconds).run(None)?;
    let committed = commits(&gateway)? - before.1;
    let synced = float(u64::try_from(syncs()? - before.0)?);
    // What is traced is asked to end, and strace ends after it.
    for process in family(gateway.child.id()).into_iter().skip(1) {
        signal("TERM", process);
    }
    Ok(Some(synced / committed))
}

fn report(markdown: bool, crowd: &Crowd, alone: [f64; 2], sync_micros: f64, syncs: Option<f64>) {
    let [whole, two_calls] = alone;
    let rate = float(crowd.got.requests) / crowd.got.seconds;
    let millis = |micros: f64| format!("{:.2} ms", micros / 1e3);
    let mut table = Table::new(
        "Governed updates of 3 KB deployments, everything durable, all on the same cores",
        &["", "measured"],
    );
    let rows = [
        ("updates per second, 64 callers over 64 deployments", format!("{rate:.0}")),
        ("latency p50", millis(crowd.got.p50_micros)),
        ("latency p99", millis(crowd.got.p99_micros)),
        ("CPU in the gateway per update", format!("{:.0} µs", crowd.gateway_micros)),
        ("CPU in the upstream per update", format!("{:.0} µs", crowd.upstream_micros)),
        ("commits per update", format!("{:.3}", crowd.commits)),
        ("syncs per commit", syncs.map_or_else(|| "–".to_owned(), |n| format!("{n:.3}"))),
        ("resident memory before, at its peak", {
            format!("{:.0}, {:.0} MB", crowd.rest_mb, crowd.peak_mb)
        }),
        ("one caller alone, latency p50", millis(whole)),
        ("its two calls without the gateway", millis(two_calls)),
        ("one sync of 4 KB appended, p50", millis(sync_micros)),
    ];
    for (name, figure) in rows {
        table.row([name.to_owned(), figure]);
    }
    table.print(markdown);
    let mut goals = Goals::new();
    goals.at_least("updates per second", 4000.0, Some(rate), "");
    let per_update = syncs.unwrap_or(1.0) * crowd.commits;
    goals.at_most("syncs per update", 0.15, Some(per_update), "");
    goals.at_most("CPU in the gateway per update", 250.0, Some(crowd.gateway_micros), "µs");
    goals.at_most("peak resident memory", 200.0, Some(crowd.peak_mb), "MB");
    let bound = ((2.0 * sync_micros + 1000.0) / 10.0).round() / 100.0;
    let beyond = (whole - two_calls) / 1e3;
    goals.at_most("one caller beyond its two calls (2 syncs + 1 ms)", bound, Some(beyond), "ms");
    goals.print(markdown);
}
