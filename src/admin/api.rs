//! The questions about the log, below `/api/v1`.

use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use tokio::time::timeout;

use super::AdminState;
use super::answer::Problem;
use super::filter::{self, FILTERS};
use crate::audit::query::{
    Cursor, DeploymentAt, DeploymentSummary, Filter, LIMIT_MAX, Page, PageRequest, QueryError,
};
use crate::audit::record::{Change, Event};
use crate::config::Role;
use crate::ids::ChangeId;

type Answer<T> = Result<Json<T>, Problem>;
type Id = Result<Path<String>, PathRejection>;

/// The longest query, in bytes.
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// How long an answer may take. The command line waits longer.
const QUESTION_MAX: Duration = Duration::from_secs(10);

/// How many items a page has where its asker does not say.
const LIMIT_DEFAULT: u16 = 50;

/// The keys that ask for a page.
const PAGE: [&str; 2] = ["limit", "cursor"];

pub(super) async fn changes(
    State(state): State<AdminState>,
    Extension(role): Extension<Role>,
    uri: Uri,
) -> Answer<Page<Change>> {
    let asked = Asked::read(&uri, |key| FILTERS.contains(&key) || PAGE.contains(&key))?;
    let filter = filter::filter(|key| asked.text(key), state.clock.now())?;
    let page = in_time(state.audit.reader().changes(&filter, asked.page()?, false)).await?;
    Ok(Json(shown_page(page, role)))
}

pub(super) async fn change(
    State(state): State<AdminState>,
    Extension(role): Extension<Role>,
    id: Id,
    uri: Uri,
) -> Answer<Change> {
    Asked::read(&uri, |_key| false)?;
    let unknown = || Problem::not_found("no change has this id: /api/v1/changes lists them");
    let id: ChangeId = named(id)?.parse().map_err(|_no_id| unknown())?;
    let found = in_time(state.audit.reader().change(id)).await?;
    found.map(|change| Json(shown(change, role))).ok_or_else(unknown)
}

pub(super) async fn deployments(
    State(state): State<AdminState>,
    uri: Uri,
) -> Answer<Page<DeploymentSummary>> {
    let asked = Asked::read(&uri, |key| PAGE.contains(&key))?;
    let page = in_time(state.audit.reader().deployments(asked.page()?, true)).await?;
    Ok(Json(page))
}

pub(super) async fn history(
    State(state): State<AdminState>,
    Extension(role): Extension<Role>,
    id: Id,
    uri: Uri,
) -> Answer<Page<Change>> {
    let narrowing = |key: &str| FILTERS.contains(&key) && key != "deployment_id";
    let asked = Asked::read(&uri, |key| narrowing(key) || PAGE.contains(&key))?;
    let filter = filter::filter(|key| asked.text(key), state.clock.now())?;
    let every = filter == Filter::default() && asked.text("cursor").is_none();
    let filter = Filter { deployment_id: Some(named(id)?), ..filter };
    let bodies = role >= Role::Auditor;
    let page = in_time(state.audit.reader().changes(&filter, asked.page()?, bodies)).await?;
    if every && page.data.is_empty() {
        return Err(Problem::not_found(
            "no change of this deployment is recorded: /api/v1/deployments lists the known ones",
        ));
    }
    Ok(Json(shown_page(page, role)))
}

pub(super) async fn at(
    State(state): State<AdminState>,
    Extension(role): Extension<Role>,
    id: Id,
    uri: Uri,
) -> Answer<DeploymentAt> {
    let asked = Asked::read(&uri, |key| key == "time")?;
    if role < Role::Auditor {
        return Err(Problem::forbidden(
            "a viewer's token does not show what is inside a deployment: use an auditor's",
        ));
    }
    let missing = || Problem::invalid("time", "time: say when, such as time=2026-06-14T08:58:11Z");
    let text = asked.text("time").ok_or_else(missing)?;
    let time = filter::moment("time", text, state.clock.now())?;
    let found = in_time(state.audit.reader().deployment_at(&named(id)?, time)).await?;
    found.map(Json).ok_or_else(|| {
        Problem::not_found("the log has not seen this deployment until then: ask for a later time")
    })
}

pub(super) async fn events(State(state): State<AdminState>, uri: Uri) -> Answer<Page<Event>> {
    let timed = |key: &str| matches!(key, "since" | "until");
    let asked = Asked::read(&uri, |key| timed(key) || PAGE.contains(&key))?;
    let (since, until) = filter::span(|key| asked.text(key), state.clock.now())?;
    let page = in_time(state.audit.reader().events(since, until, asked.page()?)).await?;
    Ok(Json(page))
}

/// A query whose keys are all known, each there once.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn read(uri: &Uri, known: impl Fn(&str) -> bool) -> Result<Self, Problem> {
        if uri.query().is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
            return Err(Problem::query_too_long(QUERY_BYTES_MAX));
        }
        let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) =
            read.map_err(|_bad| Problem::invalid("", "write the query as key=value&key=value"))?;
        for (place, (key, _)) in pairs.iter().enumerate() {
            if !known(key) {
                let message = "this key means nothing here: leave it out, \
                    or see /openapi.json for those that do";
                return Err(Problem::invalid(key, message));
            }
            if pairs.iter().take(place).any(|(former, _)| former == key) {
                return Err(Problem::invalid(key, format!("{key} is given twice: give it once")));
            }
        }
        Ok(Self(pairs))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, text)| text.as_str())
    }

    fn page(&self) -> Result<PageRequest, Problem> {
        let read = |text: &str| {
            // `parse` alone would take a plus sign too.
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.filter(|_limit| text.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| {
                Problem::invalid("limit", "limit: write a whole number from 1 to 1000")
            })
        };
        let limit = self.text("limit").map_or(Ok(LIMIT_DEFAULT), read)?;
        let cursor = self.text("cursor").map(Cursor::parse).transpose()?;
        Ok(PageRequest { limit, cursor })
    }
}

async fn in_time<T>(question: impl Future<Output = Result<T, QueryError>>) -> Result<T, Problem> {
    within(QUESTION_MAX, question).await
}

async fn within<T>(
    longest: Duration,
    question: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, Problem> {
    let answered = timeout(longest, question).await;
    Ok(answered.map_err(|_elapsed| Problem::takes_too_long(longest))??)
}

/// The id that stands in the path.
fn named(id: Id) -> Result<String, Problem> {
    let Path(id) = id.map_err(|_bad| Problem::not_found("the path holds no text in UTF-8"))?;
    Ok(id)
}

fn shown_page(page: Page<Change>, role: Role) -> Page<Change> {
    let data = page.data.into_iter().map(|change| shown(change, role)).collect();
    Page { data, ..page }
}

/// A change as `role` may see it: a viewer sees nothing of what is inside a deployment.
fn shown(mut change: Change, role: Role) -> Change {
    if role < Role::Auditor {
        change.bodies = None;
        for violation in change.violations.iter_mut().chain(&mut change.standing) {
            violation.actual = None;
        }
    }
    change
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test]
    async fn a_question_has_its_time() {
        assert_eq!(in_time(ready(Ok(7))).await.unwrap(), 7);
        let late = within(Duration::ZERO, pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(late.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
