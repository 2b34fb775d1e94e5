//! The overview: what changed, what was denied and why, what drifted, and what waits.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;

use super::changes::{self, rows};
use super::deployments::values;
use super::frame::{self, Tab};
use super::log::ago;
use super::text::{cut, exact, grouped};
use super::words::chip;
use super::{approvals, chart, drift};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked};
use crate::audit::Health;
use crate::audit::approval::{ApprovalFilter, ApprovalState};
use crate::audit::query::{CountedBy, Counting, Counts, EventFilter, Filter, PageRequest, Step};
use crate::base::clock::Timestamp;

/// How many changes, approvals and drifts it shows.
const NEWEST: u16 = 10;
const WAITING: u16 = 5;
const DRIFTS: u16 = 5;

/// How many values a ranking has.
const RANKED: u16 = 6;

/// The times that are counted: hours, days, and what is ranked.
const HOURS: Duration = Duration::from_hours(48);
const DAYS: Duration = Duration::from_hours(30 * 24);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// The counts that are shown.
struct Counted {
    hours: Counts,
    days: Counts,
    rules: Counts,
    actors: Counts,
    deployments: Counts,
    /// The names of these deployments, where they are known and may be.
    names: Vec<Option<String>>,
}

/// The lists that are shown.
struct Listed {
    waiting: Vec<Value>,
    /// The names of the deployments that wait.
    names: Vec<Option<String>>,
    drifts: Vec<Value>,
    /// The names of the deployments that drifted.
    drifted: Vec<Option<String>>,
    newest: changes::Rows,
}

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let counted = counted(&api, &asker).await?;
    let listed = Box::pin(listed(&api, &asker)).await?;
    let body = html! {
        div.head {
            h1 { "Overview" }
            p.dim { "As of " (exact(&api.state.clock.now().to_string())) }
        }
        (condition(&api))
        @if listed.newest.changes.is_empty() { (nothing()) } @else {
            (tiles(&api, &counted, &listed))
            div.charts {
                (chart::by_decision("hours", "Last 48 hours, by the hour", &counted.hours))
                (chart::by_decision("days", "Last 30 days, by the day", &counted.days))
            }
            (rankings(&counted))
            (lists(&listed))
            section aria-labelledby="newest" {
                div.head { h2 #newest { "Newest changes" } a href="/changes" { "All changes" } }
                (changes::table(&listed.newest))
            }
        }
    };
    frame::page(&api, &asker, (Tab::Overview, "Overview"), &body)
}

async fn counted(api: &Api, asker: &Asker) -> Result<Counted, Problem> {
    let now = api.state.clock.now();
    let count = async |by, step, back, values| {
        let counting = Counting::new(by, step, (now.minus(back), now), values);
        let counting = counting.map_err(|bad| Problem::invalid("since", bad.to_string()))?;
        api.counts(asker, &counting).await
    };
    let deployments = count(CountedBy::Deployment, Step::Day, WEEK, RANKED).await?;
    let ids: Vec<String> = deployments.values.iter().map(|count| count.value.clone()).collect();
    Ok(Counted {
        hours: count(CountedBy::Decision, Step::Hour, HOURS, RANKED).await?,
        days: count(CountedBy::Decision, Step::Day, DAYS, RANKED).await?,
        rules: count(CountedBy::Rule, Step::Day, WEEK, RANKED).await?,
        actors: count(CountedBy::Actor, Step::Day, WEEK, RANKED).await?,
        deployments,
        names: changes::names_of(api, asker, &ids).await?,
    })
}

async fn listed(api: &Api, asker: &Asker) -> Result<Listed, Problem> {
    let part = |limit| PageRequest { limit, cursor: None };
    let open = ApprovalFilter { state: Some(ApprovalState::Open), ..ApprovalFilter::default() };
    let waiting = values(&api.seen_approvals(asker, &open, part(WAITING)).await?)?;
    let names = approvals::names(api, asker, &waiting).await?;
    let week = Some(api.state.clock.now().minus(WEEK));
    let lately = EventFilter { since: week, ..EventFilter::default() };
    let drifts = values(&api.seen_drifts(asker, lately, part(DRIFTS)).await?)?;
    let drifted = drift::names(api, asker, &drifts).await?;
    let page = api.seen_changes(asker, Filter::default(), part(NEWEST)).await?;
    Ok(Listed { waiting, names, drifts, drifted, newest: rows(api, asker, page).await? })
}

