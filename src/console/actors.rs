//! Actors: who asks for changes, and who has no name yet.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;

use super::deployments::values;
use super::form::with_query;
use super::frame::{self, Tab};
use super::text::{at, cut, date_clock, found, shown, toml};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked};
use crate::audit::query::{CountedBy, Counting, Filter, LIMIT_MAX, PageRequest, Step};
use crate::config::{Actors, Budget, RateLimit};

/// How far back actors are counted.
const DAYS: u64 = 30;

/// The most actors that are listed.
const ROWS_MAX: usize = 200;

/// An actor, as far as configuration and log know it.
struct Known {
    /// The name, or the fingerprint of one without.
    called: String,
    /// The fingerprint, or the subject of a service account.
    sign: Option<String>,
    /// The issuer that a service account's tokens must come from.
    issuer: Option<String>,
    team: Option<String>,
    person: Option<String>,
    is_named: bool,
    last_seen: Option<String>,
    changes: i64,
}

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let now = api.state.clock.now();
    let since = now.minus(std::time::Duration::from_hours(24 * DAYS));
    let counting = Counting::new(CountedBy::Actor, Step::Day, (since, now), 50);
    let counting = counting.map_err(|bad| Problem::invalid("since", bad.to_string()))?;
    let counts = api.counts(&asker, &counting).await?;
    let part = PageRequest { limit: LIMIT_MAX, cursor: None };
    let newest = values(&api.seen_changes(&asker, Filter::default(), part).await?)?;
    let counts: HashMap<String, i64> =
        counts.values.into_iter().map(|count| (count.value, count.changes)).collect();
    let rows = known(&(api.state.actors)(), &newest, &counts);
    let body = html! {
        div.head {
            h1 { "Actors" }
            p.dim { "Those of the configuration, and who made one of the newest 1,000 changes" }
        }
        (limits((api.state.limits)()))
        @if rows.is_empty() {
            div.empty {
                h2 { "No actor is known yet" }
                p { "Who makes a change is listed here by the token's fingerprint, with the lines \
                    that give it a name." }
            }
        } @else { (table(&rows)) }
    };
    frame::page(&api, &asker, (Tab::Actors, "Actors"), &body)
}

/// The actors: those that are named first, then by how much they did.
fn known(actors: &Actors, newest: &[Value], counts: &HashMap<String, i64>) -> Vec<Known> {
    let mut all: HashMap<(String, Option<String>), Known> = HashMap::new();
    let tokens = actors.known.iter().map(|(token, name)| (token.to_string(), None, name));
    let subjects = actors.subjects.iter().flat_map(|(subject, accounts)| {
        accounts.iter().map(move |account| (subject.clone(), account.issuer.clone(), &account.name))
    });
    for (sign, issuer, name) in tokens.chain(subjects) {
        let known = Known {
            issuer: issuer.clone(),
            team: name.team.clone(),
            person: name.person.clone(),
            is_named: true,
            ..Known::of(&name.name, sign.clone())
        };
        all.insert((sign, issuer), known);
    }
    for change in newest {
        let token = at(change, "/actor/fingerprint");
        let name = found(change, "/actor/name");
        let is_listed = |known: &&mut Known| name == Some(known.called.as_str());
        let known = match all.values_mut().find(is_listed) {
            Some(known) => known,
            None => all.entry((token.to_owned(), None)).or_insert_with(|| Known {
                is_named: name.is_some(),
                team: found(change, "/actor/team").map(str::to_owned),
                person: found(change, "/actor/person").map(str::to_owned),
                ..Known::of(name.unwrap_or(token), token.to_owned())
            }),
        };
        let received = at(change, "/received_at");
        known.last_seen.get_or_insert_with(|| received.to_owned());
    }
    let mut all: Vec<Known> = all.into_values().collect();
    for known in &mut all {
        known.changes = counts.get(&known.called).copied().unwrap_or_default();
    }
    all.sort_by(|one, other| {
        let key = |known: &Known| (!known.is_named, -known.changes);
        key(one).cmp(&key(other)).then_with(|| one.called.cmp(&other.called))
    });
    all.truncate(ROWS_MAX);
    all
}

impl Known {
    fn of(called: &str, sign: String) -> Self {
        Self {
            called: called.to_owned(),
            sign: Some(sign),
            issuer: None,
            team: None,
            person: None,
            is_named: false,
            last_seen: None,
            changes: 0,
        }
    }
}

fn table(rows: &[Known]) -> Markup {
    html! {
        table.list.stack {
            caption.unseen { "Actors, those with a name first; times are UTC" }
            thead { tr {
                th scope="col" { "Actor" } th scope="col" { "Team" } th scope="col" { "Person" }
                th.number scope="col" { "Changes in " (DAYS) " days" }
                th scope="col" { "Last change (UTC)" }
            } }
            tbody { @for row in rows { (line(row)) } }
        }
    }
}

fn line(row: &Known) -> Markup {
    let all = with_query("/changes", std::iter::once(("actor", row.called.as_str())));
    let none = html! { span.none { "none" } };
    html! {
        tr.item {
            td {
                a.actor href=(all) { (cut(&row.called, 80)) }
                @if let Some(sign) = row.sign.as_deref().filter(|sign| *sign != row.called) {
                    div.why { code { (cut(sign, 80)) } }
                }
                (naming(row))
            }
            td data-label="Team" {
                @match &row.team { Some(team) => (cut(team, 60)), None => (none) }
            }
            td data-label="Person" {
                @match &row.person { Some(person) => (cut(person, 60)), None => (none) }
            }
            td.number data-label={ "Changes in " (DAYS) " days" } { (row.changes) }
            td.time data-label="Last change (UTC)" {
                @match &row.last_seen { Some(seen) => (date_clock(seen)), None => (none) }
            }
        }
    }
}

/// The budgets, which every token has for itself.
fn limits(limits: Option<RateLimit>) -> Markup {
    let budget = |budget: Budget| {
        let (count, unit) = (budget.rate.count(), budget.rate.unit());
        format!("{count} a {unit}, {} at once", budget.burst)
    };
    html! {
        dl.facts {
            @match limits {
                Some(RateLimit { read, write }) => {
                    div { dt { "Each token may read" } dd { (budget(read)) } }
                    div { dt { "Each token may write" } dd { (budget(write)) } }
                }
                None => div { dt { "Limits" } dd { "none: rate_limit.enabled is false" } },
            }
        }
    }
}

/// The lines of the configuration by which it is known, which is where names are from.
fn naming(row: &Known) -> Markup {
    let sign = row.sign.as_deref().unwrap_or_default();
    let kind = if sign.starts_with("pat_") { "fingerprint" } else { "subject" };
    let name = if row.is_named { row.called.as_str() } else { "" };
    let mut lines = vec![(kind, sign)];
    lines.extend(row.issuer.as_deref().map(|issuer| ("issuer", issuer)));
    lines.push(("name", name));
    lines.push(("team", row.team.as_deref().unwrap_or_default()));
    lines.extend(row.person.as_deref().map(|person| ("person", person)));
    html! {
        details {
            summary { @if row.is_named { "Its lines" } @else { "Give it a name" } }
            p.dim {
                @if row.is_named { "As the configuration may have it; it is read again by itself." }
                @else { "Add this to the configuration; it is read again by itself." }
            }
            pre.command data-copy tabindex="0" {
                "[[actor]]\n"
                @for (key, text) in lines { (key) " = \"" (shown(&toml(text))) "\"\n" }
            }
        }
    }
}
