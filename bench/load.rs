//! The load generator: a process of its own, on one thread, that tells what it got as one line
//! of JSON.
//!
//! Closed loop: each connection sends its next request when the last one is answered. Open loop
//! (`--rate`): requests are due at fixed moments, and latency counts from the moment a request
//! was due, so that a slow answer can't hide the requests that it delayed.

mod caller;
mod pace;
mod script;
mod stream;

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use self::caller::{Caller, Tally};
use self::script::Script;
use self::stream::Connector;
use super::figures::{float, nearest};
use changegate::base::clock::Clock;

/// How many connections are made at once.
const CONNECTING_MAX: usize = 64;

/// The calls to send, and how to send them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Address to call
    #[arg(long)]
    pub(crate) target: SocketAddr,
    /// Kind of call to send
    #[arg(long, value_enum, default_value = "get")]
    pub(crate) call: Call,
    /// How many connections, each with a token of its own
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// How long
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// How many requests, in place of how long
    #[arg(long)]
    pub(crate) requests: Option<u64>,
    /// How many requests go out before the first of their answers is read
    #[arg(long, default_value_t = 1)]
    pub(crate) pipeline: usize,
    /// Requests a second, all connections together, in an open loop
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Over TLS
    #[arg(long)]
    pub(crate) tls: bool,
    /// How many deployments the calls go round
    #[arg(long, default_value_t = 64)]
    pub(crate) deployments: usize,
    /// The number of the first update, so that no two updates of a log are alike
    #[arg(long, default_value_t = 0)]
    pub(crate) first: u64,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Call {
    /// A read that is none of the gateway's business
    Get,
    /// A write of 1 KB that is not a governed call
    Post,
    /// A small patch of one deployment after the other
    Update,
    /// A look at one deployment after the other
    Show,
    /// A read with a token that nobody has used before
    Stranger,
    /// No request: a TLS handshake on a new connection
    Handshake,
    /// One request on each connection, which then stays open until standard input ends
    Hold,
}

/// The results of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Got {
    pub(crate) requests: u64,
    /// Answers that were no 2xx, and connections that broke.
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    pub(crate) max_micros: f64,
}

/// When callers stop.
#[derive(Clone, Debug)]
pub(crate) struct Until {
    deadline: Option<Instant>,
    left: Arc<AtomicU64>,
}

impl Until {
    fn new(plan: &Plan) -> Self {
        let length = Duration::from_secs_f64(plan.seconds);
        Self {
            deadline: plan.requests.is_none().then(|| now() + length),
            left: Arc::new(AtomicU64::new(plan.requests.unwrap_or(u64::MAX))),
        }
    }

    /// Takes leave to send so many requests.
    fn draw(&self, count: usize) -> bool {
        if let Some(deadline) = self.deadline {
            return now() < deadline;
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let drawn = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count));
        drawn.is_ok()
    }
}

pub(crate) fn now() -> Instant {
    Clock::System.instant()
}

/// Sends what the plan says.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<()> {
    let connector = Connector::new(plan.target, plan.tls)?;
    let begun = now();
    let tally = match (plan.call, plan.rate) {
        (Call::Handshake, _) => handshakes(&plan, &connector).await?,
        (Call::Hold, _) => return hold(&plan, &connector).await,
        (_, None) => closed(&plan, &connector).await?,
        (_, Some(rate)) => {
            let callers = callers(&plan, &connector).await?;
            pace::run(callers, rate, plan.seconds).await?
        }
    };
    super::table::say(&serde_json::to_string(&tally.got(begun.elapsed()))?);
    Ok(())
}

async fn closed(plan: &Plan, connector: &Connector) -> anyhow::Result<Tally> {
    let callers = callers(plan, connector).await?;
    let until = Until::new(plan);
    let mut running = JoinSet::new();
    for mut caller in callers {
        let (until, pipeline) = (until.clone(), plan.pipeline);
        running.spawn(async move {
            while until.draw(pipeline) {
                if caller.exchange(pipeline, now()).await.is_err() {
                    break;
                }
            }
            caller.tally
        });
    }
    Ok(sum(running.join_all().await))
}

async fn callers(plan: &Plan, connector: &Connector) -> anyhow::Result<Vec<Caller>> {
    let mut callers = Vec::with_capacity(plan.connections);
    while callers.len() < plan.connections {
        let mut connecting = JoinSet::new();
        for n in callers.len()..plan.connections.min(callers.len() + CONNECTING_MAX) {
            let (connector, script) = (connector.clone(), Script::new(plan, n));
            connecting.spawn(async move {
                connector.connect().await.map(|stream| Caller::new(stream, script))
            });
        }
        while let Some(connected) = connecting.join_next().await {
            callers.push(connected?.context("a connection can't be made")?);
        }
    }
    Ok(callers)
}

async fn handshakes(plan: &Plan, connector: &Connector) -> anyhow::Result<Tally> {
    let until = Until::new(plan);
    let mut running = JoinSet::new();
    for _ in 0..plan.connections {
        let (until, connector) = (until.clone(), connector.clone());
        running.spawn(async move {
            let mut tally = Tally::default();
            while until.draw(1) {
                let begun = now();
                match connector.connect().await {
                    Ok(_shaken) => tally.note(begun, 200),
                    Err(_failed) => tally.note(begun, 0),
                }
            }
            tally
        });
    }
    Ok(sum(running.join_all().await))
}

/// Keeps the connections open, each after one request, until standard input ends.
async fn hold(plan: &Plan, connector: &Connector) -> anyhow::Result<()> {
    let mut held = Vec::with_capacity(plan.connections);
    while held.len() < plan.connections {
        let batch = CONNECTING_MAX.min(plan.connections - held.len());
        let mut callers = callers(&Plan { connections: batch, ..plan.clone() }, connector).await?;
        for caller in &mut callers {
            caller.exchange(1, now()).await.context("a held connection broke")?;
            ensure!(caller.tally.errors() == 0, "a held connection got no good answer");
        }
        held.extend(callers);
    }
    super::table::say("held");
    // The runtime has one thread and nothing else to do: waiting for the end may block it.
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

fn sum(tallies: Vec<Tally>) -> Tally {
    let mut all = Tally::default();
    for tally in tallies {
        all.add(tally);
    }
    all
}

impl Tally {
    fn got(mut self, length: Duration) -> Got {
        self.nanos.sort_unstable();
        let micros = |share| nearest(&self.nanos, share).map_or(0.0, |nanos| float(nanos) / 1e3);
        Got {
            requests: self.count(),
            errors: self.errors(),
            seconds: length.as_secs_f64(),
            p50_micros: micros(0.5),
            p99_micros: micros(0.99),
            max_micros: micros(1.0),
        }
    }
}
