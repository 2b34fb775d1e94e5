//! The list of deployments.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;

use super::form::{segment, with_query};
use super::frame::{self, Tab};
use super::pager;
use super::text::{at, cut, date_clock, found};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, in_time};
use crate::admin::asked::{Asked, Key, Kind, PAGE, key, text};
use crate::admin::view;
use crate::audit::query::{NAMED_MAX, Page, PageRequest};

/// The most deployments of one page.
const ROWS_MAX: u16 = 200;

/// The most that a search by name finds.
const FOUND_MAX: usize = 100;

/// The query of the list.
pub(super) enum Deployments {}

impl Kind for Deployments {
    const KEYS: &'static [&'static [Key]] = &[&[key("name", text, "Part of the name.")], PAGE];
}

/// The list.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<Deployments>,
) -> Answer {
    let part = asked.page()?;
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let (rows, next) = if let Some(name) = asked.text("name") {
        (named(&api, &asker, name).await?, None)
    } else {
        let page = api.seen_deployments(&asker, part).await?;
        let next = page.next_cursor.clone();
        (values(&page)?, next)
    };
    let name = asked.text("name");
    let body = html! {
        div.head {
            h1 { "Deployments" }
            p.dim { "The newest changed first" }
        }
        @if asker.may_look_inside().is_ok() { (search(name)) }
        @if rows.is_empty() { (nothing(name)) } @else {
            @if let Some(name) = name.filter(|_| rows.len() <= NAMED_MAX) {
                @let all = with_query("/changes", std::iter::once(("deployment_name", name)));
                p { a href=(all) { "See all changes of these" } }
            }
            (table(&rows))
        }
        (pager::pages("/deployments", &asked, next.as_deref()))
    };
    frame::page(&api, &asker, (Tab::Deployments, "Deployments"), &body)
}

/// The records of a page, as this asker sees them.
pub(super) fn values<T: serde::Serialize>(page: &Page<T>) -> Result<Vec<Value>, Problem> {
    let told = page.data.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    told.map_err(|error| Problem::store_fails(&error))
}

async fn named(api: &Api, asker: &Asker, name: &str) -> Result<Vec<Value>, Problem> {
    asker.may_look_inside()?;
    let question = api.reader().deployments_named(name, FOUND_MAX);
    let data = in_time(&asker.share.scanning, question).await?;
    let page = Page { data, next_cursor: None, has_more: false };
    values(&view::page(page, asker.role))
}

fn search(name: Option<&str>) -> Markup {
    html! {
        search {
            form.filters method="get" action="/deployments" {
                div.fields {
                    div.field.wide {
                        label for="name" { "Name" }
                        input #name type="search" name="name" value=(name.unwrap_or_default())
                            placeholder="part of the name" maxlength="200" autocomplete="off";
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
            caption.unseen { "Deployments, the newest changed first; times are UTC" }
            thead { tr {
                th scope="col" { "Deployment" }
                th.number scope="col" { "Changes" }
                th scope="col" { "Last changed (UTC)" }
            } }
            tbody { @for row in rows { (line(row)) } }
        }
    }
}

fn line(row: &Value) -> Markup {
    let id = at(row, "/id");
    let last = format!("/changes/{}", at(row, "/last_change"));
    let count = row.get("changes").and_then(Value::as_i64).unwrap_or_default();
    let all = with_query("/changes", std::iter::once(("deployment_id", id)));
    html! {
        tr.item {
            td {
                a.deployment href=(format!("/deployments/{}", segment(id))) {
                    @match found(row, "/name") {
                        Some(name) => (cut(name, 100)), None => code { (cut(id, 100)) },
                    }
                }
                @if found(row, "/name").is_some() { div.why { code { (cut(id, 100)) } } }
            }
            td.number data-label="Changes" { a href=(all) { (count) } }
            td.time data-label="Last changed (UTC)" {
                a href=(last) { (date_clock(at(row, "/last_changed_at"))) }
            }
        }
    }
}

fn nothing(name: Option<&str>) -> Markup {
    html! {
        div.empty {
            @if name.is_some() {
                h2 { "No deployment is named so" }
                p { a href="/deployments" { "See all deployments" } }
            } @else {
                h2 { "No deployment is recorded yet" }
                p { "The first change of one that passes the gateway brings it here." }
            }
        }
    }
}
