//! Changes made around the gateway.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;

use super::changes::names_of;
use super::deployments::values;
use super::fields::places;
use super::frame::{self, Tab};
use super::pager;
use super::sentence::deployment;
use super::shown::Shown;
use super::text::{at, date_clock, found};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::Answer;
use crate::admin::asked::{self, Asked};
use crate::audit::query::PageRequest;
use crate::base::count::{counted, numbered};

/// The most of one page.
const ROWS_MAX: u16 = 30;

/// The list.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Drifts>,
) -> Answer {
    let (filter, part) = (asked.event_filter(&api, &asker)?, asked.page()?);
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let page = api.seen_drifts(&asker, filter, part).await?;
    let rows = values(&page)?;
    let names = names(&api, &asker, &rows).await?;
    let mut bounds = Shown::new(true, "/api/v1/drift".to_owned());
    let body = html! {
        div.head { h1 { "Drift" } p.dim { "Deployments that were changed around the gateway" } }
        @if rows.is_empty() {
            div.empty {
                @if page.has_more { h2 { "None among the events looked through so far" } } @else {
                    h2 { "No drift was found" }
                    p { "Each change is compared with the one before it. What was changed \
                        elsewhere meanwhile is listed here, with the window in which it was." }
                }
            }
        }
        @for (row, name) in rows.iter().zip(&names) { (entry(row, name.as_deref(), &mut bounds)) }
        (pager::pages("/drift", &asked, page.next_cursor.as_deref()))
    };
    frame::page(&api, &asker, (Tab::Drift, "Drift"), &body)
}

/// The name of each one's deployment, where it is known and may be.
pub(super) async fn names(
    api: &Api,
    asker: &Asker,
    events: &[Value],
) -> Result<Vec<Option<String>>, Problem> {
    let ids = events.iter().map(|event| at(event, "/detail/deployment_id").to_owned());
    names_of(api, asker, &ids.collect::<Vec<_>>()).await
}

fn entry(event: &Value, name: Option<&str>, bounds: &mut Shown) -> Markup {
    let detail = event.get("detail").unwrap_or(&Value::Null);
    let all = detail.get("diff").and_then(Value::as_array);
    html! {
        article.card {
            (headline(detail, name))
            @match all {
                None => p.dim {
                    (numbered(count(detail), "place differs", "places differ"))
                    "; the role auditor shows which."
                },
                Some(all) => (places("Changed around the gateway", all, bounds)),
            }
        }
    }
}

fn count(detail: &Value) -> u64 {
    detail.get("places").and_then(Value::as_u64).unwrap_or_default()
}

/// Which deployment, in which window.
fn headline(detail: &Value, name: Option<&str>) -> Markup {
    html! {
        h2 { (deployment(found(detail, "/deployment_id"), name)) }
        p {
            "between " (date_clock(at(detail, "/after_at"))) " and "
            (date_clock(at(detail, "/before_at"))) " UTC: after "
            a href=(format!("/changes/{}", at(detail, "/after"))) { "this change" }
            ", found by " a href=(format!("/changes/{}", at(detail, "/change"))) { "this one" }
        }
    }
}

/// One in a line.
pub(super) fn line(event: &Value, name: Option<&str>) -> Markup {
    let detail = event.get("detail").unwrap_or(&Value::Null);
    html! {
        li {
            (date_clock(at(event, "/at"))) " "
            (deployment(found(detail, "/deployment_id"), name)) ", "
            a href=(format!("/changes/{}", at(detail, "/change"))) {
                (counted(count(detail), "place"))
            }
        }
    }
}
