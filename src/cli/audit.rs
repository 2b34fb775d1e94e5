//! `changegate audit`: who changed which deployment, from what to what. Reads the log beside a
//! running gateway, or without one.

mod pages;
mod render;
mod table;
mod text;

use std::fmt::Display;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use self::pages::Wanted;
use self::table::Table;
use super::{ConfigFile, Environment, Failure, load_config, print};
use crate::admin::filter::{self, BadFilter};
use crate::audit::query::{Filter, QueryError, Reader};
use crate::audit::record::Change;
use crate::base::clock::{Clock, Timestamp};

/// The questions that can be asked of the log.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Lists changes, or events, newest first.
    List(Box<ListArgs>),
    /// Shows one change whole, with its difference.
    Show(ShowArgs),
    /// Tells what became of one deployment, newest first.
    History(HistoryArgs),
}

/// The arguments of `audit list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Only of this deployment.
    #[arg(long, value_name = "ID")]
    deployment_id: Option<String>,
    /// Only by this actor: a fingerprint (`pat_…`) or a name.
    #[arg(long)]
    actor: Option<String>,
    /// Only by this team.
    #[arg(long)]
    team: Option<String>,
    /// Only of this operation: create, update, archive, pause, unpause or run.
    #[arg(long)]
    operation: Option<String>,
    /// Only so decided: allow, warn, deny or refuse.
    #[arg(long)]
    decision: Option<String>,
    /// Only so ended: pending, applied, denied, refused, rejected, failed or unknown.
    #[arg(long)]
    outcome: Option<String>,
    /// Only what breaks this rule.
    #[arg(long)]
    rule: Option<String>,
    /// Only what changed this place or one below it, such as `/schedule`.
    #[arg(long, value_name = "POINTER")]
    path: Option<String>,
    /// Only of this request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only what has this text in ids, names, user agent, messages or changed paths.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    #[command(flatten)]
    part: PartArgs,
    /// Include what was sent, the deployment before and after, and the difference.
    #[arg(long)]
    full: bool,
    /// List what is not a governed call instead: other writes, reloads, settlements.
    #[arg(long, conflicts_with_all = [
        "deployment_id", "actor", "team", "operation", "decision", "outcome", "rule", "path",
        "request_id", "q", "full",
    ])]
    events: bool,
}

/// Which part of a list, and how it is printed.
#[derive(Debug, clap::Args)]
struct PartArgs {
    /// Only at or after: a time (RFC 3339), a date, or how long ago, such as 24h or 7d.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before: as for --since.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print each as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The arguments of `audit show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The change, `chg_…`.
    id: String,
    #[command(flatten)]
    file: ConfigFile,
    /// Print it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The arguments of `audit history`.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The deployment.
    deployment_id: String,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    part: PartArgs,
    /// With --json: include what was sent, and the deployment before and after.
    #[arg(long)]
    full: bool,
}

/// A whole change as people read it.
pub(super) fn change_lines(change: &Change) -> Vec<String> {
    render::change(change)
}

/// Changes as a table that people read.
pub(super) fn change_table(changes: &[Change]) -> Vec<String> {
    Table::new(&render::CHANGE_HEADINGS).rows(changes.iter().map(render::change_row))
}

/// Runs one of them.
pub fn run(command: &AuditCommand, environment: &Environment) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("can't start").map_err(Failure::NotCarriedOut)?;
    let now = Clock::System.now();
    runtime.block_on(async {
        match command {
            AuditCommand::List(arguments) if arguments.events => {
                events(arguments, environment, now).await
            }
            AuditCommand::List(arguments) => list(arguments, environment, now).await,
            AuditCommand::Show(arguments) => show(arguments, environment).await,
            AuditCommand::History(arguments) => history(arguments, environment, now).await,
        }
    })
}

async fn list(
    arguments: &ListArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let filter = filter::filter(|name| arguments.given(name), now).map_err(bad_option)?;
    let reader = open(&arguments.file, environment).await?;
    let mut table = Table::new(&render::CHANGE_HEADINGS);
    let mut wanted = arguments.part.wanted();
    let mut none_yet = true;
    while let Some(page) = wanted.next_changes(&reader, &filter, arguments.full).await? {
        if arguments.part.json {
            print_json(&page)?;
        } else if arguments.full {
            for change in &page {
                print_lines(render::change(change))?;
                print::line("")?;
            }
        } else {
            print_lines(table.rows(page.iter().map(render::change_row)))?;
        }
        none_yet &= page.is_empty();
    }
    let nothing = if filter == Filter::default() {
        "No change is recorded yet."
    } else {
        "No recorded change matches these filters."
    };
    say_nothing_found(none_yet, arguments.part.json, nothing)
}

