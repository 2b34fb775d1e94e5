//! Several gateways on one log in PostgreSQL: killed, stopped and cut off, while callers call all
//! of them. Whatever happens, every call that reached upstream has exactly one record, and what a
//! change found is what the one before it left.

mod failover;
mod memory;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use changegate::base::clock::Clock;
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::postgres::server::TestDatabase;
use crate::shared_limits::redis::TestRedis;
use crate::world::command::run;
use crate::world::dice::{Dice, given, seed};
use crate::world::disk::Disk;
use crate::world::load::Load;
use crate::world::program::{Folder, Program};
use crate::world::{Call, call, eventually, say};

const NODES: usize = 3;

/// `CHANGEGATE_ROUNDS` makes it more.
const ROUNDS: u64 = 6;

/// Longer than a lease.
const LEASE_RUNS_OUT: Duration = Duration::from_millis(11_500);

/// How long what a dead gateway left open may stay so.
const SWEPT_WITHIN: Duration = Duration::from_secs(25);

/// How many pairs of changes one after the other make a test worth its name.
const PAIRS: u64 = 20;

/// How long so many may take on a machine that has much else to do.
const CALM_WITHIN: Duration = Duration::from_mins(2);

/// Gateways on one log, and one upstream.
struct Team {
    deployments: usize,
    load: Load,
    /// The database, of a server that others use too.
    database: Option<TestDatabase>,
    folders: Vec<Folder>,
    /// The clock of each, where it can be moved.
    disks: Vec<Option<Disk>>,
    programs: Vec<Program>,
    calling: Vec<JoinSet<()>>,
}

impl Team {
    /// `None` without a PostgreSQL.
    async fn start(deployments: usize) -> Option<Self> {
        Self::sharing(deployments, None).await
    }

    /// The same, of gateways that share their limits in a Redis.
    async fn sharing(deployments: usize, redis: Option<&TestRedis>) -> Option<Self> {
        let database = TestDatabase::new()?;
        let owner = database.url();
        let url = owner.replace("//postgres@", "//changegate@");
        let limits = redis.map(|redis| {
            let budget = "{ per_second = 10000, burst = 10000 }";
            let backend = redis.url();
            format!("[rate_limit]\nbackend = '{backend}'\nread = {budget}\nwrite = {budget}\n")
        });
        let urls = [url.as_str(); NODES];
        let team = Self::limited(deployments, &owner, &urls, limits.as_deref()).await;
        Some(Self { database: Some(database), ..team })
    }

    /// Gateways that reach one database by these URLs.
    async fn on(deployments: usize, owner: &str, urls: &[&str]) -> Self {
        Self::limited(deployments, owner, urls, None).await
    }

    async fn limited(deployments: usize, owner: &str, urls: &[&str], limits: Option<&str>) -> Self {
        let load = Load::new(deployments);
        let upstream = load.simulator.address();
        let made = run(Path::new("/"), &["migrate", "--database", owner]);
        assert_eq!(made.code, 0, "{made:?}");
        let folders: Vec<Folder> = (0..)
            .zip(urls)
            .map(|(n, url)| {
                let more = format!("node.name = 'node-{n}'\n[limits]\nturn_timeout = 5\n");
                let folder = Folder::new(upstream, &more);
                folder.keep_log_at(url);
                if let Some(limits) = limits {
                    let path = folder.path().join("changegate.toml");
                    let text = std::fs::read_to_string(path).unwrap();
                    let text = text.replace("rate_limit.enabled = false\n", "") + limits;
                    folder.write("changegate.toml", &text);
                }
                folder
            })
            .collect();
        let disks: Vec<_> = folders.iter().map(|folder| Disk::new(folder.path())).collect();
        let mut programs = Vec::new();
        for (folder, disk) in folders.iter().zip(&disks) {
            programs.push(folder.serve_on(disk.as_ref()).await);
        }
        let calling = programs.iter().map(|program| load.begin(program.proxy)).collect();
        Self { deployments, load, database: None, folders, disks, programs, calling }
    }

    /// Kills a gateway as a power cut would, and starts it again.
    async fn kill(&mut self, node: usize) {
        let program = self.programs.remove(node);
        program.kill();
        let program = self.folders[node].serve_on(self.disks[node].as_ref()).await;
        self.calling[node] = self.load.begin(program.proxy);
        self.programs.insert(node, program);
    }

    /// Stops a gateway for a while, of which it knows nothing.
    async fn pause(&mut self, node: usize, pause: Duration) {
        self.programs[node].signal(Signal::STOP);
        tokio::time::sleep(pause).await;
        self.programs[node].signal(Signal::CONT);
    }

    /// Ends all connections to the log, as a server does that is started anew.
    fn cut(&self) {
        self.database.as_ref().unwrap().sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }

    /// Ends every gateway once the calls that it has taken are over, and starts it again.
    async fn start_again(&mut self) {
        for program in &mut self.programs {
            program.signal(Signal::TERM);
        }
        for program in &mut self.programs {
            let ended = program.end().await;
            assert!(ended.success(), "{ended}: {}", program.said());
        }
        self.programs.clear();
        for (folder, disk) in self.folders.iter().zip(&self.disks) {
            self.programs.push(folder.serve_on(disk.as_ref()).await);
        }
    }

    /// Has a gateway's clock jump, forward or backward and for good.
    fn move_clock(&self, node: usize, dice: &mut Dice) {
        // Not so far that who is slow at upstream seems to be done: see `audit::settle`.
        let off: i64 = dice.millis(1_000, 60_000).as_millis().try_into().unwrap();
        if let Some(disk) = &self.disks[node] {
            disk.move_clock(if dice.chance(50) { off } else { -off });
        }
    }

    /// Waits until every gateway shares its limits again.
    async fn share_limits(&self) {
        for program in &self.programs {
            eventually("shared limits", async || {
                let text = call(program.admin, Call::get("/metrics")).await.text();
                text.contains("\nchangegate_rate_limit_away 0\n").then_some(())
            })
            .await;
        }
    }

    /// Lets the callers be until enough changes came one after the other to a deployment: so many
    /// that this holds however they fall.
    async fn calm(&self) {
        let enough = self.load.applied() + PAIRS + u64::try_from(self.deployments).unwrap();
        let began = Clock::System.instant();
        while self.load.applied() < enough {
            assert!(began.elapsed() < CALM_WITHIN, "{} of {enough}", self.load.applied());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has the callers end, waits until nothing is open, and holds the log against upstream.
    async fn check(&mut self) {
        for calling in &mut self.calling {
            calling.shutdown().await;
        }
        self.start_again().await;
        let began = Clock::System.instant();
        loop {
            let pending = self.programs[0].ask("/api/v1/changes?outcome=pending&limit=1").await;
            if pending["data"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
            assert!(began.elapsed() < SWEPT_WITHIN, "{pending}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let changes = self.load.check(&self.folders[0]);
        pairs_chain(&changes);
        for program in &self.programs {
            let one = self.load.one(program.proxy).await;
            assert_eq!(one.status, 200, "{}", one.text());
        }
        let seen = async |program: &Program| {
            let page = call(program.admin, Call::get("/api/v1/changes?limit=1000")).await.json();
            page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
        };
        let first = seen(&self.programs[0]).await;
        for program in &self.programs {
            let same =
                eventually("the same page", async || (seen(program).await == first).then_some(()));
            same.await;
        }
        let told: BTreeMap<String, usize> =
            changes.iter().fold(BTreeMap::new(), |mut told, row| {
                *told.entry(row["outcome"].to_string()).or_default() += 1;
                told
            });
        say(&format!("{told:?}"));
    }
}

/// Holds that what a change found is what the one before it left, where both are known.
fn pairs_chain(changes: &[Value]) {
    let mut last = BTreeMap::<&str, &Value>::new();
    let mut pairs = 0_u64;
    // Newest first.
    for change in changes.iter().rev() {
        let deployment = change["deployment_id"].as_str().unwrap();
        let former = last.insert(deployment, change);
        let is_applied = |change: &Value| change["outcome"] == "applied";
        let Some(former) = former.filter(|former| is_applied(former) && is_applied(change)) else {
            continue;
        };
        let (left, found) = (&former["after"]["name"], &change["before"]["name"]);
        if left.is_string() && found.is_string() {
            assert_eq!(left, found, "{former:#}\n{change:#}");
            pairs += 1;
        }
    }
    assert!(pairs >= PAIRS / 2, "{pairs} pairs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_on_one_log_lose_and_double_nothing() {
    let mut dice = Dice::of(seed(), "gateways");
    let deployments = [12, 1];
    for deployments in deployments {
        let mut redis = TestRedis::start();
        let Some(mut team) = Team::sharing(deployments, redis.as_ref()).await else { return };
        for _ in 0..given("CHANGEGATE_ROUNDS").unwrap_or(ROUNDS) {
            tokio::time::sleep(dice.millis(300, 800)).await;
            let node = usize::try_from(dice.roll(3)).unwrap();
            match (dice.roll(7), redis.as_mut()) {
                (0 | 1, _) => team.kill(node).await,
                (2, _) => team.pause(node, dice.millis(100, 900)).await,
                (3 | 4, _) => team.move_clock(node, &mut dice),
                (5, Some(redis)) => {
                    redis.kill();
                    tokio::time::sleep(dice.millis(300, 1_500)).await;
                    redis.start_again();
                }
                _ => team.cut(),
            }
        }
        if redis.is_some() {
            team.share_limits().await;
        }
        team.calm().await;
        team.check().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_slept_past_its_lease_sends_nothing_more_under_it() {
    let Some(mut team) = Team::start(2).await else { return };
    tokio::time::sleep(Duration::from_millis(500)).await;
    team.pause(0, LEASE_RUNS_OUT).await;
    team.calm().await;
    team.check().await;
}
