//! How long the admin API's questions take on a log with many changes.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::document;
use super::figures::nearest;
use super::gateway::Client;
use super::load::now;
use super::log::{Source, ask, millis};
use super::table::{Goals, Table, note};

/// How often each question is asked, and for how long at most.
const TIMES: usize = 200;
const ASKED_FOR: Duration = Duration::from_secs(5);

/// The longest that reading one change may take, in milliseconds.
const READ_MILLIS: f64 = 5.0;

/// Measures questions to the log.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Query {
    #[command(flatten)]
    source: Source,
}

/// Asks every question.
pub(crate) fn run(arguments: &Query) -> anyhow::Result<()> {
    let markdown = arguments.source.common.markdown;
    let log = arguments.source.prepare()?;
    let gateway = log.setup.start(log.folder.path())?;
    let mut client = Client::new(gateway.admin)?;
    let questions = questions(&mut client)?;
    let mut table =
        Table::new("Questions to the log", &["question", "rows", "p50 ms", "p99 ms", "asked"]);
    let mut goals = Goals::new();
    for (name, path) in questions {
        note(&name);
        let (status, body) = client.ask(&path)?;
        if status != 200 {
            table.row([name, format!("status {status}")]);
            continue;
        }
        let rows = rows(&path, &body)?;
        let until = now() + ASKED_FOR;
        let asked = (0..TIMES).take_while(|_| now() < until).map(|_| path.clone());
        let taken = millis(&mut client, asked)?;
        let shown = |share| nearest(&taken, share).map_or_else(String::new, |t| format!("{t:.2}"));
        if name == "one change" {
            goals.at_most("one change, p99", READ_MILLIS, nearest(&taken, 0.99), "ms");
        }
        table.row([name, rows.to_string(), shown(0.5), shown(0.99), taken.len().to_string()]);
    }
    table.print(markdown);
    goals.print(markdown);
    Ok(())
}

/// How many rows an answer has: of the API as JSON, of the console as rows of a table.
fn rows(path: &str, body: &[u8]) -> anyhow::Result<usize> {
    if !path.starts_with("/api/") {
        let page = std::str::from_utf8(body).context("a page is no text")?;
        return Ok(page.matches("<tr class=\"item\"").count());
    }
    let answer: Value = serde_json::from_slice(body).context("an answer is not JSON")?;
    Ok(answer.get("data").and_then(Value::as_array).map_or(1, Vec::len))
}

/// Every question, by its name and its path. What it asks for is in the log, but for what says
/// that it is not.
fn questions(client: &mut Client) -> anyhow::Result<Vec<(String, String)>> {
    let id = document::id(1);
    let page = ask(client, &format!("/api/v1/changes?deployment_id={id}&decision=allow"))?;
    let change = page.pointer("/data/0").context("the log has no change of this deployment")?;
    let text = |path: &str| {
        let text = change.pointer(path).and_then(Value::as_str).unwrap_or_default();
        text.to_owned()
    };
    let page = ask(client, "/api/v1/changes?decision=deny&limit=1")?;
    let rule = page.pointer("/data/0/violations/0/rule").and_then(Value::as_str);
    let rule = rule.unwrap_or("none").to_owned();
    let (time, actor) = (text("/received_at"), text("/actor/fingerprint"));
    let filters = [
        ("deployment_id", id.clone()),
        ("actor", actor),
        ("team", "nobody".to_owned()),
        ("operation", "update".to_owned()),
        ("decision", "deny".to_owned()),
        ("outcome", "applied".to_owned()),
        ("outcome", "denied".to_owned()),
        ("rule", rule),
        ("path", "/metadata/revision".to_owned()),
        ("path", "/schedule/timezone".to_owned()),
        ("request_id", text("/request_id")),
        ("since", time.clone()),
        ("until", time.clone()),
        ("q", "revision".to_owned()),
        ("q", "surely-nowhere".to_owned()),
    ];
    let mut all = vec![
        ("the newest changes".to_owned(), "/api/v1/changes".to_owned()),
        ("1,000 changes".to_owned(), "/api/v1/changes?limit=1000".to_owned()),
    ];
    all.extend(filters.map(|(name, value)| {
        let question = format!("/api/v1/changes?{name}={value}");
        let shown = if value.len() < 20 { value } else { "…".to_owned() };
        (format!("changes, {name}={shown}"), question)
    }));
    let one = [
        ("one change", format!("/api/v1/changes/{}", text("/id"))),
        ("deployments", "/api/v1/deployments".to_owned()),
        ("history of one", format!("/api/v1/deployments/{id}/history")),
        ("one at a moment", format!("/api/v1/deployments/{id}/at?time={time}")),
        ("events", "/api/v1/events".to_owned()),
        ("drift", "/api/v1/drift".to_owned()),
        ("stats", "/api/v1/stats".to_owned()),
        ("console: overview", "/".to_owned()),
        ("console: 100 changes", "/changes".to_owned()),
        ("console: 1,000 changes", "/changes?limit=1000".to_owned()),
    ];
    all.extend(one.map(|(name, path)| (name.to_owned(), path)));
    Ok(all)
}
