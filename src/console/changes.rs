//! The list of changes.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value;

use super::filters;
use super::form::with_query;
use super::frame::{self, Tab};
use super::pager;
use super::sentence::{sentence, why};
use super::text::{at, clock, date, found, short_id};
use super::words::outcome;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, in_time};
use crate::admin::asked::{self, Asked};
use crate::audit::query::{Page, PageRequest};
use crate::config::Role;

/// The most changes of one page: it stays small, whatever is asked for.
const ROWS_MAX: u16 = 100;

/// Changes as this asker sees them, each with the name of its deployment where that is known.
pub(super) struct Rows {
    pub(super) changes: Vec<Value>,
    pub(super) names: Vec<Option<String>>,
}

/// The list.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Changes>,
) -> Answer {
    let (filter, part) = (asked.filter(&api, &asker)?, asked.page()?);
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let page = api.seen_changes(&asker, filter, part).await?;
    let next = page.next_cursor.clone();
    let rows = rows(&api, &asker, page).await?;
    let body = html! {
        div.head {
            h1 { "Changes" }
            (exports(&asker, &asked))
        }
        (filters::form("/changes", &asked))
        @if rows.changes.is_empty() { (nothing(&asked, next.is_some())) } @else { (table(&rows)) }
        (pager::pages("/changes", &asked, next.as_deref()))
    };
    frame::page(&api, &asker, (Tab::Changes, "Changes"), &body)
}

/// A page of changes as rows, with the names of their deployments for who may see those.
pub(super) async fn rows<T: Serialize>(
    api: &Api,
    asker: &Asker,
    page: Page<T>,
) -> Result<Rows, Problem> {
    let told = page.data.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let changes = told.map_err(|error| Problem::store_fails(&error))?;
    let names = names(api, asker, &changes).await?;
    Ok(Rows { changes, names })
}

/// The name of each change's deployment.
async fn names(
    api: &Api,
    asker: &Asker,
    changes: &[Value],
) -> Result<Vec<Option<String>>, Problem> {
    let ids = changes.iter().filter_map(|change| found(change, "/deployment_id"));
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = names_of(api, asker, &ids).await?;
    let of = |change: &Value| {
        let place =
            ids.binary_search_by(|id| id.as_str().cmp(at(change, "/deployment_id"))).ok()?;
        names.get(place).cloned().flatten()
    };
    Ok(changes.iter().map(of).collect())
}

/// The names of deployments, for who may see them.
pub(super) async fn names_of(
    api: &Api,
    asker: &Asker,
    ids: &[String],
) -> Result<Vec<Option<String>>, Problem> {
    if asker.role < Role::Auditor {
        return Ok(vec![None; ids.len()]);
    }
    in_time(&asker.share.reading, api.reader().deployment_names(ids)).await
}

/// The rows as a table, with a line for each day.
pub(super) fn table(rows: &Rows) -> Markup {
    let mut day = "";
    html! {
        table.list {
            caption.unseen { "Changes, newest first; times are UTC" }
            thead { tr {
                th scope="col" { "Time (UTC)" }
                th scope="col" { "Change" }
                th scope="col" { "Outcome" }
                th.rare scope="col" { "Id" }
            } }
            tbody {
                @for (change, name) in rows.changes.iter().zip(&rows.names) {
                    @let received = at(change, "/received_at");
                    @if date(received) != day {
                        @let () = day = date(received);
                        tr.day { th scope="rowgroup" colspan="4" { (day) } }
                    }
                    (row(change, name.as_deref()))
                }
            }
        }
    }
}

fn row(change: &Value, name: Option<&str>) -> Markup {
    let id = at(change, "/id");
    let target = format!("/changes/{id}");
    html! {
        tr.item {
            td.time { a href=(target) { (clock(at(change, "/received_at"))) } }
            td.what {
                (sentence(change, name))
                @if let Some(why) = why(change) { div.why { (why) } }
            }
            td.end { (outcome(change)) }
            td.rare { a href=(target) { code { (short_id(id)) } } }
        }
    }
}

/// The same view as a file.
fn exports(asker: &Asker, asked: &Asked<asked::Changes>) -> Markup {
    if asker.role < Role::Auditor {
        return html! { p.dim { "Exports take the role auditor." } };
    }
    let target = |format| {
        let pairs = std::iter::once(("format", format)).chain(filters::filters(asked));
        with_query("/api/v1/export", pairs)
    };
    html! {
        p.exports {
            "Export this view: "
            @for format in ["csv", "jsonl", "ocsf"] {
                a href=(target(format)) download { (format) } " "
            }
        }
    }
}

/// The words for an empty list.
fn nothing(asked: &Asked<asked::Changes>, has_more: bool) -> Markup {
    html! {
        div.empty {
            @if has_more {
                h2 { "Nothing among the changes looked through so far" }
                p { "A search looks through 20,000 changes a page. Go on to the older ones." }
            } @else if filters::filters(asked).next().is_some() {
                h2 { "No change is so" }
                p {
                    "The log has none with all of these filters. Take one away, or "
                    a href="/changes" { "see all changes" } "."
                }
            } @else {
                h2 { "No change is recorded yet" }
                p {
                    "Point a client's base URL at the gateway's proxy address and update a \
                    deployment: it stands here at once."
                }
            }
        }
    }
}
