//! A log that gateways share: governed updates on PostgreSQL beside `pgbench` with the same calls,
//! turns that go from one gateway to the next, and a log that moves there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Common;
use super::figures::float;
use super::gateway::{Gateway, Setup, SharedLog, program};
use super::load::{Call, Got, Plan, now};
use super::machine::Folder;
use super::measure::{Server, serve};
use super::postgres::Postgres;
use super::table::{Goals, Table, note};

/// Tells the calls before the measured ones from these.
const BEGIN: &str = "SELECT 'measured from here'";

/// How many changes are moved to PostgreSQL.
const COPIED: u64 = 50_000;

/// The functions that gateways call beside changes, each at its own pace, or once for a thousand.
const BESIDE: [&str; 8] = [
    "add_log_key_v1",
    "beat_v1",
    "count_v1",
    "end_lease_v1",
    "leave_sinks_v1",
    "seal_v1",
    "snapshot_numbers_v1",
    "sweep_v1",
];

/// Measures a log that gateways share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shared {
    #[command(flatten)]
    common: Common,
    /// How long each part takes
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// The programs, and where their files lie.
struct Site {
    program: PathBuf,
    folder: Folder,
    postgres: Postgres,
    upstream: Server,
}

/// Runs the measurement.
pub(crate) fn run(arguments: &Shared) -> anyhow::Result<()> {
    let program = program(arguments.common.changegate.as_deref())?;
    let folder = Folder::new(arguments.common.folder.as_deref())?;
    let Some(postgres) = Postgres::start(folder.path())? else {
        note("no PostgreSQL with pgbench, skipped: apt-get install postgresql");
        return Ok(());
    };
    let upstream = serve(None, &["deployments", "--count=64"], folder.path())?;
    let site = Site { program, folder, postgres, upstream };
    let seconds = arguments.seconds;
    let mut table = Table::new("A log that gateways share, in PostgreSQL", &["", "measured"]);
    let mut goals = Goals::new();

    note("64 callers over 64 deployments");
    let free = site.crowd("free", seconds)?;
    note("the same, with their calls to the server kept");
    let replay = site.replay(seconds)?;
    let rate = |got: &Got| float(got.requests) / got.seconds;
    table.row(["updates per second, 64 callers".to_owned(), format!("{:.0}", rate(&free))]);
    table.row(["latency p50".to_owned(), format!("{:.2} ms", free.p50_micros / 1e3)]);
    let pgbench = float(replay.changes) / replay.seconds;
    table.row(["the same calls by pgbench, a second".to_owned(), format!("{pgbench:.0}")]);
    let changes = float(replay.changes);
    for (name, count) in &replay.calls {
        table.row([format!("{name}, calls per update"), format!("{:.3}", float(*count) / changes)]);
    }
    goals.at_least("updates beside pgbench", 0.8, Some(rate(&free) / pgbench), "x");

    note("one caller alone");
    let (alone, trips) = site.alone(seconds)?;
    table.row(["one caller alone, latency p50".to_owned(), {
        format!("{:.2} ms", alone.p50_micros / 1e3)
    }]);
    goals.at_most("round trips of one update", 3.0, Some(trips), "");

    note("two callers of one deployment, through one gateway and through two");
    let hand_over = site.hand_over(seconds)?;
    goals.at_most("handing a turn over to another gateway", 5.0, Some(hand_over), "ms");

    note("a log moved from SQLite");
    goals.at_least("changes moved per second", 10_000.0, Some(site.copied()?), "");
    table.print(arguments.common.markdown);
    goals.print(arguments.common.markdown);
    Ok(())
}

/// The calls of a gateway, by pgbench.
struct Replayed {
    changes: u64,
    seconds: f64,
    /// How often each function was called.
    calls: BTreeMap<String, u64>,
}

impl Site {
    /// Makes the tables of a log in a new database.
    fn log(&self, name: &str) -> anyhow::Result<String> {
        let url = self.postgres.database(name)?;
        self.changegate(&["migrate", "--database", &url])?;
        Ok(url)
    }

    /// Runs a command of the program.
    fn changegate(&self, words: &[&str]) -> anyhow::Result<()> {
        let done = Command::new(&self.program).args(words).output()?;
        let error = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{words:?} failed: {error}");
        Ok(())
    }

    /// Starts a gateway of that name on a log.
    fn gateway(&self, node: &str, url: &str) -> anyhow::Result<Gateway> {
        let (node, url) = (node.to_owned(), url.to_owned());
        // They have one key.
        let key = self.folder.path().join("log.db");
        let setup = Setup {
            budget: None,
            database: Some(key),
            shared: Some(SharedLog { url, node: node.clone() }),
            ..Setup::new(&self.program, self.upstream.address)
        };
        setup.start(&self.folder.inner(&node)?)
    }

    /// Many callers of one gateway, on a log of its own.
    fn crowd(&self, name: &str, seconds: f64) -> anyhow::Result<Got> {
        let gateway = self.gateway("one", &self.log(name)?)?;
        Plan::new(gateway.proxy, Call::Update, 1.0).run(None)?;
        let plan = Plan { first: 1 << 32, ..Plan::new(gateway.proxy, Call::Update, seconds) };
        let got = plan.run(None)?;
        gateway.child.end()?;
        Ok(got)
    }

