//! The questions about the log, below `/api/v1`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::filter::{self, FILTERS};
use super::view;
use super::whole::{self, Source};
use crate::audit::query::{
    BODIES_LIMIT_MAX, Cursor, Filter, LIMIT_MAX, PageRequest, QueryError, Reader,
};
use crate::base::ids::ChangeId;
use crate::config::Role;

type Answer = Result<Response, Problem>;
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
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
) -> Answer {
    let asked = Asked::read(&uri, |key| FILTERS.contains(&key) || PAGE.contains(&key))?;
    let filter = asked.filter(&api, &asker)?;
    let question = api.reader().changes(&filter, asked.page()?, false);
    let page = in_time(asker.turns(&filter), question).await?;
    api.budget.json(&view::page(page, asker.role))
}

pub(super) async fn change(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    uri: Uri,
) -> Answer {
    Asked::read(&uri, |_key| false)?;
    let unknown = || Problem::not_found("no change has this id: /api/v1/changes lists them");
    let id: ChangeId = named(id)?.parse().map_err(|_no_id| unknown())?;
    let found = in_time(&asker.share.reading, api.reader().bare_change(id)).await?;
    let change = found.ok_or_else(unknown)?;
    if asker.role < Role::Auditor {
        return api.budget.json(&view::seen(change, asker.role));
    }
    within(QUESTION_MAX, async {
        let source = api.bodies(&asker).await?;
        whole::change(change, source, &api.budget).await
    })
    .await?
    .finish()
}

pub(super) async fn deployments(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
) -> Answer {
    let asked = Asked::read(&uri, |key| PAGE.contains(&key))?;
    let names = asker.role >= Role::Auditor;
    let question = api.reader().deployments(asked.page()?, names);
    let page = in_time(&asker.share.reading, question).await?;
    api.budget.json(&view::page(page, asker.role))
}

pub(super) async fn history(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    uri: Uri,
) -> Answer {
    let narrowing = |key: &str| FILTERS.contains(&key) && key != "deployment_id";
    let asked = Asked::read(&uri, |key| narrowing(key) || PAGE.contains(&key))?;
    let filter = asked.filter(&api, &asker)?;
    let (limit, bodies) = (asked.page()?, asker.role >= Role::Auditor);
    let every = asked.is_bare();
    let filter = Filter { deployment_id: Some(named(id)?), ..filter };
    let limit_max = if bodies { BODIES_LIMIT_MAX } else { LIMIT_MAX };
    let limit = PageRequest { limit: limit.limit.min(limit_max), ..limit };
    let question = api.reader().changes(&filter, limit, false);
    let page = in_time(asker.turns(&filter), question).await?;
    if every && page.data.is_empty() {
        return Err(Problem::not_found(
            "no change of this deployment is recorded: /api/v1/deployments lists the known ones",
        ));
    }
    if !bodies {
        return api.budget.json(&view::page(page, asker.role));
    }
    within(QUESTION_MAX, async {
        let source = api.bodies(&asker).await?;
        whole::page(page, source, &api.budget).await
    })
    .await?
    .finish()
}

pub(super) async fn at(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    uri: Uri,
) -> Answer {
    let asked = Asked::read(&uri, |key| key == "time")?;
    if asker.role < Role::Auditor {
        return Err(Problem::forbidden(
            "a viewer's token does not show what is inside a deployment: use an auditor's",
        ));
    }
    let missing = || Problem::invalid("time", "time: say when, such as time=2026-06-14T08:58:11Z");
    let text = asked.text("time").ok_or_else(missing)?;
    let time = filter::moment("time", text, api.state.clock.now())?;
    let id = named(id)?;
    within(QUESTION_MAX, async {
        let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
        let _turn = api.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
        let found = api.reader().deployment_at(&id, time).await?.ok_or_else(|| {
            Problem::not_found(
                "the log has not seen this deployment until then: ask for a later time",
            )
        })?;
        api.budget.json(&found)
    })
    .await
}

pub(super) async fn events(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
) -> Answer {
    let timed = |key: &str| matches!(key, "since" | "until");
    let asked = Asked::read(&uri, |key| timed(key) || PAGE.contains(&key))?;
    let (since, until) = filter::span(|key| asked.text(key), api.state.clock.now())?;
    let question = api.reader().events(since, until, asked.page()?);
    let page = in_time(&asker.share.reading, question).await?;
    api.budget.json(&view::page(page, asker.role))
}

impl Api {
    fn reader(&self) -> &Reader {
        self.state.audit.reader()
    }

    /// The bodies of the log, once it is this asker's turn to read them.
    async fn bodies(&self, asker: &Asker) -> Result<Source, Problem> {
        let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
        let turn = Arc::clone(&self.bodies).acquire_owned().await;
        let turn = Arc::new(turn.map_err(|_closed| Problem::no_room())?);
        Ok(Source { texts: self.reader().texts().await?, turn })
    }
}

impl Asker {
    /// The turns of questions by `filter`.
    fn turns(&self, filter: &Filter) -> &Semaphore {
        if filter.scans() { &self.share.scanning } else { &self.share.reading }
    }
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

    /// The filter that is asked for, as far as the asker may ask.
    fn filter(&self, api: &Api, asker: &Asker) -> Result<Filter, Problem> {
        let filter = filter::filter(|key| self.text(key), api.state.clock.now())?;
        view::allowed(filter, asker.role, |key| self.text(key))
    }

    /// Whether all there is is asked for, from its begin.
    fn is_bare(&self) -> bool {
        self.0.iter().all(|(key, _)| key == "limit")
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

/// The answer to a question, asked once it is its turn.
async fn in_time<T>(
    turns: &Semaphore,
    question: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, Problem> {
    within(QUESTION_MAX, async {
        let _turn = turns.acquire().await.map_err(|_closed| Problem::no_room())?;
        Ok(question.await?)
    })
    .await
}

async fn within<T>(
    longest: Duration,
    question: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let answered = timeout(longest, question).await;
    answered.map_err(|_elapsed| Problem::takes_too_long(longest))?
}

/// The id that stands in the path.
fn named(id: Id) -> Result<String, Problem> {
    let Path(id) = id.map_err(|_bad| Problem::not_found("the path holds no text in UTF-8"))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test]
    async fn a_question_has_its_time() {
        let turns = Semaphore::new(1);
        assert_eq!(in_time(&turns, ready(Ok(7))).await.unwrap(), 7);
        let late = within(Duration::ZERO, pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(late.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