/// A warning of the log's faults, where it has any.
fn condition(api: &Api) -> Markup {
    let refused = (api.state.refused_config)().is_some();
    html! {
        @if let Health::Failing(reason) = api.state.audit.health() {
            p.alarm role="alert" {
                (chip("bad", "The log can't be written")) " " (cut(&reason, 300))
            }
        }
        @if refused {
            p.alarm role="alert" {
                (chip("warn", "The configuration on disk is refused"))
                " The former one is in force: "
                a href="/log" { "see why" } "."
            }
        }
    }
}

fn nothing() -> Markup {
    html! {
        div.empty {
            h2 { "No change is recorded yet" }
            p { "Point a client's base URL at the gateway's proxy address and update a deployment: \
                it stands here at once, with what it changed and what the policy said." }
        }
    }
}

/// The sums of the last seven days.
fn tiles(api: &Api, counted: &Counted, listed: &Listed) -> Markup {
    let since = counted.rules.since;
    let of = |name: &str| grouped(sum(&counted.days, since, Some(name)));
    let more = |count: usize, most: u16| {
        format!("{count}{}", if count >= usize::from(most) { "+" } else { "" })
    };
    let all = [
        (
            "/changes?since=7d",
            "plain",
            grouped(sum(&counted.days, since, None)),
            "changes in 7 days",
        ),
        ("/changes?since=7d&decision=deny", "bad", of("deny"), "denied"),
        ("/changes?since=7d&decision=warn", "warn", of("warn"), "passed with a warning"),
        ("/approvals", "open", more(listed.waiting.len(), WAITING), "wait for approval"),
        ("/drift", "warn", more(listed.drifts.len(), DRIFTS), "changed around the gateway"),
    ];
    html! { ul.tiles {
        @for (target, tone, number, told) in &all { (tile(target, tone, number, told)) }
        (evidence(api))
    } }
}

/// How far the evidence is kept up.
fn evidence(api: &Api) -> Markup {
    let standing = api.state.audit.evidence();
    let leaves = grouped(usize::try_from(standing.leaves).unwrap_or(usize::MAX));
    let found = api.state.audit.last_verification().map_or(0, |last| last.found);
    let (tone, told) = match standing.checkpoint_age {
        _ if found > 0 => ("bad", format!("records in the tree; {found} are not what they were")),
        _ if standing.is_behind() => ("bad", "records in the tree, which is behind".to_owned()),
        Some(age) => ("plain", format!("records in the tree, signed {} ago", ago(age))),
        None => ("plain", "records in the tree".to_owned()),
    };
    tile("/log#evidence", tone, &leaves, &told)
}

fn sum(counts: &Counts, since: Timestamp, name: Option<&str>) -> usize {
    let lately = counts.data.iter().filter(|step| step.at >= since);
    let all = lately.flat_map(|step| &step.counts);
    let wanted = all.filter(|(value, _)| name.is_none_or(|name| name == value.as_str()));
    usize::try_from(wanted.map(|(_, count)| count).sum::<i64>()).unwrap_or_default()
}

fn tile(target: &str, tone: &str, number: &str, told: &str) -> Markup {
    let tone = if number == "0" { "plain" } else { tone };
    html! {
        li { a class=(format!("tile {tone}")) href=(target) {
            span.figure { (number) } span.told { (told) }
        } }
    }
}

fn rankings(counted: &Counted) -> Markup {
    html! {
        div.cards {
            (chart::ranking(
                ("rules", "Rules broken, 7 days"), &counted.rules, ("rule", &[]),
                "No rule was broken.",
            ))
            (chart::ranking(
                ("actors", "Busiest actors, 7 days"), &counted.actors, ("actor", &[]),
                "Nobody asked for a change.",
            ))
            (chart::ranking(
                ("deployments", "Busiest deployments, 7 days"), &counted.deployments,
                ("deployment_id", &counted.names), "No deployment was to be changed.",
            ))
        }
    }
}

fn lists(listed: &Listed) -> Markup {
    html! {
        @if !listed.waiting.is_empty() {
            section aria-labelledby="waiting" {
                div.head {
                    h2 #waiting { "Waiting for approval" }
                    a href="/approvals" { "All that wait" }
                }
                (approvals::table(&listed.waiting, &listed.names))
            }
        }
        @if !listed.drifts.is_empty() {
            section.card aria-labelledby="drifts" {
                div.head {
                    h2 #drifts { "Changed around the gateway, 7 days" }
                    a href="/drift" { "All drift" }
                }
                ul.broken { @for (event, name) in listed.drifts.iter().zip(&listed.drifted) {
                    (drift::line(event, name.as_deref()))
                } }
            }
        }
    }
}
