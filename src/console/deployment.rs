//! One deployment: what became of it, how it stood at a time, and who set each of its fields.

mod blame;
mod now;
mod state;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::changes::{self, Rows, rows};
use super::form::{segment, with_query};
use super::frame::{self, Tab};
use super::text::{cut, shown};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id, named};
use crate::admin::asked::{Asked, Key, Kind, PAGE, key, text};
use crate::admin::filter;
use crate::audit::query::{Filter, PageRequest};
use crate::config::Role;

/// The most changes of one page.
const ROWS_MAX: u16 = 50;

/// The query of the page.
pub(super) enum DeploymentPage {}

impl Kind for DeploymentPage {
    const KEYS: &'static [&'static [Key]] = &[
        &[
            key("view", text, "timeline, state or blame."),
            key("time", text, "The moment of the state, or of blame; by default now."),
        ],
        PAGE,
    ];
}

/// A part of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Timeline,
    State,
    Blame,
}

impl View {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Timeline, "timeline", "Timeline"),
        (Self::State, "state", "State"),
        (Self::Blame, "blame", "Blame"),
    ];

    fn asked(text: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = text else { return Ok(Self::Timeline) };
        let found = Self::ALL.into_iter().find(|(_, name, _)| *name == text);
        let unknown = || Problem::invalid("view", "view: write timeline, state or blame");
        found.map(|(view, ..)| view).ok_or_else(unknown)
    }
}

/// The page.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    asked: Asked<DeploymentPage>,
) -> Answer {
    let id = named(id)?;
    let view = View::asked(asked.text("view"))?;
    let now = api.state.clock.now();
    let time = asked.text("time").map(|text| filter::moment("time", text, now)).transpose()?;
    let part = asked.page()?;
    let part = PageRequest { limit: part.limit.min(ROWS_MAX), ..part };
    let filter = Filter { deployment_id: Some(id.clone()), ..Filter::default() };
    let page = api.seen_changes(&asker, filter, part).await?;
    let next = page.next_cursor.clone();
    let rows = rows(&api, &asker, page).await?;
    if rows.changes.is_empty() && asked.text("cursor").is_none() {
        return Err(Problem::not_found("no change of this deployment is recorded"));
    }
    let path = format!("/deployments/{}", segment(&id));
    let inner = match view {
        View::Timeline => html! {
            @if asker.role >= Role::Auditor && asked.text("cursor").is_none() {
                (now::section(&api, &asker, &id).await?)
            }
            (timeline(&rows, (&id, &path)))
            (super::pager::pages(&path, &asked, next.as_deref()))
        },
        View::State => {
            state::section(&api, &asker, (&id, &path), (time.unwrap_or(now), &rows)).await?
        }
        View::Blame => blame::section(&api, &asker, &id, time.unwrap_or(now)).await?,
    };
    let name = rows.names.first().cloned().flatten();
    let body = html! {
        div.head {
            div {
                h1 { @match &name { Some(name) => (cut(name, 120)), None => (cut(&id, 120)) } }
                p.dim { code data-copy { (shown(&id)) } }
            }
            (tabs(&path, view, asker.role))
        }
        (inner)
    };
    let title = name.as_deref().unwrap_or(&id);
    frame::page(&api, &asker, (Tab::Deployments, title), &body)
}

fn tabs(path: &str, here: View, role: Role) -> Markup {
    // The others take the role auditor.
    let may = |view: View| view == View::Timeline || role >= Role::Auditor;
    html! {
        nav.tabs aria-label="Parts of this deployment" {
            @for (view, name, told) in View::ALL.into_iter().filter(|(view, ..)| may(*view)) {
                @let pair = std::iter::once(("view", name)).filter(|_| view != View::Timeline);
                a href=(with_query(path, pair)) aria-current=[(view == here).then_some("page")] {
                    (told)
                }
            }
        }
    }
}

fn timeline(rows: &Rows, (id, path): (&str, &str)) -> Markup {
    let all = with_query("/changes", std::iter::once(("deployment_id", id)));
    html! {
        section aria-labelledby="timeline" {
            div.head {
                h2 #timeline { "What became of it" }
                p.links {
                    a href=(all) { "with filters" } " · "
                    a href=(with_query(path, std::iter::once(("view", "state")))) { "how it stood" }
                }
            }
            (changes::table(rows))
        }
    }
}
