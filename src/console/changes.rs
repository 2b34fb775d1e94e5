//! The list of changes.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value;

use super::columns::{self, Column};
use super::filters::{self, ChangesPage};
use super::form::with_query;
use super::frame::{self, Tab};
use super::pager;
use super::sentence::{sentence, why};
use super::text::{self, at, clock, date, short_id};
use super::views;
use super::words::outcome;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, in_time};
use crate::admin::asked::Asked;
use crate::admin::view::Seen;
use crate::audit::query::{Page, PageRequest};
use crate::audit::record::Change;
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
    asked: Asked<ChangesPage>,
) -> Answer {
    let columns = columns::asked(asked.text("columns"))?;
    let part = asked.page()?;
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let (page, scans) = match found(&api, &asker, &asked, part).await {
        Err(wrong) if filters::is_of_form(&wrong) => {
            return mistyped(&api, &asker, &asked, &wrong);
        }
        found => found?,
    };
    let may_follow = asked.text("cursor").is_none() && asked.text("until").is_none();
    let may_follow = may_follow && !scans;
    let next = page.next_cursor.clone();
    let rows = rows(&api, &asker, page).await?;
    let place = (rows.changes.len(), next.is_some());
    let place = views::place(&api, &asker, &asked, place).await;
    let live = may_follow.then(|| live(&asked, &rows));
    let body = html! {
        div.head {
            h1 { "Changes" }
            (exports(&asker, &asked))
        }
        (filters::form("/changes", asker.role, &asked, None))
        div.choices {
            (columns::choice("/changes", &asked, &columns))
            (views::links(&api, &asker, &asked))
        }
        (views::saving(&api, &asked))
        @if let Some(live) = &live { p.live data-live=(live) {} }
        @if rows.changes.is_empty() { (nothing(&asked, next.is_some())) } @else {
            (place)
            (table_with(&rows, &columns))
        }
        (pager::pages("/changes", &asked, next.as_deref()))
    };
    frame::page(&api, &asker, (Tab::Changes, "Changes"), &body)
}

/// A part of what is asked for, and whether changes had to be looked through for it.
async fn found(
    api: &Api,
    asker: &Asker,
    asked: &Asked<ChangesPage>,
    part: PageRequest,
) -> Result<(Page<Seen<Change>>, bool), Problem> {
    let filter = asked.filter(api, asker)?;
    let scans = filter.scans();
    Ok((api.seen_changes(asker, filter, part).await?, scans))
}

/// The page with its form as it was filled in, and what is wrong with it.
fn mistyped(api: &Api, asker: &Asker, asked: &Asked<ChangesPage>, wrong: &Problem) -> Answer {
    let body = html! {
        div.head { h1 { "Changes" } }
        (filters::form("/changes", asker.role, asked, Some(wrong)))
        div.empty {
            h2 { "Not understood" }
            p { "Nothing was looked for: fix the filter that is marked above." }
        }
    };
    let mut answer = frame::page(api, asker, (Tab::Changes, "Changes"), &body)?;
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    Ok(answer)
}

/// The stream that tells what comes on top of this list.
fn live(asked: &Asked<ChangesPage>, rows: &Rows) -> String {
    let newest = rows.changes.first().and_then(|change| change.get("seq")).map(Value::to_string);
    let after = newest.iter().map(|seq| ("after", seq.as_str()));
    with_query("/changes/live", filters::filters(asked).chain(after))
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
    let ids = changes.iter().filter_map(|change| text::found(change, "/deployment_id"));
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
    table_with(rows, &[])
}

/// The same with more columns.
fn table_with(rows: &Rows, columns: &[Column]) -> Markup {
    if columns.is_empty() {
        return bare_table(rows, columns);
    }
    html! {
        div.scroll tabindex="0" role="group" aria-label="Changes" { (bare_table(rows, columns)) }
    }
}

fn bare_table(rows: &Rows, columns: &[Column]) -> Markup {
    let mut day = "";
    let kind = if columns.is_empty() { "list changes" } else { "list changes stack" };
    html! {
        table class=(kind) {
            caption.unseen { "Changes, newest first; times are UTC" }
            thead { tr {
                th scope="col" { "Time (UTC)" }
                th scope="col" { "Change" }
                th scope="col" { "Outcome" }
                @for column in columns { (column.heading()) }
                th.rare scope="col" { "Id" }
            } }
            tbody {
                @for (change, name) in rows.changes.iter().zip(&rows.names) {
                    @let received = at(change, "/received_at");
                    @if date(received) != day {
                        @let () = day = date(received);
                        tr.day { th scope="rowgroup" colspan=(4 + columns.len()) { (day) } }
                    }
                    (row(change, name.as_deref(), columns))
                }
            }
        }
    }
}

fn row(change: &Value, name: Option<&str>, columns: &[Column]) -> Markup {
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
            @for column in columns { (column.cell(change)) }
            td.rare { a href=(target) { code { (short_id(id)) } } }
        }
    }
}

/// The same view as a file.
fn exports(asker: &Asker, asked: &Asked<ChangesPage>) -> Markup {
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
fn nothing(asked: &Asked<ChangesPage>, has_more: bool) -> Markup {
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
                @if let Some(name) = asked.text("deployment_name") {
                    @let named = with_query("/deployments", std::iter::once(("name", name)));
                    p {
                        a href=(named) { "See which deployments have this in their name" }
                        ": only the newest name of each counts."
                    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::clock::Clock;

    #[test]
    #[expect(clippy::print_stdout, reason = "who measures a release build reads it")]
    fn a_thousand_rows_are_rendered_in_little_time_and_room() {
        let change = |number: usize| {
            let received = format!("2026-11-{:02}T10:00:00.000Z", number % 28);
            json!({
                "id": format!("chg_{number:032x}"), "seq": number, "operation": "update",
                "deployment_id": format!("dep_{number:032x}"), "outcome": "denied",
                "decision": "deny", "received_at": received,
                "actor": {"fingerprint": "pat_0123456789abcdef", "name": "nightly-script"},
                "violations": [{
                    "rule": "timezones", "enforcement": "deny", "path": "/schedule/timezone",
                    "message": "timezones: `Mars/Base` is not allowed: use UTC".repeat(20),
                }],
            })
        };
        let changes: Vec<Value> = (0..1_000).map(change).collect();
        let names = vec![Some("夜间数据质检".repeat(40)); changes.len()];
        let rows = Rows { changes, names };
        let before = Clock::System.thread_time();
        let shown = table(&rows).into_string();
        let took = Clock::System.thread_time().saturating_sub(before);
        println!("1,000 rows rendered in {took:?}");
        // Optimised it takes a tenth of that, and less: 20 ms are allowed.
        assert!(took.as_millis() < 200, "{took:?}");
        let room = shown.len() * usize::from(ROWS_MAX) / rows.changes.len();
        assert!(room < 150 << 10, "{room} bytes for a page");
    }
}
