//! Approvals: who waits for whose word, what exactly would change, and the word itself.

mod contents;
mod decide;
mod whole;

pub(super) use self::decide::{approve, reject};
pub(super) use self::whole::show as whole;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;

use self::contents::Contents;
use super::changes::names_of;
use super::deployments::values;
use super::form::with_query;
use super::frame::{self, Tab};
use super::pager;
use super::sentence::{actor, deployment};
use super::text::{at, cut, date_clock, exact, found, items, shown};
use super::words::chip;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id};
use crate::admin::approvals::Decider;
use crate::admin::asked::{Asked, Key, Kind, PAGE, key, text};
use crate::audit::approval::{ApprovalFilter, ApprovalState};
use crate::audit::query::PageRequest;

/// The most approvals of one page.
const ROWS_MAX: u16 = 100;

/// The most characters of a reason and of a message.
const TEXT_CHARS_MAX: usize = 400;

/// The query of the list.
pub(super) enum Approvals {}

impl Kind for Approvals {
    const KEYS: &'static [&'static [Key]] =
        &[&[key("state", text, "Standing so; by default what is open.")], PAGE];
}

/// The query of one.
pub(super) enum ApprovalPage {}

impl Kind for ApprovalPage {
    const KEYS: &'static [&'static [Key]] = &[];
}

/// The list.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<Approvals>,
) -> Answer {
    let wanted = asked.text("state").unwrap_or(ApprovalState::Open.name());
    let state = ApprovalState::ALL.into_iter().find(|state| state.name() == wanted);
    if state.is_none() && wanted != "all" {
        let names = ApprovalState::ALL.map(ApprovalState::name).join(", ");
        return Err(Problem::invalid("state", format!("state: write one of: {names}, all")));
    }
    let part = asked.page()?;
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let filter = ApprovalFilter { state, ..ApprovalFilter::default() };
    let page = api.seen_approvals(&asker, &filter, part).await?;
    let rows = values(&page)?;
    let names = names(&api, &asker, &rows).await?;
    let body = html! {
        div.head {
            h1 { "Approvals" }
            (states(wanted))
        }
        @if rows.is_empty() { (nothing(wanted)) } @else { (table(&rows, &names)) }
        (pager::pages("/approvals", &asked, page.next_cursor.as_deref()))
    };
    frame::page(&api, &asker, (Tab::Approvals, "Approvals"), &body)
}

fn states(wanted: &str) -> Markup {
    let names = ApprovalState::ALL.map(ApprovalState::name);
    html! {
        nav.tabs aria-label="Approvals by their state" {
            @for name in names.into_iter().chain(["all"]) {
                @let pair = std::iter::once(("state", name)).filter(|_| name != "open");
                a href=(with_query("/approvals", pair))
                    aria-current=[(name == wanted).then_some("page")] { (name) }
            }
        }
    }
}

fn nothing(wanted: &str) -> Markup {
    html! {
        div.empty {
            @if wanted == "open" {
                h2 { "Nobody waits" }
                p {
                    "A rule with " code { "enforcement = \"approve\"" } " holds a change up until \
                    somebody else has approved it: it is listed here then. "
                    a href="/approvals?state=all" { "All that ever were" }
                }
            } @else { h2 { "No approval stands so" } }
        }
    }
}

/// The name of each one's deployment, where it is known and may be.
pub(super) async fn names(
    api: &Api,
    asker: &Asker,
    rows: &[Value],
) -> Result<Vec<Option<String>>, Problem> {
    let ids = rows.iter().map(|row| at(row, "/deployment_id").to_owned()).collect::<Vec<_>>();
    names_of(api, asker, &ids).await
}

/// Approvals as a table.
pub(super) fn table(rows: &[Value], names: &[Option<String>]) -> Markup {
    html! {
        table.list.stack {
            caption.unseen { "Approvals, newest first; times are UTC" }
            thead { tr {
                th scope="col" { "Asked (UTC)" } th scope="col" { "What" }
                th scope="col" { "State" } th scope="col" { "Until (UTC)" }
            } }
            tbody { @for (row, name) in rows.iter().zip(names) { (line(row, name.as_deref())) } }
        }
    }
}

fn line(row: &Value, name: Option<&str>) -> Markup {
    let target = format!("/approvals/{}", at(row, "/id"));
    let until = found(row, "/run_until").or_else(|| found(row, "/expires_at"));
    html! {
        tr.item {
            td.time data-label="Asked (UTC)" {
                a href=(target) { (date_clock(at(row, "/opened_at"))) }
            }
            td {
                (asks(row, name))
                div.why { @for rule in items(row, "/rules") {
                    code.rule { (shown(rule.as_str().unwrap_or_default())) } " "
                } }
            }
            td.end { (state(at(row, "/state"))) }
            td.time data-label=[until.map(|_| "Until (UTC)")] {
                @if let Some(until) = until { (date_clock(until)) }
            }
        }
    }
}

