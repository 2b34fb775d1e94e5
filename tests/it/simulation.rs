//! Everything at once, by chance: clients that come and go in every way, an upstream that fails at
//! every point, a disk, a clock and a machine that do as well. Whatever happens, every governed
//! call that reached upstream has exactly one record, and no denied one ever did.
//!
//! A seed decides who asks for what, what befalls each call, and the faults of each round. When
//! exactly things meet is the machine's affair, so a seed repeats the circumstances, not the race.
//! `CHANGEGATE_SEED` takes one up again, `CHANGEGATE_ROUNDS` makes the run longer.

mod calls;
mod clients;
mod faults;
mod ledger;
mod message;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use changegate::base::clock::Clock;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::calls::{DEPLOYMENTS, update};
use self::clients::{Client, read_answer, told};
use self::faults::Faults;
use self::ledger::{Findings, Ledger};
use self::upstream::Upstream;
use crate::world::dice::{Dice, given, seed};
use crate::world::disk::Disk;
use crate::world::program::{Folder, Program};
use crate::world::{eventually, say};

/// `CHANGEGATE_ROUNDS` makes it more.
const ROUNDS: u64 = 10;

/// So many rounds on one log; then the next seed has a log of its own.
const ROUNDS_OF_ONE_LOG: u64 = 12;

const CLIENTS: u64 = 8;

/// How soon the gateway serves again once everything is in order.
const BACK_WITHIN: Duration = Duration::from_secs(5);

const CONFIG: &str = "upstream.response_timeout = 0.3\naudit.finish_timeout = 0.5\n\
    [limits]\nturn_timeout = 3\ndrain_timeout = 8\n";

/// A gateway, its surroundings, and the truth.
struct Stage {
    seed: u64,
    dice: Dice,
    ledger: Arc<Ledger>,
    upstream: Upstream,
    disk: Option<Disk>,
    folder: Folder,
    probes: u32,
}

#[tokio::test]
async fn every_governed_call_that_reached_upstream_has_exactly_one_record() {
    let (first, rounds) = (seed(), given("CHANGEGATE_ROUNDS").unwrap_or(ROUNDS));
    for (n, seed) in (0..rounds.div_ceil(ROUNDS_OF_ONE_LOG)).zip(first..) {
        let mut stage = Stage::new(seed).await;
        stage.play(ROUNDS_OF_ONE_LOG.min(rounds - n * ROUNDS_OF_ONE_LOG)).await;
    }
}

impl Stage {
    async fn new(seed: u64) -> Self {
        let ledger = Arc::<Ledger>::default();
        let upstream = Upstream::start(seed, &ledger).await;
        crate::world::seed(&upstream.simulator, usize::try_from(DEPLOYMENTS).unwrap() + 2);
        let folder = Folder::new(upstream.address, CONFIG);
        let disk = Disk::new(folder.path());
        let dice = Dice::of(seed, "faults");
        Self { seed, dice, ledger, upstream, disk, folder, probes: 0 }
    }

    async fn play(&mut self, rounds: u64) {
        let mut program = self.folder.serve_on(self.disk.as_ref()).await;
        for round in 0..rounds {
            let faults = Faults::of(&mut self.dice, self.disk.is_some());
            let began = Clock::System.instant();
            program = self.round(program, round, faults).await;
            let fair = faults.is_fair().then(|| format!("s{}r{round}c", self.seed));
            let findings = self.check(&program, fair.as_deref()).await;
            let (seed, took) = (self.seed, began.elapsed().as_millis());
            say(&format!("{seed}/{round} {faults:?}: {}{took} ms", findings.shown()));
            assert!(
                findings.broken.is_empty(),
                "CHANGEGATE_SEED={seed}, round {round}, {faults:?}:\n{}\n{}",
                findings.broken.join("\n"),
                program.said()
            );
        }
        self.settle(&program).await;
        program.kill();
        self.folder.check_file().await;
    }