async fn events(
    arguments: &ListArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let span = filter::span(|name| arguments.given(name), now).map_err(bad_option)?;
    let reader = open(&arguments.file, environment).await?;
    let mut table = Table::new(&render::EVENT_HEADINGS);
    let mut wanted = arguments.part.wanted();
    let mut none_yet = true;
    while let Some(page) = wanted.next_events(&reader, span).await? {
        if arguments.part.json {
            print_json(&page)?;
        } else {
            print_lines(table.rows(page.iter().map(render::event_row)))?;
        }
        none_yet &= page.is_empty();
    }
    say_nothing_found(none_yet, arguments.part.json, "No such event is recorded.")
}

async fn show(arguments: &ShowArgs, environment: &Environment) -> Result<(), Failure> {
    let id = arguments.id.parse();
    let id = id.with_context(|| format!("{} names no change", text::plain(&arguments.id)));
    let id = id.map_err(Failure::Usage)?;
    let reader = open(&arguments.file, environment).await?;
    let found = reader.change(id).await.map_err(unanswered)?;
    let change = found.ok_or_else(|| {
        Failure::NotHeld(anyhow!("the log has no change {id}: `audit list` shows which it has"))
    })?;
    if arguments.json { print_json(&[change]) } else { print_lines(render::change(&change)) }
}

async fn history(
    arguments: &HistoryArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = &arguments.deployment_id;
    let (since, until) =
        filter::span(|name| arguments.part.given(name), now).map_err(bad_option)?;
    let filter = Filter { deployment_id: Some(id.clone()), since, until, ..Filter::default() };
    let reader = open(&arguments.file, environment).await?;
    let mut wanted = arguments.part.wanted();
    let mut none_yet = true;
    let bodies = arguments.full || !arguments.part.json;
    while let Some(page) = wanted.next_changes(&reader, &filter, bodies).await? {
        none_yet &= page.is_empty();
        if arguments.part.json {
            print_json(&page)?;
        } else {
            for change in &page {
                print_lines(render::step(change))?;
            }
        }
    }
    if none_yet && since.is_none() && until.is_none() {
        let id = text::plain(id);
        return Err(Failure::NotHeld(anyhow!("no change of {id} is recorded: look for its id")));
    }
    let nothing = "No change of this deployment is recorded in this time.";
    say_nothing_found(none_yet, arguments.part.json, nothing)
}

impl ListArgs {
    fn given(&self, name: &str) -> Option<&str> {
        let text = match name {
            "deployment_id" => &self.deployment_id,
            "actor" => &self.actor,
            "team" => &self.team,
            "operation" => &self.operation,
            "decision" => &self.decision,
            "outcome" => &self.outcome,
            "rule" => &self.rule,
            "path" => &self.path,
            "request_id" => &self.request_id,
            "q" => &self.q,
            _ => return self.part.given(name),
        };
        text.as_deref()
    }
}

impl PartArgs {
    fn given(&self, name: &str) -> Option<&str> {
        match name {
            "since" => self.since.as_deref(),
            "until" => self.until.as_deref(),
            _ => None,
        }
    }

    fn wanted(&self) -> Wanted {
        Wanted::new(if self.all { None } else { Some(self.limit) })
    }
}

async fn open(file: &ConfigFile, environment: &Environment) -> Result<Reader, Failure> {
    let config = load_config(file.path(environment), environment)?;
    Reader::open(&config.audit.database).await.map_err(unanswered)
}

fn unanswered(error: QueryError) -> Failure {
    Failure::NotCarriedOut(error.into())
}

fn bad_option(bad: BadFilter) -> Failure {
    Failure::Usage(anyhow!("--{}: {}", bad.param.replace('_', "-"), bad.fix))
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

/// Says that a list is empty; to a program an empty list says it.
fn say_nothing_found(nothing: bool, json: bool, sentence: &str) -> Result<(), Failure> {
    if nothing && !json { print::line(sentence) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