/// The question of an approval, in one sentence.
fn asks(approval: &Value, name: Option<&str>) -> Markup {
    let verb = match at(approval, "/kind") {
        "break_glass" => "broke the glass to",
        _ => "asks to",
    };
    html! {
        (actor(approval.get("actor").unwrap_or(&Value::Null)))
        " " (verb) " " (at(approval, "/operation")) " "
        (deployment(found(approval, "/deployment_id"), name))
    }
}

fn state(word: &str) -> Markup {
    let tone = match word {
        "open" => "open",
        "approved" | "used" => "good",
        "rejected" => "bad",
        _ => "plain",
    };
    chip(tone, word)
}

/// The page of one.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<ApprovalPage>,
) -> Answer {
    let contents = Contents::of(&api, &asker, id).await?;
    let approval = &contents.approval;
    let name = names(&api, &asker, std::slice::from_ref(approval)).await?.into_iter().next();
    let name = name.flatten();
    let body = html! {
        article.change {
            div.head {
                div {
                    h1 { (asks(approval, name.as_deref())) }
                    p.chips {
                        (state(at(approval, "/state"))) " "
                        code.id data-copy { (at(approval, "/id")) }
                    }
                }
            }
            (terms(approval))
            (decision(&api, &asker, &contents))
            (contents.section())
            (steps(approval))
        }
    };
    frame::page(&api, &asker, (Tab::Approvals, at(approval, "/id")), &body)
}

fn terms(approval: &Value) -> Markup {
    let person = found(approval, "/actor/person");
    html! {
        dl.facts {
            div { dt { "Asked" } dd { (exact(at(approval, "/opened_at"))) } }
            @if let Some(person) = person { div { dt { "Person" } dd { (shown(person)) } } }
            @if let Some(until) = found(approval, "/expires_at") {
                div { dt { "To be decided by" } dd { (exact(until)) } }
            }
            @if let Some(until) = found(approval, "/run_until") {
                div { dt { "To be used by" } dd { (exact(until)) } }
            }
            div { dt { "With" } dd {
                @let change = at(approval, "/change");
                a href=(format!("/changes/{change}")) { code { (change) } }
            } }
            div { dt { "Rules" } dd { @for rule in items(approval, "/rules") {
                code { (shown(rule.as_str().unwrap_or_default())) } " "
            } } }
            @if approval.get("approvers").is_some() {
                div { dt { "May approve" } dd { (approvers(approval)) } }
            }
            @if let Some(reason) = found(approval, "/reason") {
                div { dt { "Why the glass was broken" } dd { (cut(reason, TEXT_CHARS_MAX)) } }
            }
        }
    }
}

/// The persons whom the rules name to approve.
fn approvers(approval: &Value) -> Markup {
    let persons = items(approval, "/approvers");
    html! {
        @if persons.is_empty() { "Nobody: all the rules that ask name nobody else" }
        @for (place, person) in persons.iter().enumerate() {
            @if place > 0 { ", " }
            (shown(person.as_str().unwrap_or_default()))
        }
    }
}

/// Whether the rules name their approvers, and a person is none of them.
fn is_left_out(approval: &Value, person: &str) -> bool {
    let named = approval.get("approvers").and_then(Value::as_array);
    named.is_some_and(|named| !named.iter().any(|name| name == person))
}

/// The form of who may decide, and why nobody else may.
fn decision(api: &Api, asker: &Asker, contents: &Contents) -> Markup {
    let approval = &contents.approval;
    let (kind, state) = (at(approval, "/kind"), at(approval, "/state"));
    let may_be_approved = state == "open" || kind == "break_glass" && state == "rejected";
    let may_be_rejected = state == "open" || kind == "request" && state == "approved";
    if !may_be_approved && !may_be_rejected {
        return html! {};
    }
    let may_be = (may_be_approved, may_be_rejected);
    let is_own = |decider: &Decider| found(approval, "/actor/person") == Some(decider.person());
    html! {
        section.card aria-labelledby="decide" {
            h2 #decide { "Decide" }
            @match Decider::of(asker) {
                Err(problem) => p.dim { "You may not: " (problem.message()) "." },
                Ok(decider) if is_own(&decider) => p.dim {
                    "You asked for this yourself: somebody else decides."
                },
                Ok(decider) if is_left_out(approval, decider.person()) => {
                    p.dim {
                        "You may not approve this: the rules that ask name who may, and not \
                        each of them names you. You may reject it."
                    }
                    (decide::form(api, asker, contents, (false, may_be_rejected)))
                }
                Ok(_) => (decide::form(api, asker, contents, may_be)),
            }
        }
    }
}

fn steps(approval: &Value) -> Markup {
    let steps = items(approval, "/steps");
    html! {
        @if !steps.is_empty() {
            section aria-labelledby="steps" {
                h2 #steps { "What became of it" }
                ol.steps { @for step in steps {
                    li {
                        (exact(at(step, "/at"))) " " strong { (at(step, "/step")) }
                        @if let Some(by) = found(step, "/by") { " by " (shown(by)) }
                        @if let Some(reason) = found(step, "/reason") {
                            ": " (cut(reason, TEXT_CHARS_MAX))
                        }
                        @if let Some(change) = found(step, "/change") {
                            ", " a href=(format!("/changes/{change}")) { "this change" }
                        }
                    }
                } }
            }
        }
    }
}
