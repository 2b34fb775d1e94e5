//! Reverse proxies side by side, in turn, so that what disturbs the machine disturbs them alike.

mod fronts;
mod idle;
mod passing;

use anyhow::{Context as _, ensure};

use super::Common;
use super::figures::Spread;
use super::gateway::program;
use super::machine::{Folder, OTHER_CORE, cores};
use super::measure::serve;
use super::rivals::{Front, Kind, Rival, Stage};
use super::table::{Goals, note};
use super::tool::tool;

/// Puts reverse proxies side by side.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    common: Common,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each time
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many made-up tokens
    #[arg(long, default_value_t = 1_000_000)]
    tokens: u64,
    /// Some parts only
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// CPU per request over HTTP/1.1
    Cpu,
    /// Latency at a fixed rate
    Latency,
    /// CPU per request in HTTP/1.1 pipelines
    Pipelines,
    /// CPU per request over HTTP/2
    Http2,
    /// CPU per request and per handshake under TLS
    Tls,
    /// Memory per idle connection
    Idle,
    /// Memory after many made-up tokens
    Tokens,
}

/// How a part is measured and printed.
type Measure = fn(&mut Run<'_>) -> anyhow::Result<()>;

/// The context that every part is given.
struct Run<'a> {
    arguments: &'a Compare,
    stage: Stage<'a>,
    goals: Goals,
}

/// One proxy's figures, in the order of rounds.
struct Measured {
    kind: Kind,
    figures: Vec<f64>,
}

/// Runs the comparison.
pub(crate) fn run(arguments: &Compare) -> anyhow::Result<()> {
    ensure!(cores() > OTHER_CORE, "a comparison needs two cores: one for the proxy alone");
    ensure!(tool("taskset").is_some(), "a comparison needs taskset to keep the cores apart");
    let program = program(arguments.common.changegate.as_deref())?;
    let folder = Folder::new(arguments.common.folder.as_deref())?;
    let upstream = serve(Some(OTHER_CORE), &["origin"], folder.path())?;
    let stage = Stage::new(folder.path(), upstream.address, &program);
    let mut run = Run { arguments, stage, goals: Goals::new() };
    let parts: [(Part, Measure); 7] = [
        (Part::Cpu, passing::cpu),
        (Part::Latency, passing::latency),
        (Part::Pipelines, fronts::pipelines),
        (Part::Http2, fronts::http2),
        (Part::Tls, fronts::tls),
        (Part::Idle, idle::idle),
        (Part::Tokens, idle::tokens),
    ];
    for (part, measure) in parts {
        if arguments.only.is_empty() || arguments.only.contains(&part) {
            measure(&mut run)?;
        }
    }
    run.goals.print(arguments.common.markdown);
    Ok(())
}

impl Run<'_> {
    /// Starts these proxies; those that are not installed are left out.
    fn start(&self, kinds: &[Kind], front: Front) -> anyhow::Result<Vec<Rival>> {
        let mut started = Vec::new();
        for kind in kinds {
            started.extend(self.stage.start(*kind, front)?);
        }
        Ok(started)
    }

    /// Measures each proxy in its turn, as many rounds as were asked for, after one that does
    /// not count.
    fn in_turn(
        &self,
        what: &str,
        rivals: &[Rival],
        mut measure: impl FnMut(&Rival) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Vec<Measured>> {
        let new = |rival: &Rival| Measured { kind: rival.kind, figures: Vec::new() };
        let mut measured: Vec<Measured> = rivals.iter().map(new).collect();
        for round in 0..=self.arguments.rounds {
            note(&format!("{what}: round {round} of {}", self.arguments.rounds));
            for (rival, measured) in rivals.iter().zip(&mut measured) {
                let figure = measure(rival);
                let figure = figure.with_context(|| format!("{what}: {}", rival.kind.name()))?;
                if round > 0 {
                    measured.figures.push(figure);
                }
            }
        }
        Ok(measured)
    }
}

/// The figures of one proxy.
fn of(measured: &[Measured], kind: Kind) -> Option<Spread> {
    let found = measured.iter().find(|measured| measured.kind == kind)?;
    Spread::of(&found.figures)
}

/// How the medians of two proxies relate.
fn ratio(measured: &[Measured], kind: Kind, to: Kind) -> Option<f64> {
    Some(of(measured, kind)?.median / of(measured, to)?.median)
}

/// `1.23 x`, or a dash.
fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} x"))
}
