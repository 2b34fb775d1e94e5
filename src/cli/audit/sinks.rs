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
use crate::cli::terminal::{cut, folded};

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

/// The headings of a list, of which no line has more than 80 columns.
const HEADINGS: [&str; 6] = ["SINK", "STATE", "BEHIND", "SENT", "DEAD", "NEXT TRY"];

/// The most columns of a name.
const NAME_WIDTH: usize = 22;

/// The columns of a line.
const WIDTH: usize = 80;

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
    let lines = Table::new(&HEADINGS).rows(sinks.iter().map(|sink| row(sink, now)));
    let mut lines = lines.into_iter();
    print_lines(lines.by_ref().take(1))?;
    for (line, sink) in lines.zip(&sinks) {
        print::line(line)?;
        print_lines(error_lines(sink))?;
    }
    say_nothing_found(sinks.is_empty(), false, "The log knows no sink: [[sink]] configures one.")
}

fn row(sink: &SinkStanding, now: Timestamp) -> [String; 6] {
    let behind = match sink.lag_seconds {
        Some(seconds) => format!("{} ({})", sink.lag_positions, span(seconds)),
        None => sink.lag_positions.to_string(),
    };
    let next_try = sink.next_at.map(|at| {
        let millis = u64::try_from(at.millis().saturating_sub(now.millis())).unwrap_or(0);
        format!("in {}", span(millis.div_ceil(1_000)))
    });
    [
        cut(&sink.name, NAME_WIDTH),
        sink.state.name().to_owned(),
        behind,
        sink.sent.to_string(),
        sink.dead_letters.to_string(),
        next_try.unwrap_or_default(),
    ]
}

/// When and why the last attempt failed that did, below the line of its sink.
fn error_lines(sink: &SinkStanding) -> Vec<String> {
    let Some((at, error)) = sink.error_at.zip(sink.error.as_deref()) else { return Vec::new() };
    folded(&format!("  {at} {}", plain(error)), WIDTH)
}

/// A time in its largest unit, as it is told to people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _days => format!("{} d", seconds / 86_400),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sinks::SinkCondition;

    #[test]
    fn a_list_of_sinks_fits_a_terminal() {
        let now = Timestamp::from_millis(1_781_427_491_123);
        let sink = SinkStanding {
            name: "a-sink-whose-name-is-as-long-as-one-may-be".to_owned(),
            state: SinkCondition::Disabled,
            next: 1,
            lag_positions: 123_456_789,
            lag_seconds: Some(7_000_000),
            sent: 1_234_567_890,
            sent_at: Some(now),
            attempts: 12,
            next_at: Some(now.plus(std::time::Duration::from_hours(24))),
            error: Some("the receiver said no, ".repeat(13)),
            error_at: Some(now),
            dead_letters: 12_345,
        };
        let mut lines = Table::new(&HEADINGS).rows(std::iter::once(row(&sink, now)));
        assert!(lines[1].ends_with("12345  in 24 h"), "{lines:?}");
        let errors = error_lines(&sink);
        assert!(errors.len() > 3 && errors[0].starts_with("  2026-06-14T08:58:11.123Z the "));
        lines.extend(errors);
        for line in lines {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert_eq!(["1 s", "2 min", "2 h", "3 d"], [1, 130, 7_200, 260_000].map(span));
    }
}
