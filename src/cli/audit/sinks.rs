//! `changegate audit sinks`: how sinks stand, by the log itself; what is wanted of them goes by the
//! admin API of the gateway that sends.

use anyhow::anyhow;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::client::{Client, ClientArgs};
use super::super::log::LogFile;
use super::table::Table;
use super::text::plain;
use super::{Environment, Failure, open, print_json, print_lines, say_nothing_found, unanswered};
use crate::audit::sinks::{DeadLetter, SinkStanding};
use crate::base::clock::Timestamp;
use crate::cli::print;

/// The arguments of `audit sinks`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SinksArgs {
    #[command(subcommand)]
    what: Option<SinksCommand>,
    #[command(flatten)]
    list: ListArgs,
}

/// What is wanted of a sink.
#[derive(Debug, clap::Subcommand)]
enum SinksCommand {
    /// Lists sinks: how far each is behind, and how its last attempts went.
    List(ListArgs),
    /// Sends a message of kind `sink.test`, and says what came of it.
    Test(OrderArgs),
    /// Sends every record from a position on once more.
    Replay(ReplayArgs),
    /// Has a sink that waits, or that its receiver disabled, go on at once.
    Resume(OrderArgs),
    /// Lists the newest records that a sink refused for themselves.
    Dead(DeadArgs),
}

/// The arguments of `audit sinks list`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    file: LogFile,
    /// Print each as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The arguments of `audit sinks dead`.
#[derive(Debug, clap::Args)]
struct DeadArgs {
    /// The sink.
    name: String,
    #[command(flatten)]
    list: ListArgs,
}

/// The arguments of `audit sinks test` and `audit sinks resume`.
#[derive(Debug, clap::Args)]
struct OrderArgs {
    /// The sink.
    name: String,
    #[command(flatten)]
    client: ClientArgs,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// The arguments of `audit sinks replay`.
#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The position of the first record that is sent once more.
    #[arg(long, value_name = "POSITION")]
    from: u64,
    #[command(flatten)]
    order: OrderArgs,
}

/// The headings of a list.
const HEADINGS: [&str; 7] = ["SINK", "STATE", "BEHIND", "SENT", "DEAD", "NEXT TRY", "LAST ERROR"];

/// Runs one of them.
pub(super) async fn run(
    arguments: &SinksArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    match &arguments.what {
        None => list(&arguments.list, environment, now).await,
        Some(SinksCommand::List(arguments)) => list(arguments, environment, now).await,
        Some(SinksCommand::Dead(arguments)) => dead(arguments, environment).await,
        Some(SinksCommand::Test(arguments)) => test(arguments, environment).await,
        Some(SinksCommand::Resume(arguments)) => {
            order(arguments, environment, "resume", &json!({})).await
        }
        Some(SinksCommand::Replay(arguments)) => {
            let body = json!({ "from": arguments.from });
            order(&arguments.order, environment, "replay", &body).await
        }
    }
}

async fn list(
    arguments: &ListArgs,
    environment: &Environment,
    now: Timestamp,
) -> Result<(), Failure> {
    let reader = open(&arguments.file, environment).await?;
    let sinks = reader.sinks(now).await.map_err(unanswered)?;
    if arguments.json {
        return print_json(&sinks);
    }
    print_lines(Table::new(&HEADINGS).rows(sinks.iter().map(row)))?;
    say_nothing_found(sinks.is_empty(), false, "The log knows no sink: [[sink]] configures one.")
}

fn row(sink: &SinkStanding) -> [String; 7] {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let behind = match sink.lag_seconds {
        Some(seconds) => format!("{} ({seconds} s)", sink.lag_positions),
        None => sink.lag_positions.to_string(),
    };
    let error = sink.error.as_deref().map(plain).unwrap_or_default();
    let error = sink.error_at.map(|at| format!("{at} {error}")).unwrap_or_default();
    [
        sink.name.clone(),
        sink.state.name().to_owned(),
        behind,
        sink.sent.to_string(),
        sink.dead_letters.to_string(),
        time(sink.next_at),
        error,
    ]
}

async fn dead(arguments: &DeadArgs, environment: &Environment) -> Result<(), Failure> {
    let reader = open(&arguments.list.file, environment).await?;
    let known = reader.sink_state(&arguments.name).await.map_err(unanswered)?;
    known.ok_or_else(|| {
        Failure::NotHeld(anyhow!(
            "the log knows no sink {}: `audit sinks` lists them",
            plain(&arguments.name)
        ))
    })?;
    let letters = reader.dead_letters(&arguments.name).await.map_err(unanswered)?;
    if arguments.list.json {
        return print_json(&letters);
    }
    let row = |letter: &DeadLetter| {
        [letter.position.to_string(), letter.at.to_string(), plain(&letter.reason)]
    };
    print_lines(Table::new(&["POSITION", "AT", "REASON"]).rows(letters.iter().map(row)))?;
    say_nothing_found(letters.is_empty(), false, "The sink refused no record.")
}

async fn test(arguments: &OrderArgs, environment: &Environment) -> Result<(), Failure> {
    let told = sent(arguments, environment, "test", &json!({})).await?;
    if arguments.json {
        print::line(&told)?;
    }
    if told.get("taken").and_then(Value::as_bool) == Some(true) {
        let is_told = arguments.json;
        let told = || print::line(format_args!("{} took the message", arguments.name));
        return if is_told { Ok(()) } else { told() };
    }
    let error = told.get("error").and_then(Value::as_str).unwrap_or_default();
    let (name, error) = (plain(&arguments.name), plain(error));
    Err(Failure::NotHeld(anyhow!("{name} did not take the message: {error}")))
}

async fn order(
    arguments: &OrderArgs,
    environment: &Environment,
    what: &str,
    body: &Value,
) -> Result<(), Failure> {
    let told = sent(arguments, environment, what, body).await?;
    if arguments.json {
        return print::line(&told);
    }
    let next = told.get("next").and_then(Value::as_u64).unwrap_or_default();
    print::line(format_args!("{} goes on at position {next}", arguments.name))
}

async fn sent(
    arguments: &OrderArgs,
    environment: &Environment,
    what: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let client = Client::of(&arguments.client, environment)?;
    let name = utf8_percent_encode(&arguments.name, NON_ALPHANUMERIC);
    client.post(&format!("/api/v1/sinks/{name}/{what}"), body).await
}
