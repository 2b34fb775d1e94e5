//! `changegate audit`: who changed which deployment, from what to what. Reads the log beside a
//! running gateway, or without one.

mod approved;
mod arguments;
mod at;
mod blame;
mod compared;
mod copy;
mod csv;
mod deployments;
mod differences;
mod drift;
mod erase;
mod export;
mod history;
mod hold;
mod layout;
mod pages;
mod printer;
mod prune;
mod render;
mod revert;
mod screen;
mod sinks;
mod sweep;
pub(super) mod table;
mod text;
mod verify;
mod zone;

use std::fmt::Display;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

pub use self::arguments::{
    AtArgs, BlameArgs, DeploymentsArgs, DiffArgs, DriftArgs, HistoryArgs, ListArgs, ShowArgs,
};
pub(in crate::cli) use self::arguments::{FilterArgs, SpanArgs, ZoneArgs};
pub use self::copy::CopyArgs;
pub use self::erase::EraseArgs;
pub use self::export::ExportArgs;
pub use self::hold::HoldCommand;
use self::layout::Layout;
use self::printer::ListPrinter;
pub use self::prune::PruneArgs;
pub use self::revert::RevertArgs;
pub use self::sinks::SinksArgs;
pub use self::verify::{ProveArgs, VerifyArgs};
pub(in crate::cli) use self::zone::Zone;
use super::log::LogFile;
use super::terminal::Terminal;
use super::{Environment, Failure, print, runtime};
use crate::admin::filter::{self, BadFilter};
use crate::audit::query::{Filter, QueryError, Reader};
use crate::audit::record::Change;
use crate::base::clock::{Clock, Timestamp};
use crate::base::database::Database;
use crate::base::ids::ChangeId;
use crate::config::log::LogConfig;
use crate::policy::load::load;
use crate::policy::rule::Rule;
use crate::provider::Provider;

/// The most deployments that one name may stand for: here a question may take its time.
const NAMED_MAX: usize = 1_000;

/// The questions that can be asked of the log.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Lists changes, or events, newest first.
    List(Box<ListArgs>),
    /// Shows one change whole, with its difference.
    Show(ShowArgs),
    /// Tells what became of one deployment, newest first.
    History(HistoryArgs),
    /// Shows one deployment as it was at a moment.
    At(AtArgs),
    /// Tells for each field of a deployment who set it last, when, and by which policy.
    Blame(BlameArgs),
    /// Tells where two states of deployments differ, long texts word by word.
    Diff(DiffArgs),
    /// Lists what was changed around the gateway, newest first.
    Drift(DriftArgs),
    /// Takes a change back, by a call through the gateway with your own token.
    Revert(RevertArgs),
    /// Writes changes with their bodies as files for other programs, newest first.
    Export(Box<ExportArgs>),
    /// Finds what was altered or is missing: holds every record against the tree that was signed.
    Verify(VerifyArgs),
    /// Writes the proof of one change, which is checked without the log: `audit verify --bundle`.
    Prove(ProveArgs),
    /// Lists the deployments that the log knows, the newest changed first.
    Deployments(DeploymentsArgs),
    /// Takes old records away for good, and records what was taken.
    Prune(PruneArgs),
    /// Erases the bodies of a change, or of all of a deployment, for good: that there were these
    /// changes stays, and a record of the erasure.
    Erase(EraseArgs),
    /// Holds records of somebody back from being pruned.
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Lists where finished records are sent, and how that goes; tests, resumes and replays.
    Sinks(SinksArgs),
    /// Moves a log from SQLite to PostgreSQL: all of it, compared row by row, and seals the former.
    Copy(CopyArgs),
}

/// A whole change as people read it, times in UTC.
pub(super) fn change_lines(change: &Change) -> Vec<String> {
    let lines = render::change(change, &Zone::utc(), &Layout::WHOLE);
    lines.iter().map(|line| line.iter().map(|span| span.text.as_str()).collect()).collect()
}

/// Prints changes as a table that people read, no wider than the terminal, times in UTC.
pub(super) async fn print_changes(
    reader: &Reader,
    changes: &[Change],
    terminal: Terminal,
) -> Result<(), Failure> {
    ListPrinter::fitted(terminal, Clock::System.now(), Zone::utc()).changes(reader, changes).await
}