    /// The calls of a gateway that many call, one after the other on a log of their own.
    fn replay(&self, seconds: f64) -> anyhow::Result<Replayed> {
        let statements = self.kept("kept", |gateway| {
            Plan::new(gateway.proxy, Call::Update, seconds).run(None).map(drop)
        })?;
        // In one script, which is read before it runs: a lease would be over between two.
        let (before, after) = statements;
        let all = before.iter().chain(&after).filter(|statement| called(statement).is_some());
        let script = self.folder.path().join("calls.sql");
        let all: Vec<&str> = all.map(String::as_str).collect();
        std::fs::write(&script, all.join(";\n") + ";\n")?;
        self.log("again")?;
        let seconds = self.postgres.pgbench("again", &script)?;
        let changes =
            self.postgres.sql("again", "SELECT count(*) FROM changegate.ends")?.parse()?;
        let mut calls = BTreeMap::new();
        for name in after.iter().filter_map(|statement| called(statement)) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
        Ok(Replayed { changes, seconds, calls })
    }

    /// The statements that a gateway sends before some work and from there on.
    fn kept(
        &self,
        name: &str,
        work: impl FnOnce(&Gateway) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let url = self.log(name)?;
        let logged = format!("ALTER DATABASE {name} SET log_statement = 'all'");
        self.postgres.sql("postgres", &logged)?;
        let gateway = self.gateway(name, &url)?;
        self.postgres.sql(name, BEGIN)?;
        work(&gateway)?;
        gateway.child.end()?;
        let mut before = self.postgres.statements(name)?;
        let begin = before.iter().position(|statement| statement == BEGIN);
        let after = before.split_off(begin.context("the server's log misses a statement")?);
        Ok((before, after.into_iter().skip(1).collect()))
    }

    /// One caller's updates, and how many statements each of them takes.
    fn alone(&self, seconds: f64) -> anyhow::Result<(Got, f64)> {
        let mut got = None;
        let (_before, after) = self.kept("alone", |gateway| {
            let plan = Plan::new(gateway.proxy, Call::Update, seconds);
            got = Some(Plan { connections: 1, ..plan }.run(None)?);
            Ok(())
        })?;
        let got = got.context("nobody called")?;
        let is_beside = |name: &str| BESIDE.contains(&name);
        let trips = after.iter().filter(|text| called(text).is_some_and(|name| !is_beside(name)));
        let trips = u64::try_from(trips.count())?;
        Ok((got, float(trips) / float(got.requests)))
    }

    /// How many milliseconds longer an update takes whose turn comes from another gateway.
    fn hand_over(&self, seconds: f64) -> anyhow::Result<f64> {
        let url = self.log("turns")?;
        let (one, other) = (self.gateway("one", &url)?, self.gateway("other", &url)?);
        let plan = |gateway: &Gateway, connections, first| Plan {
            connections,
            deployments: 1,
            first,
            ..Plan::new(gateway.proxy, Call::Update, seconds)
        };
        let alone = plan(&one, 2, 0).run(None)?;
        let former: u64 =
            self.postgres.sql("turns", "SELECT max(seq) FROM changegate.changes")?.parse()?;
        let begun = now();
        let (mine, theirs) = (plan(&one, 1, 1 << 32), plan(&other, 1, 1 << 33));
        let both = std::thread::scope(|scope| {
            let mine = scope.spawn(|| mine.run(None));
            let theirs = theirs.run(None);
            mine.join()
                .map_err(|_panicked| anyhow::anyhow!("a caller panicked"))
                .flatten()
                .and_then(|mine| Ok(float(mine.requests + theirs?.requests)))
        })?;
        let millis = begun.elapsed().as_secs_f64() * 1e3;
        let count = format!(
            "SELECT count(*) FROM (SELECT node <> lag(node) OVER (ORDER BY seq) AS is_handed \
             FROM changegate.changes WHERE seq > {former}) c WHERE is_handed"
        );
        let handed: u64 = self.postgres.sql("turns", &count)?.parse()?;
        ensure!(handed > 0, "no turn went from one gateway to the other");
        note(&format!("{handed} turns of {both:.0} went over"));
        let one_each = alone.seconds * 1e3 / float(alone.requests);
        for gateway in [one, other] {
            gateway.child.end()?;
        }
        Ok((millis - both * one_each) / float(handed))
    }

    /// How many changes a second go from a log in SQLite into PostgreSQL.
    fn copied(&self) -> anyhow::Result<f64> {
        let folder = self.folder.inner("moved")?;
        let setup = Setup { budget: None, ..Setup::new(&self.program, self.upstream.address) };
        let gateway = setup.start(&folder)?;
        let plan = Plan::new(gateway.proxy, Call::Update, 0.0);
        Plan { requests: Some(COPIED), ..plan }.run(None)?;
        gateway.child.end()?;
        let url = self.log("moved")?;
        let from = format!("sqlite://{}", folder.join("log.db").display());
        let begun = now();
        self.changegate(&["audit", "copy", "--from", &from, "--to", &url])?;
        Ok(float(COPIED) / begun.elapsed().as_secs_f64())
    }
}

/// The function of the log that a statement calls, if any.
fn called(statement: &str) -> Option<&str> {
    let (_before, call) = statement.split_once("changegate.")?;
    let (name, _arguments) = call.split_once('(')?;
    let is_name =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    (is_name && name.contains("_v")).then_some(name)
}
