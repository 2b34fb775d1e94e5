//! The log itself: whether it can be written, who writes it, and what happened beside changes.

mod kept;
pub(super) mod sinks;
mod witnesses;

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;

use super::deployments::values;
use super::frame::{self, Tab};
use super::pager;
use super::sentence::actor;
use super::text::{at, cut, date_clock, found, grouped, runs, shown, split};
use super::words::chip;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, in_time};
use crate::admin::asked::{self, Asked};
use crate::audit::Health;
use crate::audit::query::PageRequest;
use crate::audit::verify::LastVerification;

/// The most events of one page.
const ROWS_MAX: u16 = 50;

/// The most keys that are shown, the newest first.
const KEYS_MAX: usize = 6;

/// The most characters of an event's detail.
const DETAIL_CHARS_MAX: usize = 300;

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Events>,
) -> Answer {
    let (filter, part) = (asked.event_filter(&api, &asker)?, asked.page()?);
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let page = api.seen_events(&asker, filter, part).await?;
    let rows = values(&page)?;
    let body = html! {
        div.head { h1 { "Log" } }
        (condition(&api))
        (evidence(&api, &asker).await?)
        (sinks::section(&api, &asker).await?)
        (kept::section(&api, &asker).await?)
        section aria-labelledby="events" {
            h2 #events { "Events: what is no governed call" }
            @if asker.may_look_inside().is_ok() { (search(&asked)) }
            @if rows.is_empty() {
                div.empty { h2 {
                    @if page.has_more { "None among the events looked through so far" }
                    @else { "No event is so" }
                } }
            } @else { (table(&rows)) }
            (pager::pages("/log", &asked, page.next_cursor.as_deref()))
        }
    };
    frame::page(&api, &asker, (Tab::Log, "Log"), &body)
}

/// The state of the store and of its gateways.
fn condition(api: &Api) -> Markup {
    let audit = &api.state.audit;
    let (health, counters, gateways) = (audit.health(), audit.counters(), audit.gateways());
    let policy = (api.state.policy)();
    html! {
        dl.facts {
            div { dt { "Store" } dd {
                @match &health {
                    Health::Writable => (chip("good", "is written")),
                    Health::Failing(reason) => { (chip("bad", "fails")) " " (cut(reason, 300)) }
                }
            } }
            div { dt { "This gateway" } dd { (shown(&(api.state.node)())) } }
            div { dt { "Gateways that live" } dd { (gateways.nodes) } }
            @if let Some(lease) = &gateways.lease {
                div { dt { "Lease" } dd { code { (lease.id) } ", for " (lease.seconds_left) " s" } }
            }
            @let digest = policy.digest.get(..12).unwrap_or_default();
            div { dt { "Policy" } dd { a href="/policy" { code { (digest) } } } }
            div { dt { "Changes on their way" } dd { (counters.changes_open) } }
            div { dt { "Events that were lost" } dd { (counters.events_dropped) } }
            @if counters.endings_kept > 0 {
                div { dt { "Ends tried again" } dd { (counters.endings_kept) } }
            }
            @if let Some(refused) = (api.state.refused_config)() {
                div { dt { "Configuration" } dd {
                    (chip("bad", "refused")) " the former one is in force: "
                    (cut(&serde_json::json!(refused).to_string(), 300))
                } }
            }
        }
    }
}

/// The newest checkpoint of the tree over the log, and what it is held against.
async fn evidence(api: &Api, asker: &Asker) -> Result<Markup, Problem> {
    let checkpoint = in_time(&asker.share.reading, api.reader().checkpoint()).await?;
    let keys = in_time(&asker.share.reading, api.reader().log_keys()).await?;
    Ok(html! {
        section aria-labelledby="evidence" {
            h2 #evidence { "Evidence" }
            p.dim {
                "A signed tree over all that has ended: "
                code { "changegate audit verify" } " finds what was altered, left out or cut off."
            }
            (standing(api))
            (witnesses::section(api))
            details {
                summary { "Newest checkpoint and keys" }
                @match &checkpoint {
                    None => p {
                        "No tree is signed yet: it is at the start, and at every interval."
                    },
                    Some(note) => pre.raw data-copy tabindex="0" { (runs(split(note, 4_000).0)) },
                }
                @for key in keys.iter().rev().take(KEYS_MAX) {
                    pre.raw data-copy tabindex="0" { (runs(split(key, 400).0)) }
                }
            }
        }
    })
}

