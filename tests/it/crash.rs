//! The gateway is killed at random moments under load: whatever upstream applied is on record.

use std::path::Path;
use std::time::Duration;

use changegate::base::clock::Clock;
use rustix::process::Signal;
use sqlx::Connection as _;

use crate::postgres::server::TestDatabase;
use crate::world::command::run;
use crate::world::dice::{Dice, given, seed};
use crate::world::load::Load;
use crate::world::many;
use crate::world::program::{Folder, Program};
use crate::world::say;

/// `CHANGEGATE_ROUNDS` makes it more.
const ROUNDS: u64 = 20;
const DEPLOYMENTS: usize = 6;

/// The most changes that are open at a time.
const OPEN_MAX: i64 = 4_096;

/// The time in which a killed gateway serves again beside all other tests; alone, a tenth of it.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// A gateway with its upstream and its log, killed again and again.
struct Victim {
    load: Load,
    folder: Folder,
    /// The log, where it is no file in the folder.
    database: Option<TestDatabase>,
}

impl Victim {
    fn new(database: Option<TestDatabase>) -> Self {
        let load = Load::new(DEPLOYMENTS);
        let folder = Folder::new(load.simulator.address(), "");
        if let Some(database) = &database {
            let made = run(Path::new("/"), &["migrate", "--database", &database.url()]);
            assert_eq!(made.code, 0, "{made:?}");
            folder.keep_log_at(&database.url().replace("//postgres@", "//changegate@"));
        }
        Self { load, folder, database }
    }

    async fn check_file(&self) {
        if self.database.is_none() {
            self.folder.check_file().await;
        }
    }

    async fn killed_while_it_starts(&self, dice: &mut Dice) {
        let mut serve = self.folder.command(&["serve"]);
        let mut child = serve.stderr(std::process::Stdio::null()).spawn().unwrap();
        tokio::time::sleep(dice.millis(0, 80)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        self.check_file().await;
    }

    /// After the last kill: what is on record is what upstream did, and calls settle what is
    /// unclear.
    async fn recover(&self, dice: &mut Dice) {
        self.killed_while_it_starts(dice).await;
        let program: Program = self.folder.serve().await;
        if self.database.is_some() {
            // What it left open itself ends with its first look at all of them.
            program.settle_down().await;
        }
        self.load.check(&self.folder);
        // That something is not done yet says nothing so soon. After the first of these calls, no
        // later one can tell: that is what the second one finds.
        for _ in 0..2 {
            self.load.once(program.proxy).await;
        }
        let changes = self.load.check(&self.folder);
        for change in changes.iter().filter(|change| change["outcome"] == "unknown") {
            let settled = change["settled"]["by"].is_string();
            assert!(settled, "a call to the deployment has settled nothing: {change}");
            assert_ne!(change["settled"]["applied"], false, "{change}");
        }
    }
}

/// Kills a gateway so many times.
async fn kill_and_check(rounds: u64, log: impl Fn() -> Option<TestDatabase>) -> Duration {
    let mut dice = Dice::of(seed(), "crash");
    let mut victim = Victim::new(log());
    let mut slowest = Duration::ZERO;
    for round in 0..given("CHANGEGATE_ROUNDS").unwrap_or(rounds) {
        // The simulator remembers so many calls and no more.
        if round % 25 == 24 {
            victim.recover(&mut dice).await;
            victim = Victim::new(log());
        }
        let begun = Clock::System.instant();
        let program = victim.folder.serve().await;
        slowest = slowest.max(begun.elapsed());
        let mut updates = victim.load.begin(program.proxy);
        tokio::time::sleep(dice.millis(20, 300)).await;
        if dice.chance(25) {
            program.signal(Signal::STOP);
            tokio::time::sleep(dice.millis(1, 200)).await;
            program.signal(Signal::CONT);
            tokio::time::sleep(dice.millis(0, 100)).await;
        }
        program.kill();
        updates.shutdown().await;
        victim.check_file().await;
        if dice.chance(40) {
            victim.killed_while_it_starts(&mut dice).await;
        }
    }
    victim.recover(&mut dice).await;
    say(&format!("the slowest start took {slowest:?}"));
    slowest
}

#[tokio::test]
async fn whatever_upstream_applied_is_on_record_after_a_kill() {
    let slowest = kill_and_check(ROUNDS, || None).await;
    assert!(slowest < READY_WITHIN, "{slowest:?}");
}

#[tokio::test]
async fn whatever_upstream_applied_is_in_postgresql_after_a_kill() {
    if TestDatabase::new().is_some() {
        kill_and_check(ROUNDS / 2, TestDatabase::new).await;
    }
}

/// As many calls as can be open at once were, on a log with much in it. `CHANGEGATE_RECORDS` makes
/// it more.
#[tokio::test]
async fn a_start_that_finds_many_open_changes_takes_no_second() {
    let records = given("CHANGEGATE_RECORDS").unwrap_or(20_000);
    let load = Load::new(1);
    let folder = Folder::new(load.simulator.address(), "");
    let program = folder.serve().await;
    load.once(program.proxy).await;
    program.kill();
    let records = i64::try_from(records).unwrap();
    let mut connection = many::opened(&folder).await;
    many::add_changes(&mut connection, 1, records).await;
    many::end_changes(&mut connection).await;
    many::add_changes(&mut connection, records, records + OPEN_MAX).await;
    connection.close().await.unwrap();
    let begun = Clock::System.instant();
    let program = folder.serve().await;
    let took = begun.elapsed();
    say(&format!("{records} records, {OPEN_MAX} of them open: ready after {took:?}"));
    assert!(took < READY_WITHIN, "{took:?}");
    let starts = program.events("start", 2).await;
    assert_eq!(starts[0]["detail"]["unknown"], OPEN_MAX);
}