/// Runs one of them.
pub fn run(command: &AuditCommand, environment: &Environment) -> Result<(), Failure> {
    let runtime = runtime()?;
    let now = Clock::System.now();
    runtime.block_on(async {
        match command {
            AuditCommand::List(arguments) if arguments.events => {
                events(arguments, environment, now).await
            }
            AuditCommand::List(arguments) => list(arguments, environment, now).await,
            AuditCommand::Show(arguments) => show(arguments, environment, now).await,
            AuditCommand::History(arguments) => history::run(arguments, environment, now).await,
            AuditCommand::At(arguments) => at::run(arguments, environment, now).await,
            AuditCommand::Blame(arguments) => blame::run(arguments, environment, now).await,
            AuditCommand::Diff(arguments) => compared::run(arguments, environment, now).await,
            AuditCommand::Drift(arguments) if arguments.sweep => {
                Box::pin(sweep::run(arguments, environment)).await
            }
            AuditCommand::Drift(arguments) => drift::run(arguments, environment, now).await,
            AuditCommand::Revert(arguments) => revert::run(arguments, environment).await,
            AuditCommand::Prune(arguments) => prune::run(arguments, environment).await,
            AuditCommand::Erase(arguments) => Box::pin(erase::run(arguments, environment)).await,
            AuditCommand::Hold(command) => hold::run(command, environment).await,
            AuditCommand::Sinks(arguments) => sinks::run(arguments, environment, now).await,
            AuditCommand::Copy(arguments) => copy::run(arguments).await,
            AuditCommand::Export(arguments) => export::run(arguments, environment, now).await,
            AuditCommand::Verify(arguments) => verify::run(arguments, environment, now).await,
            AuditCommand::Prove(arguments) => verify::prove(arguments, environment).await,
            AuditCommand::Deployments(arguments) => {
                deployments::run(arguments, environment, now).await
            }
        }
    })
}

async fn list(
    arguments: &ListArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let log = arguments.file.find(environment)?;
    let (which, part) = (&arguments.which, &arguments.part);
    let (reader, filter) = sought(which, &part.span, &log, now).await?;
    let form = &arguments.part.shown;
    let zone = Zone::found(environment, now, form.zone.utc);
    let layout = Layout::of(Terminal::found(environment));
    let mut printer = ListPrinter::of_changes(form, environment, now)?;
    let mut wanted = form.wanted();
    let mut shown = 0;
    while let Some(page) = wanted.next_changes(&reader, &filter, arguments.full).await? {
        if arguments.full && !form.is_for_programs() {
            for change in &page {
                printer::print_spans(&render::change(change, &zone, &layout), layout.colour)?;
                print::line("")?;
            }
        } else {
            printer.changes(&reader, &page).await?;
        }
        shown += page.len();
    }
    say_more(shown, wanted.more_changes(&reader, &filter).await?);
    if let Some(rule) = filter.rule.as_deref().filter(|_| shown == 0) {
        warn_of_rule(&reader, rule).await?;
    }
    let nothing = if filter == Filter::default() {
        "No change is recorded yet."
    } else {
        "No recorded change matches these filters."
    };
    say_nothing_found(shown == 0, form.is_for_programs(), nothing)
}

/// The log, and the changes of it that are asked for.
pub(in crate::cli) async fn sought(
    which: &FilterArgs,
    span: &SpanArgs,
    log: &LogConfig,
    now: Timestamp,
) -> Result<(Reader, Filter), Failure> {
    let given = |name: &str| which.given(name).or_else(|| span.given(name));
    let filter = filter::filter(given, now).map_err(bad_option)?;
    let reader = open_at(log).await?;
    let filter = by_tokens(filter, &reader, log).await?;
    let filter = reader.with_named(filter, NAMED_MAX).await.map_err(|error| match error {
        QueryError::ManyNamed { .. } => Failure::Usage(anyhow!("--deployment-name: {error}")),
        error => unanswered(error),
    })?;
    Ok((reader, filter))
}

async fn events(
    arguments: &ListArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let filter = filter::filter(|name| arguments.given(name), now).map_err(bad_option)?;
    let log = arguments.file.find(environment)?;
    let reader = open_at(&log).await?;
    let filter = filter::of_events(by_tokens(filter, &reader, &log).await?);
    let form = &arguments.part.shown;
    let mut printer = ListPrinter::of_events(form, environment, now)?;
    let mut wanted = form.wanted();
    let mut shown = 0;
    while let Some(page) = wanted.next_events(&reader, &filter).await? {
        printer.events(&page)?;
        shown += page.len();
    }
    say_more(shown, wanted.more_events(&reader, &filter).await?);
    say_nothing_found(shown == 0, form.is_for_programs(), "No such event is recorded.")
}