/// How far the tree is kept up, by this gateway.
fn standing(api: &Api) -> Markup {
    let standing = api.state.audit.evidence();
    let leaves = usize::try_from(standing.leaves).unwrap_or(usize::MAX);
    html! {
        dl.facts {
            div { dt { "Records in the tree" } dd { (grouped(leaves)) } }
            div { dt { "Kept up" } dd {
                @if standing.is_behind() {
                    (chip("bad", "behind")) " records that ended "
                    (standing.behind.as_secs()) " s ago may not be in it yet"
                } @else { (chip("good", "to the second")) }
            } }
            div { dt { "Newest checkpoint" } dd {
                @match standing.checkpoint_age {
                    Some(age) => { (ago(age)) " ago, by this gateway" }
                    None => "none by this gateway yet; another one may sign",
                }
            } }
            div { dt { "Last verification" } dd {
                @match api.state.audit.last_verification() {
                    Some(LastVerification { at, found: 0, .. }) => {
                        (chip("good", "sound")) " " (date_clock(&at.to_string()))
                    }
                    Some(LastVerification { at, found, .. }) => {
                        (chip("bad", "altered")) " " (found) " findings, "
                        (date_clock(&at.to_string()))
                    }
                    None => "none yet: a gateway verifies once a day, at first 10 minutes after \
                        its start",
                }
            } }
        }
    }
}

/// A length of time in the unit that fits.
pub(super) fn ago(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

fn search(asked: &Asked<asked::Events>) -> Markup {
    html! {
        search {
            form.filters method="get" action="/log" {
                div.fields {
                    @for (name, label, hint) in [
                        ("q", "Search", "kind or detail, such as reload"),
                        ("since", "Since", "7d, 2026-11-01, or RFC 3339"),
                        ("until", "Until", "24h, 2026-12-01, or RFC 3339"),
                        ("deployment_id", "Deployment", "whole id"),
                    ] {
                        @let id = format!("f-{name}");
                        @let kind = if name == "q" { "search" } else { "text" };
                        div.field {
                            label for=(id) { (label) }
                            input id=(id) type=(kind) name=(name)
                                value=(asked.text(name).unwrap_or_default()) placeholder=(hint)
                                autocomplete="off" maxlength="400";
                        }
                    }
                    button type="submit" { "Show" }
                }
            }
        }
    }
}

fn table(rows: &[Value]) -> Markup {
    html! {
        table.list {
            caption.unseen { "Events, newest first; times are UTC" }
            thead { tr {
                th scope="col" { "At (UTC)" } th scope="col" { "Kind" } th scope="col" { "Detail" }
            } }
            tbody { @for row in rows { tr.item {
                td.time { (date_clock(at(row, "/at"))) }
                td.kind { code { (at(row, "/kind")) } }
                td {
                    @if let Some(who) = row.get("actor").filter(|who| !who.is_null()) {
                        (actor(who)) " "
                    }
                    @if let Some(ip) = found(row, "/client_ip") { span.dim { (shown(ip)) } " " }
                    (detail(row.get("detail").unwrap_or(&Value::Null)))
                }
            } } }
        }
    }
}

/// The flat detail of an event: names and values, with links where they lead somewhere.
fn detail(detail: &Value) -> Markup {
    let Some(members) = detail.as_object() else { return html! {} };
    html! {
        ul.detail { @for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            li { span.dim { (shown(name)) } " " (part(name, value)) }
        } }
    }
}

fn part(name: &str, value: &Value) -> Markup {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let target = match name {
        _ if text.starts_with("chg_") => Some(format!("/changes/{}", super::form::segment(&text))),
        _ if text.starts_with("apr_") => {
            Some(format!("/approvals/{}", super::form::segment(&text)))
        }
        "deployment_id" => Some(format!("/deployments/{}", super::form::segment(&text))),
        _ => None,
    };
    html! {
        @match target {
            Some(target) => a href=(target) { code { (cut(&text, 60)) } },
            None => code { (cut(&text, DETAIL_CHARS_MAX)) },
        }
    }
}
