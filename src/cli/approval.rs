//! `changegate approval`: what waits for somebody's approval, and the decision on it. Everything
//! goes by the admin API, where the token says who decides.

mod shown;

use anyhow::anyhow;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::client::{Client, ClientArgs};
use super::terminal::{Terminal, folded};
use super::{Environment, Failure, print, runtime};

/// The actions on approvals.
#[derive(Debug, clap::Subcommand)]
pub enum ApprovalCommand {
    /// Lists approvals and reviews of break-glass, newest first.
    List(ListArgs),
    /// Shows one approval: who asks, for what, and what became of it.
    Show(ShowArgs),
    /// Lets a change pass once; of break-glass: says that it was right.
    Approve(DecideArgs),
    /// Keeps a change from passing; of break-glass: says that it was not right.
    Reject(DecideArgs),
}

/// The arguments of `approval list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Standing so: open, approved, rejected, used, expired or void.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this kind: request, or `break_glass`.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Asked for by this person.
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Of this deployment.
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all",
        value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The arguments of `approval show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The approval, as `approval list` names it.
    #[arg(value_name = "APPROVAL")]
    id: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// The arguments of `approval approve` and `approval reject`.
#[derive(Debug, clap::Args)]
pub struct DecideArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The approval, as `approval list` names it.
    #[arg(value_name = "APPROVAL")]
    id: String,
    /// Why, in words.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How many are asked for at once.
const PAGE: u32 = 200;

/// Runs one of them.
pub fn run(command: &ApprovalCommand, environment: &Environment) -> Result<(), Failure> {
    runtime()?.block_on(async {
        match command {
            ApprovalCommand::List(arguments) => list(arguments, environment).await,
            ApprovalCommand::Show(arguments) => show(arguments, environment).await,
            ApprovalCommand::Approve(arguments) => decide(arguments, environment, "approve").await,
            ApprovalCommand::Reject(arguments) => decide(arguments, environment, "reject").await,
        }
    })
}

async fn list(arguments: &ListArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&arguments.client, environment)?;
    let filters = [
        ("state", &arguments.state),
        ("kind", &arguments.kind),
        ("person", &arguments.person),
        ("deployment_id", &arguments.deployment),
    ];
    let given = filters.iter().filter_map(|(key, value)| {
        let value = utf8_percent_encode(value.as_ref()?, NON_ALPHANUMERIC);
        Some(format!("&{key}={value}"))
    });
    let given: String = given.collect();
    let mut left = if arguments.all { u32::MAX } else { arguments.limit };
    let terminal = Terminal::found(environment);
    let mut list = shown::List::for_reader(terminal.map(|terminal| terminal.width));
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/approvals?limit={}{given}{cursor}", left.min(PAGE));
        let page = client.get(&path).await?;
        let data = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        left = left.saturating_sub(u32::try_from(data.len()).unwrap_or(u32::MAX));
        if arguments.json {
            data.iter().try_for_each(print::line)?;
        } else {
            list.lines(&data).into_iter().try_for_each(print::line)?;
        }
        let next = page.get("next_cursor").and_then(Value::as_str);
        let Some(next) = next.filter(|_next| left > 0) else { return Ok(()) };
        cursor = format!("&cursor={next}");
    }
}

async fn show(arguments: &ShowArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&arguments.client, environment)?;
    let found = client.get(&path(&arguments.id, "")?).await?;
    tell(&found, arguments.json, environment)
}

async fn decide(
    arguments: &DecideArgs,
    environment: &Environment,
    what: &str,
) -> Result<(), Failure> {
    let client = Client::of(&arguments.client, environment)?;
    let path = path(&arguments.id, &format!("/{what}"))?;
    let decided = client.post(&path, &json!({"reason": arguments.reason})).await?;
    if arguments.json {
        return print::line(&decided);
    }
    let state = decided.get("state").and_then(Value::as_str).unwrap_or_default();
    print::line(format_args!("{} is {state}", arguments.id))?;
    match decided.get("run_until").and_then(Value::as_str).filter(|_| state == "approved") {
        Some(until) => print::line(format_args!(
            "The same call passes once until {until}:\nwhoever asked has to send it again."
        )),
        None => Ok(()),
    }
}

/// The path of an approval, which must be named as one.
fn path(id: &str, below: &str) -> Result<String, Failure> {
    let known = id.parse::<crate::base::ids::ApprovalId>().map_err(|bad| {
        Failure::Usage(anyhow!("{id:?} is {bad}: `changegate approval list` names them"))
    })?;
    Ok(format!("/api/v1/approvals/{known}{below}"))
}

fn tell(approval: &Value, json: bool, environment: &Environment) -> Result<(), Failure> {
    if json {
        return print::line(approval);
    }
    let width = Terminal::found(environment).unwrap_or_default().width;
    let lines = shown::lines(approval);
    lines.iter().flat_map(|line| folded(line, width)).try_for_each(print::line)
}
