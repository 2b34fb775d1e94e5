//! `changegate policy replay`: recorded changes, judged by another policy or by the recorded ones.

mod cases;
mod human;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use self::cases::CaseWriter;
use self::human::Printer;
pub(super) use self::human::counted;
use super::source::PolicyFile;
use crate::audit::judged::{ReadyChange, RecordedPolicies};
use crate::audit::query::{Filter, Reader};
use crate::base::clock::Clock;
use crate::cli::audit::{FilterArgs, SpanArgs, ZoneArgs, sought, unanswered};
use crate::cli::log::LogFile;
use crate::cli::progress::Progress;
use crate::cli::{Environment, Failure, print, runtime};
use crate::policy::Policy;
use crate::policy::replay::Replay;

/// The arguments of `policy replay`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ReplayArgs {
    #[command(flatten)]
    file: LogFile,
    /// The policy that changes are judged by; by default `policy.file` of the configuration.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Judge each change by the policy that is recorded with it instead: each must come to the
    /// decision that is recorded, else the command fails.
    #[arg(long, conflicts_with_all = ["policy", "emit_cases", "fail_on_deny"])]
    recorded: bool,
    #[command(flatten)]
    which: FilterArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// Write a case for each change that is decided otherwise, the first 10,000 of them, for
    /// `policy test`.
    #[arg(long, value_name = "FILE")]
    emit_cases: Option<PathBuf>,
    /// Fail where something that passed would be denied.
    #[arg(long)]
    fail_on_deny: bool,
    /// Of each kind of change of mind, name the newest so many.
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Name every change that is decided otherwise, as it is found, deployment by deployment.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print JSON: one object, with --all behind one for each change.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    zone: ZoneArgs,
}

/// The result of a replay.
#[derive(Debug)]
struct Replayed {
    replay: Replay,
    /// Changes whose recorded policy this version can't read.
    unreadable: u64,
    took: Duration,
}

/// The policies that changes are judged by.
enum Judges<'r> {
    /// One for all.
    File(PolicyFile),
    /// To each its own.
    Recorded(RecordedPolicies<'r>),
}

/// Runs the command.
pub fn run(arguments: &ReplayArgs, environment: &Environment) -> Result<(), Failure> {
    let clock = Clock::System;
    let now = clock.now();
    runtime()?.block_on(async {
        let file = if arguments.recorded {
            None
        } else {
            let given = arguments.policy.as_deref();
            Some(PolicyFile::find(given, &arguments.file, environment)?)
        };
        let log = arguments.file.find(environment)?;
        let (reader, filter) = sought(&arguments.which, &arguments.span, &log, now).await?;
        let mut judges = match file {
            Some(file) => Judges::File(file),
            None => Judges::Recorded(RecordedPolicies::of(&reader)),
        };
        let policy = judges.policy()?;
        let printer = Printer::new(arguments, environment, now);
        let replayed = replay(arguments, (&reader, &filter), &mut judges, &printer).await?;
        let path = judges.path();
        let printed = if arguments.json {
            print::line(report::whole(&replayed, policy.as_deref(), path, arguments.all))
        } else {
            printer.whole(&replayed, policy.as_deref(), path)
        };
        // What does not hold must be told by the code even where nobody reads the output.
        failure(arguments, &replayed.replay).map_or(printed, Err)
    })
}

async fn replay(
    arguments: &ReplayArgs,
    (reader, filter): (&Reader, &Filter),
    judges: &mut Judges<'_>,
    printer: &Printer,
) -> Result<Replayed, Failure> {
    let clock = Clock::System;
    let begun = clock.instant();
    let policy = judges.policy()?;
    let nothing = Policy::default();
    let listed_max = if arguments.all { 0 } else { usize::from(arguments.limit) };
    let mut replay = Replay::new(policy.as_deref().unwrap_or(&nothing), listed_max);
    let mut cases = match (&arguments.emit_cases, judges.path()) {
        (Some(file), Some(policy)) => Some(CaseWriter::create(file, policy)?),
        _ => None,
    };
    let mut walk = reader.walk(filter).await.map_err(unanswered)?;
    let mut progress = Progress::new(begun);
    let all = human::counted(u64::try_from(walk.until()).unwrap_or_default());
    let mut unreadable = 0;
    loop {
        let part = walk.next().await.map_err(unanswered)?;
        if part.is_empty() {
            break;
        }
        for change in part {
            let Ok(change) = ReadyChange::of(change) else {
                replay.not_asked += 1;
                continue;
            };
            let Some(policy) = judges.of(&change).await? else {
                unreadable += 1;
                continue;
            };
            let rejudged = change.judged(&policy, &clock);
            let Some(moved) = replay.add(&rejudged, || change.moved(&policy, &rejudged)) else {
                continue;
            };
            if let Some(cases) = &mut cases {
                cases.write(&change, &rejudged, &moved)?;
            }
            if arguments.all {
                printer.moved(&moved)?;
            }
        }
        progress.tell(&clock, || {
            let count = human::counted(replay.count + replay.not_asked + unreadable);
            format!("{count} changes replayed; the log has {all}")
        });
    }
    if let Some(cases) = cases {
        cases.finish()?;
    }
    let took = clock.instant().saturating_duration_since(begun);
    Ok(Replayed { replay, unreadable, took })
}

/// Why the command fails, if it does.
fn failure(arguments: &ReplayArgs, replay: &Replay) -> Option<Failure> {
    if arguments.recorded && replay.moved() > 0 {
        return Some(Failure::NotHeld(anyhow!(
            "{} of the changes come to another decision than the recorded one",
            human::counted(replay.moved())
        )));
    }
    let denied = replay.newly_denied();
    (arguments.fail_on_deny && denied > 0).then(|| {
        Failure::NotHeld(anyhow!(
            "{} of the changes that passed would be denied",
            human::counted(denied)
        ))
    })
}

impl Judges<'_> {
    /// The policy for all, where there is one.
    fn policy(&mut self) -> Result<Option<std::sync::Arc<Policy>>, Failure> {
        match self {
            Self::File(file) => file.policy().map(Some),
            Self::Recorded(_) => Ok(None),
        }
    }

    fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Recorded(_) => None,
        }
    }

    /// The policy for a change; `None` where this version can't read it.
    async fn of(
        &mut self,
        change: &ReadyChange,
    ) -> Result<Option<std::sync::Arc<Policy>>, Failure> {
        match self {
            Self::File(file) => file.of(change.provider).map(Some),
            Self::Recorded(policies) => policies.get(change).await.map_err(unanswered),
        }
    }
}
