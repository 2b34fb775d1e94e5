//! `changegate demo`: a short story that a newcomer can watch, on loopback and on made-up data.

mod client;
mod past;
mod stage;

use std::fmt::Display;
use std::io::{IsTerminal as _, stderr};

use anyhow::anyhow;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use self::client::{Answer, Client};
use self::stage::Stage;
use super::audit::{change_lines, print_changes};
use super::terminal::{Terminal, folded, short_id, wrapped};
use super::{Environment, Failure, print, serve};
use crate::audit::query::{Filter, PageRequest, Reader};
use crate::base::verbosity::Verbosity;
use crate::simulator::DEPLOYMENT_ID;
use crate::telemetry::{self, Form};

/// The person in the story.
const ALICE: &str = "pt-demo-alice";

/// The one who approves in the story, by an admin token.
const BOB: &str = "demo-bob";

/// The script in the story that does not wait.
const SCRIPT: &str = "pt-demo-nightly-script";

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the story in place of staying up.
    #[arg(long)]
    exit: bool,
}

/// Plays the story; then stays up, so that it can be gone on with by hand, until SIGINT.
pub fn run(arguments: &DemoArgs, environment: &Environment) -> Result<(), Failure> {
    // It is told to people, wherever standard error leads to.
    let colour = stderr().is_terminal() && environment.has_colours();
    let terminal = Terminal::found(environment).unwrap_or_default();
    serve::carry_out(async {
        let mut signals = serve::Signals::new()?;
        let stage = Stage::set().await?;
        // Of the week before, which is made up, no line is told.
        telemetry::init(Form::People { colour }, &Verbosity::from_level(LevelFilter::WARN));
        let mut told = tell(&stage, terminal, arguments.exit).await;
        if told.is_ok() && !arguments.exit {
            told = serve::stay(&stage.server, &mut signals).await;
        }
        stage.clear().await;
        told
    })
}

async fn tell(stage: &Stage, terminal: Terminal, exit: bool) -> Result<(), Failure> {
    introduce(stage)?;
    let proxy = stage.server.proxy_address().tcp();
    let no_port = || Failure::NotCarriedOut(anyhow!("the demo's gateway has no port"));
    let client = Client::new(proxy.ok_or_else(no_port)?);
    allowed(stage, &client, terminal).await?;
    refused_zone(&client, terminal).await?;
    refused_key(&client, terminal).await?;
    approved(stage, &client, terminal).await?;
    limited(&client).await?;
    look_back(stage, terminal).await?;
    if !exit {
        go_on(stage)?;
    }
    Ok(())
}

fn introduce(stage: &Stage) -> Result<(), Failure> {
    say("Changegate demo: three servers in this process, on loopback, with made-up data.")?;
    say("")?;
    say(format_args!("  upstream  http://{}  simulated", stage.simulator.address()))?;
    say(format_args!("  gateway   http://{}  clients' base URL", stage.server.proxy_address()))?;
    say(format_args!("  admin     http://{}  the record", stage.server.admin_address()))?;
    say(format_args!("  console   http://{}/  token: {BOB}", stage.server.admin_address()))?;
    say("")?;
    say("The policy: schedules run in Asia/Shanghai or UTC, and nobody sets the metadata")?;
    say("keys owner_override and secret_*. More than 4 runs a day need an approval. Each")?;
    say("token may make 5 writes a second, 10 at once.")
}

async fn allowed(stage: &Stage, client: &Client, terminal: Terminal) -> Result<(), Failure> {
    heading(1, "Alice updates a deployment, within the policy")?;
    let schedule =
        json!({"type": "cron", "expression": "30 9 * * 1-5", "timezone": "Asia/Shanghai"});
    let patch = json!({"name": "daily-report-v2", "schedule": schedule});
    let answer = update(client, ALICE, &patch, terminal).await?;
    say("")?;
    let id = answer.change.ok_or_else(|| unexpected("the update was not recorded"))?;
    let change = reader(stage).await?.change(id).await.map_err(not_read)?;
    let change = change.ok_or_else(|| unexpected("the update's record can't be found"))?;
    let lines = change_lines(&change);
    let lines = lines.iter().flat_map(|line| folded(line, terminal.width.saturating_sub(4)));
    lines.map(|line| format!("    {line}")).try_for_each(|line| say(line.trim_end()))
}

