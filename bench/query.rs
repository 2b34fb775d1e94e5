//! How long the admin API's questions take on a log with many changes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use changegate::base::clock::Timestamp;
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

/// How long it may take until a log that was filled all at once is summed up.
const SUMMED_UP_WITHIN: Duration = Duration::from_mins(90);

/// The longest that reading one change may take, in milliseconds.
const READ_MILLIS: f64 = 5.0;

/// The longest that questions may take, in milliseconds, by the begin of their names: the first
/// that fits.
const MILLIS_MAX: [(&str, f64); 6] = [
    ("one change", READ_MILLIS),
    ("changes, q=surely-nowhere", 100.0),
    ("changes, ", 10.0),
    ("stats", 1_000.0),
    ("console: overview", 1_000.0),
    ("console: 1,000 changes", 200.0),
];

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
    summed_up(&mut client)?;
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
        if let Some((_begin, most)) = MILLIS_MAX.iter().find(|(begin, _)| name.starts_with(begin)) {
            goals.at_most(&format!("{name}, p99"), *most, nearest(&taken, 0.99), "ms");
        }
        table.row([name, rows.to_string(), shown(0.5), shown(0.99), taken.len().to_string()]);
    }
    table.print(markdown);
    goals.print(markdown);
    Ok(())
}

/// Waits until changes that came all at once are summed up, as those that come one by one are.
fn summed_up(client: &mut Client) -> anyhow::Result<()> {
    let until = now() + SUMMED_UP_WITHIN;
    note("waiting until the log is summed up");
    loop {
        let (_status, body) = client.ask("/metrics")?;
        let text = String::from_utf8_lossy(&body);
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|figure| figure.trim().parse::<f64>().ok())
        };
        let behind = figure("changegate_evidence_behind_seconds");
        let (status, _body) = client.ask("/api/v1/stats")?;
        if status == 200 && behind.is_none_or(|behind| behind < 2.0) {
            return Ok(());
        }
        ensure!(now() < until, "the log is not summed up in time");
        std::thread::sleep(Duration::from_secs(10));
    }
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
    let [oldest, middle, later, newest] = moments(client, &time)?;
    let then = format!("&since={middle}&until={later}");
    let revision = "path=/metadata/revision";
    let filters = [
        format!("deployment_id={id}"),
        "deployment_name=surely-nowhere".to_owned(),
        format!("actor={actor}"),
        "team=nobody".to_owned(),
        "operation=update".to_owned(),
        "operation=archive".to_owned(),
        "decision=deny".to_owned(),
        "outcome=applied".to_owned(),
        "outcome=denied".to_owned(),
        "effect=exact".to_owned(),
        "effect=other".to_owned(),
        format!("rule={rule}"),
        revision.to_owned(),
        "path=/schedule/timezone".to_owned(),
        "asked_path=/metadata/owner_override".to_owned(),
        format!("request_id={}", text("/request_id")),
        format!("since={newest}"),
        format!("until={oldest}"),
        format!("outcome=denied{then}"),
        format!("outcome=applied{then}"),
        format!("rule={rule}{then}"),
        format!("{revision}{then}"),
        format!("actor={actor}&deployment_id={id}&effect=exact{then}"),
        "q=revision".to_owned(),
        "q=surely-nowhere".to_owned(),
    ];
    let mut all = vec![
        ("the newest changes".to_owned(), "/api/v1/changes".to_owned()),
        ("1,000 changes".to_owned(), "/api/v1/changes?limit=1000".to_owned()),
    ];
    all.extend(filters.map(|filter| {
        let shown = filter.split('&').map(|asked| match asked.split_once('=') {
            Some((name, value)) if value.len() > 25 => format!("{name}=…"),
            _short => asked.to_owned(),
        });
        let shown = shown.collect::<Vec<_>>().join("&");
        (format!("changes, {shown}"), format!("/api/v1/changes?{filter}"))
    }));
    let year = format!("since={oldest}&until={newest}");
    let one = [
        ("one change", format!("/api/v1/changes/{}", text("/id"))),
        ("deployments", "/api/v1/deployments".to_owned()),
        ("history of one", format!("/api/v1/deployments/{id}/history")),
        ("one at a moment", format!("/api/v1/deployments/{id}/at?time={time}")),
        ("events", "/api/v1/events".to_owned()),
        ("drift", "/api/v1/drift".to_owned()),
        ("stats by decision", format!("/api/v1/stats?{year}")),
        ("stats by actor", format!("/api/v1/stats?by=actor&{year}")),
        ("stats by rule", format!("/api/v1/stats?by=rule&{year}")),
        ("console: overview", "/".to_owned()),
        ("console: 100 changes", "/changes".to_owned()),
        ("console: 1,000 changes", "/changes?limit=1000".to_owned()),
    ];
    all.extend(one.map(|(name, path)| (name.to_owned(), path)));
    Ok(all)
}

/// The begin of the log, nearly; its middle, and an hour later or less; and its end.
fn moments(client: &mut Client, newest: &str) -> anyhow::Result<[String; 4]> {
    let newest = Timestamp::parse(newest).context("a change was received at no time")?;
    let mut back = Duration::from_secs(1);
    loop {
        let until = newest.minus(back * 2);
        let page = ask(client, &format!("/api/v1/changes?limit=1&until={until}"))?;
        let is_empty = page.pointer("/data/0").is_none();
        ensure!(back < Duration::from_hours(100_000), "the log has no begin");
        if is_empty && page.get("has_more") == Some(&Value::Bool(false)) {
            break;
        }
        back *= 2;
    }
    let hour = Duration::from_hours(1).min(back / 10);
    let middle = newest.minus(back / 2);
    let moments = [newest.minus(back), middle, middle.plus(hour), newest];
    Ok(moments.map(|moment| moment.to_string()))
}