    /// Clients call, something goes wrong meanwhile, and everything comes to rest again.
    async fn round(&mut self, program: Program, round: u64, faults: Faults) -> Program {
        self.upstream.calm(false);
        let stop = Arc::<AtomicBool>::default();
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let name = format!("s{}r{round}c{n}", self.seed);
            let dice = Dice::of(self.seed, &name);
            let (ledger, stop) = (Arc::clone(&self.ledger), Arc::clone(&stop));
            clients.spawn(
                Client { name, dice, ledger, proxy: program.proxy, stop, count: 0, keyed: None }
                    .run(),
            );
        }
        tokio::time::sleep(self.dice.millis(100, 400)).await;
        let struck = faults.strike(program, &self.folder, self.disk.as_ref(), &mut self.dice);
        let program = struck.await;
        if program.is_some() {
            tokio::time::sleep(self.dice.millis(50, 200)).await;
        }
        stop.store(true, Ordering::SeqCst);
        let began = Clock::System.instant();
        let program = match program {
            Some(program) => program,
            None => self.folder.serve_on(self.disk.as_ref()).await,
        };
        // With its clients still at it, but nothing wrong any more.
        self.upstream.calm(true);
        self.back(&program).await;
        let took = began.elapsed();
        assert!(took < BACK_WITHIN, "{} {faults:?}: back after {took:?}", self.seed);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        program
    }

    /// Waits until no call is under way: those whose clients have left go on, and nobody sees the
    /// ones that wait for their turn.
    async fn come_to_rest(&self, program: &Program) {
        let (mut newest, mut looks) = (serde_json::Value::Null, 0);
        eventually("rest", async || {
            program.settle_down().await;
            let page = program.ask("/api/v1/changes?limit=1").await;
            let rests = self.upstream.is_at_rest() && page == newest;
            looks = if rests { looks + 1 } else { 0 };
            newest = page;
            (looks == 10).then_some(())
        })
        .await;
    }

    /// Waits until a governed call succeeds.
    async fn back(&mut self, program: &Program) {
        while self.probe(program.proxy, DEPLOYMENTS + 1).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn probe(&mut self, proxy: SocketAddr, deployment: u64) -> Option<u16> {
        self.probes += 1;
        let call = update(&format!("s{}p{}", self.seed, self.probes), deployment);
        self.ledger.send(&call.id, call.kind, None);
        self.ledger.sent_whole(&call.id);
        let mut stream = TcpStream::connect(proxy).await.ok()?;
        stream.write_all(&call.http1()).await.ok()?;
        let answer = read_answer(&mut stream, &mut Vec::new()).await?;
        self.ledger.tell(&call.id, told(&answer));
        Some(answer.status())
    }

    async fn check(&self, program: &Program, fair: Option<&str>) -> Findings {
        self.come_to_rest(program).await;
        self.ledger.check(&self.folder.changes(false), fair)
    }

    /// Time passes, and every deployment is changed once more, which settles what is unclear; not
    /// for what a second call has overtaken, which the second look finds.
    async fn settle(&mut self, program: &Program) {
        if let Some(disk) = &self.disk {
            disk.pass_time(3 * 60 * 1_000);
        }
        for deployment in (0..=DEPLOYMENTS).flat_map(|number| [number; 2]) {
            let status = self.probe(program.proxy, deployment).await;
            // The last one may be archived, and says no to updates.
            assert!(matches!(status, Some(200 | 400..500)), "{status:?}");
        }
        let findings = self.check(program, None).await;
        assert!(findings.broken.is_empty(), "{}: {}", self.seed, findings.broken.join("\n"));
        let changes = self.folder.changes(false);
        let unclear = changes
            .iter()
            .filter(|change| change["outcome"] == "unknown" && change["operation"] != "create");
        let unsettled: Vec<_> = unclear.filter(|change| change["settled"].is_null()).collect();
        assert!(unsettled.is_empty(), "CHANGEGATE_SEED={}: {unsettled:?}", self.seed);
        say(&format!("{} at the end: {}", self.seed, findings.shown()));
    }
}