async fn refused_zone(client: &Client, terminal: Terminal) -> Result<(), Failure> {
    heading(2, "Alice moves the schedule to a time zone that is not allowed")?;
    let schedule =
        json!({"type": "cron", "expression": "30 9 * * 1-5", "timezone": "America/New_York"});
    update(client, ALICE, &json!({"schedule": schedule}), terminal).await?;
    say("    Nothing was forwarded.")
}

async fn refused_key(client: &Client, terminal: Terminal) -> Result<(), Failure> {
    heading(3, "Alice sets a forbidden metadata key, spelled another way")?;
    let patch = json!({"metadata": {"Owner_Override": "alice"}});
    update(client, ALICE, &patch, terminal).await?;
    say("    Nothing was forwarded.")
}

async fn approved(stage: &Stage, client: &Client, terminal: Terminal) -> Result<(), Failure> {
    heading(4, "Alice wants hourly runs, which a rule in CEL lets pass once approved")?;
    let schedule = json!({"type": "cron", "expression": "0 * * * *", "timezone": "Asia/Shanghai"});
    let patch = json!({"schedule": schedule});
    let asked = update(client, ALICE, &patch, terminal).await?;
    let id = asked.approval.ok_or_else(|| unexpected("no approval was asked for"))?;
    let admin = stage.server.admin_address().tcp();
    let no_port = || Failure::NotCarriedOut(anyhow!("the demo's admin API has no port"));
    let bob = Client::new(admin.ok_or_else(no_port)?);
    say("")?;
    say("    Bob looks at what would change, and approves it on the admin API.")?;
    let path = format!("/api/v1/approvals/{id}/approve");
    let reason = json!({"reason": "the new report needs it"});
    let decided = bob.post(&path, BOB, &reason).await.map_err(Failure::NotCarriedOut)?;
    say(format_args!("    POST /approvals/{} -> {}", short_id(&id), decided.status))?;
    say("")?;
    say("    Alice sends the same call again. It passes, once.")?;
    let passed = update(client, ALICE, &patch, terminal).await?;
    if passed.status != 200 {
        return Err(unexpected(format_args!("what was approved was answered {}", passed.status)));
    }
    let change = passed.change.ok_or_else(|| unexpected("the update was not recorded"))?;
    let change = reader(stage).await?.change(change).await.map_err(not_read)?;
    let approval = change.and_then(|change| change.approval);
    let approval = approval.ok_or_else(|| unexpected("the record names no approval"))?;
    let by = approval.decided.map(|decided| format!("{}: {}", decided.by, decided.reason));
    let told = format!(
        "On record: asked by {}, approved by {}",
        approval.asked_by,
        by.unwrap_or_default()
    );
    say_wrapped(&told, terminal)
}

async fn limited(client: &Client) -> Result<(), Failure> {
    heading(5, "A script sends 15 updates at once")?;
    let calls = (1..=15).map(|n| {
        let client = client.clone();
        let patch = json!({"description": format!("run {n}")});
        async move { client.update(SCRIPT, &patch).await }
    });
    let mut taken = 0;
    let mut wait = None;
    for answer in client::all(calls).await.map_err(Failure::NotCarriedOut)? {
        match answer.status {
            200 => taken += 1,
            429 => wait = answer.retry_after.or(wait),
            other => return Err(unexpected(format!("an update was answered {other}"))),
        }
    }
    say(format_args!("    {taken} were answered 200, {} were answered 429.", 15 - taken))?;
    if let Some(seconds) = wait {
        say(format_args!("    retry-after: {seconds}"))?;
    }
    say("    The latter were not forwarded; they are counted, not recorded one by one.")
}