async fn show(
    arguments: &ShowArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = change_id(&arguments.id)?;
    let reader = open(&arguments.file, environment).await?;
    let found = reader.change(id).await.map_err(unanswered)?;
    let Some(change) = found else { return Err(missing(&reader, id).await?) };
    if arguments.json {
        print_json(&[change])
    } else {
        let zone = Zone::found(environment, now, arguments.zone.utc);
        let layout = Layout::of(Terminal::found(environment));
        printer::print_spans(&render::change(&change, &zone, &layout), layout.colour)
    }
}

async fn open(file: &LogFile, environment: &Environment) -> Result<Reader, Failure> {
    open_at(&file.find(environment)?).await
}

pub(in crate::cli) async fn open_at(log: &LogConfig) -> Result<Reader, Failure> {
    Reader::open(&log.database).await.map_err(unanswered)
}

/// The filter, with the tokens of an actor who is asked for by name.
async fn by_tokens(filter: Filter, reader: &Reader, log: &LogConfig) -> Result<Filter, Failure> {
    let listed = |name: &str| log.actors.tokens_of(name);
    let actor = filter::with_tokens(filter.actor, reader, listed).await.map_err(unanswered)?;
    Ok(Filter { actor, ..filter })
}

pub(in crate::cli) fn unanswered(error: QueryError) -> Failure {
    Failure::NotCarriedOut(error.into())
}

fn bad_option(bad: BadFilter) -> Failure {
    Failure::Usage(anyhow!("--{}: {}", bad.param.replace('_', "-"), bad.fix))
}

/// The change that an id as typed names.
pub(in crate::cli) fn change_id(text: &str) -> Result<ChangeId, Failure> {
    let typed = if text.is_empty() { "an empty id".to_owned() } else { text::plain(text) };
    let id = text.parse().with_context(|| format!("{typed} names no change"));
    id.map_err(Failure::Usage)
}

/// Finds out that there is a log which can be read.
async fn open_at_place(database: &Database) -> Result<(), Failure> {
    Reader::open(database).await.map(drop).map_err(unanswered)
}

fn print_lines(lines: impl IntoIterator<Item = impl Display>) -> Result<(), Failure> {
    lines.into_iter().try_for_each(print::line)
}

fn print_json(items: &[impl Serialize]) -> Result<(), Failure> {
    for item in items {
        let text = serde_json::to_string(item).context("can't write it as JSON");
        print::line(text.map_err(Failure::NotCarriedOut)?)?;
    }
    Ok(())
}

/// Warns of a rule that no recorded policy has: nothing was ever held against it.
async fn warn_of_rule(reader: &Reader, name: &str) -> Result<(), Failure> {
    let texts = reader.policies().await.map_err(unanswered)?;
    let is_of = |rule: &Rule| rule.is_named(name);
    // A text does not tell whose deployments it was for.
    let has_it = |text: &String| {
        let mut policies = Provider::ALL.iter().filter_map(|provider| load(text, provider).ok());
        policies.any(|policy| policy.rules.iter().any(is_of))
    };
    if !texts.iter().any(has_it) {
        let name = text::plain(name);
        print::error_line(&format!(
            "warning: --rule: no policy on record has a rule {name}; its whole name is needed, \
             such as metadata.forbidden_keys"
        ));
    }
    Ok(())
}

/// Says that the log has no such change, and why where it was pruned.
pub(in crate::cli) async fn missing(reader: &Reader, id: ChangeId) -> Result<Failure, Failure> {
    let pruned = reader.pruned(id).await.map_err(unanswered)?;
    let why = pruned.map_or("`audit list` shows which it has".to_owned(), |span| span.to_string());
    Ok(Failure::NotHeld(anyhow!("the log has no change {id}: {why}")))
}

/// Says that a list goes on behind what was shown, where nobody takes it for a part of the list.
fn say_more(shown: usize, goes_on: bool) {
    if goes_on {
        print::error_line(&format!("{shown} shown, there are more: --all or --limit N"));
    }
}

/// Says that a list is empty; to a program an empty list says it.
fn say_nothing_found(nothing: bool, program: bool, sentence: &str) -> Result<(), Failure> {
    if nothing && !program { print::line(sentence) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
