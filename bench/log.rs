//! A log with many changes in it, filled through the gateway itself.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Common;
use super::document;
use super::gateway::{Client, Gateway, Setup, program};
use super::grow::grow;
use super::load::{Call, Plan, now};
use super::machine::Folder;
use super::measure::{Server, serve};
use super::table::note;

/// In how many parts the log is filled: after each, a line tells how far it is.
const PARTS: u64 = 10;

/// How many refused changes and other writes a log gets too, so that filters find some.
const RARE: usize = 20;

/// Which log.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many changes the log is filled with
    #[arg(long, default_value_t = 100_000)]
    changes: u64,
    /// How many deployments they are spread over
    #[arg(long, default_value_t = 1000)]
    deployments: usize,
    /// A log that is there, in place of one that is filled; its key is the file `key` beside it
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Repeats what the filled log holds until there are so many changes
    #[arg(long, value_name = "CHANGES", conflicts_with = "database")]
    grow: Option<u64>,
    /// Where the filled log is kept, as `log.db` with its `key`
    #[arg(long, value_name = "FOLDER", conflicts_with = "database")]
    keep: Option<PathBuf>,
}

/// A log, and what a gateway on it needs.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) setup: Setup,
    pub(crate) database: PathBuf,
    pub(crate) folder: Folder,
    /// How many changes were put in; none where the log was there.
    pub(crate) filled: Option<u64>,
    /// Held for the gateway's sake.
    _upstream: Server,
}

impl Source {
    /// Finds or fills the log. No gateway is on it afterwards.
    pub(crate) fn prepare(&self) -> anyhow::Result<Log> {
        let program = program(self.common.changegate.as_deref())?;
        let folder = Folder::new(self.common.folder.as_deref())?;
        let count = format!("--count={}", self.deployments);
        let upstream = serve(None, &["deployments", &count], folder.path())?;
        let kept = self.keep.clone().map_or_else(|| folder.inner("log"), Ok)?;
        std::fs::create_dir_all(&kept)?;
        let database = self.database.clone().unwrap_or_else(|| kept.join("log.db"));
        let database = std::path::absolute(database)?;
        let setup = Setup {
            budget: None,
            other_writes: "metadata",
            database: Some(database.clone()),
            ..Setup::new(&program, upstream.address)
        };
        let fill = self.database.is_none();
        ensure!(fill != database.exists(), "{} {}", database.display(), {
            if fill { "is there already: name it as --database" } else { "is not there" }
        });
        let filled = fill.then_some(self.changes.max(self.grow.unwrap_or(0)));
        if fill {
            self.fill(&setup, folder.path())?;
        }
        if let Some(changes) = self.grow {
            grow(&database, changes)?;
        }
        Ok(Log { setup, database, folder, filled, _upstream: upstream })
    }

    fn fill(&self, setup: &Setup, folder: &Path) -> anyhow::Result<()> {
        let gateway = setup.start(folder)?;
        let begun = now();
        for part in 0..PARTS {
            let from = self.changes * part / PARTS;
            let to = self.changes * (part + 1) / PARTS;
            let plan = Plan {
                requests: Some(to - from),
                deployments: self.deployments,
                first: from,
                ..Plan::new(gateway.proxy, Call::Update, 0.0)
            };
            if to > from {
                plan.run(None)?;
            }
            note(&format!("{to} changes after {:.0} s", begun.elapsed().as_secs_f64()));
        }
        rare(&gateway)?;
        gateway.child.end()?;
        Ok(())
    }
}

/// Some of what is rare: changes that policy denies, and other writes.
fn rare(gateway: &Gateway) -> anyhow::Result<()> {
    let mut client = Client::new(gateway.proxy)?;
    for n in 0..RARE {
        let path = format!("/api/v1/cloud/deployments/{}", document::id(n));
        let (status, _body) = client.post(&path, r#"{"metadata":{"owner_override":"me"}}"#)?;
        ensure!(status == 403, "policy should deny this: {status}");
        client.post("/api/v1/cloud/files", "{}")?;
    }
    Ok(())
}

/// An answer of the admin API, which must be a good one.
pub(crate) fn ask(client: &mut Client, path: &str) -> anyhow::Result<Value> {
    let (status, body) = client.ask(path)?;
    ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(|| format!("{path} is not JSON"))
}

/// How long some answers took, in milliseconds.
pub(crate) fn millis(
    client: &mut Client,
    paths: impl Iterator<Item = String>,
) -> anyhow::Result<Vec<f64>> {
    let mut taken = Vec::new();
    for path in paths {
        let begun = now();
        let (status, body) = client.ask(&path)?;
        taken.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
    }
    taken.sort_unstable_by(f64::total_cmp);
    Ok(taken)
}