async fn look_back(stage: &Stage, terminal: Terminal) -> Result<(), Failure> {
    say("")?;
    say("What was recorded, newest first")?;
    say("")?;
    let page = PageRequest { limit: 100, cursor: None };
    let reader = reader(stage).await?;
    let filter = Filter { since: Some(stage.begun_at), ..Filter::default() };
    let found = reader.changes(&filter, page, false).await.map_err(not_read)?;
    print_changes(&reader, &found.data, terminal).await
}

fn go_on(stage: &Stage) -> Result<(), Failure> {
    let program = stage::program();
    let config = stage.config.display();
    let (proxy, admin) = (stage.server.proxy_address(), stage.server.admin_address());
    say("")?;
    say("Look at it in a browser, with a made-up week before the story")?;
    say("")?;
    say(format_args!("    http://{admin}/  (the admin token is {BOB})"))?;
    say("")?;
    say("Look further, in another terminal")?;
    say("")?;
    say(format_args!("    {program} audit history {DEPLOYMENT_ID} --config {config}"))?;
    say(format_args!("    {program} audit list --decision deny --config {config}"))?;
    say(format_args!("    export CHANGEGATE_ADMIN_TOKEN={BOB}"))?;
    say(format_args!("    {program} approval list --admin http://{admin}"))?;
    say(format_args!("    curl -H 'Authorization: Bearer {BOB}' http://{admin}/api/v1/changes"))?;
    say("")?;
    say("Make a change of your own (any token that starts with pt- will do)")?;
    say("")?;
    say(format_args!(
        "    curl -i http://{proxy}/api/v1/cloud/deployments/{DEPLOYMENT_ID} \\\n      \
         -H 'Authorization: Bearer pt-me' -H 'Content-Type: application/json' \\\n      \
         -d '{{\"description\": \"changed by hand\"}}'"
    ))?;
    say("")?;
    say(format_args!("The policy is {}: edit it, and it is in force.", stage.policy.display()))?;
    say("Ctrl-C ends the demo and removes its files.")
}

/// Sends an update and prints the call and its answer.
async fn update(
    client: &Client,
    token: &str,
    patch: &Value,
    terminal: Terminal,
) -> Result<Answer, Failure> {
    say(format_args!("    POST /deployments/{DEPLOYMENT_ID}"))?;
    say_wrapped(&patch.to_string(), terminal)?;
    let answer = client.update(token, patch).await.map_err(Failure::NotCarriedOut)?;
    let decision = answer.decision.as_deref().unwrap_or("none");
    say(format_args!("    -> {}, decision: {decision}", answer.status))?;
    if let Some(message) = &answer.message {
        say_wrapped(message, terminal)?;
    }
    Ok(answer)
}

async fn reader(stage: &Stage) -> Result<Reader, Failure> {
    Reader::open(&stage.database).await.map_err(not_read)
}

fn heading(number: u8, title: &str) -> Result<(), Failure> {
    say(format_args!("\n{number}/5  {title}\n"))
}

fn say(text: impl Display) -> Result<(), Failure> {
    print::line(text)
}

/// Prints an indented text on as many lines as it takes.
fn say_wrapped(text: &str, terminal: Terminal) -> Result<(), Failure> {
    let lines = wrapped(text, terminal.width.saturating_sub(6)).into_iter().zip(0..);
    let indented =
        |(line, number)| format!("{}{line}", if number == 0 { "    " } else { "      " });
    lines.map(indented).try_for_each(say)
}

fn not_read(error: crate::audit::query::QueryError) -> Failure {
    Failure::NotCarriedOut(error.into())
}

fn unexpected(what: impl Display) -> Failure {
    Failure::NotCarriedOut(anyhow!("the demo went otherwise than told: {what}"))
}
