//! The questions about the log, below `/api/v1`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::asked::{self, Asked};
use super::filter;
use super::view::{self, Seen};
use super::whole::{self, Source};
use crate::audit::query::{
    ActorFilter, BODIES_LIMIT_MAX, DeploymentAt, DeploymentSummary, EventFilter, Filter, LIMIT_MAX,
    Page, PageRequest, PrunedSpan, QueryError, Reader, Unseen,
};
use crate::audit::record::{Change, Event};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::config::Role;

pub(crate) type Answer = Result<Response, Problem>;
pub(crate) type Id = Result<Path<String>, PathRejection>;

/// How long an answer may take. The command line waits longer.
pub(crate) const QUESTION_MAX: Duration = Duration::from_secs(10);

const NO_CHANGE: &str =
    "no change of this deployment is recorded: /api/v1/deployments lists the known ones";

/// Changes without bodies, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/changes",
    params(Asked<asked::Changes>),
    responses((status = 200, description = "A page.", body = Page<Change>)),
)]
pub(crate) async fn changes(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Changes>,
) -> Answer {
    let (filter, part) = (asked.filter(&api, &asker)?, asked.page()?);
    api.budget.json(&api.seen_changes(&asker, filter, part).await?)
}

/// One whole change.
#[utoipa::path(
    get,
    path = "/api/v1/changes/{id}",
    params(
        ("id" = ChangeId, Path, description = "The change's id."),
        Asked<asked::Nothing>,
    ),
    responses(
        (status = 200, description = "The change; without bodies for a viewer.", body = Change),
    ),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let change = api.bare_change(&asker, id).await?;
    if asker.role < Role::Auditor {
        return api.budget.json(&view::seen(change, asker.role));
    }
    within(QUESTION_MAX, async {
        let source = api.bodies(&asker, &[change.id]).await?;
        whole::change(change, source, &api.budget).await
    })
    .await?
    .finish()
}

/// Deployments with recorded changes, the newest changed first.
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    params(Asked<asked::Deployments>),
    responses((status = 200, description = "A page.", body = Page<DeploymentSummary>)),
)]
pub(crate) async fn deployments(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Deployments>,
) -> Answer {
    api.budget.json(&api.seen_deployments(&asker, asked.page()?).await?)
}

/// The changes of a deployment, newest first, with bodies for auditors.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}/history",
    params(
        ("id" = String, Path, min_length = 1, description = "The deployment's id."),
        Asked<asked::History>,
    ),
    responses((status = 200, description = "A page.", body = Page<Change>)),
)]
pub(crate) async fn history(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    asked: Asked<asked::History>,
) -> Answer {
    let filter = asked.filter(&api, &asker)?;
    let (limit, bodies) = (asked.page()?, asker.role >= Role::Auditor);
    let every = asked.is_bare();
    let filter = Filter { deployment_id: Some(named(id)?), ..filter };
    let limit_max = if bodies { BODIES_LIMIT_MAX } else { LIMIT_MAX };
    let limit = PageRequest { limit: limit.limit.min(limit_max), ..limit };
    let page = in_time(asker.turns(filter.scans()), api.changes(filter, limit)).await?;
    if every && page.data.is_empty() {
        return Err(Problem::not_found(NO_CHANGE));
    }
    if !bodies {
        return api.budget.json(&view::page(page, asker.role));
    }
    let ids: Vec<ChangeId> = page.data.iter().map(|change| change.id).collect();
    within(QUESTION_MAX, async {
        let source = api.bodies(&asker, &ids).await?;
        whole::page(page, source, &api.budget).await
    })
    .await?
    .finish()
}

/// A deployment as last seen at or before a moment; not for viewers.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}/at",
    security(("token" = ["auditor"]), ()),
    params(
        ("id" = String, Path, min_length = 1, description = "The deployment's id."),
        Asked<asked::At>,
    ),
    responses((status = 200, description = "The deployment.", body = DeploymentAt)),
)]
pub(crate) async fn at(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    asked: Asked<asked::At>,
) -> Answer {
    asker.may_look_inside()?;
    let missing = || Problem::invalid("time", "time: say when, such as time=2026-06-14T08:58:11Z");
    let text = asked.text("time").ok_or_else(missing)?;
    let time = filter::moment("time", text, api.state.clock.now())?;
    let id = named(id)?;
    let Some(found) = api.deployment_at(&asker, &id, time).await? else {
        let reader = api.reader();
        let why = in_time(&asker.share.reading, reader.why_unseen(&id, time)).await?;
        return Err(unseen(&why));
    };
    api.budget.json(&found)
}

/// The problem of a deployment that the log does not show at a moment.
fn unseen(why: &Unseen) -> Problem {
    Problem::not_found(match why {
        Unseen::Never => NO_CHANGE.to_owned(),
        Unseen::Erased(change) => {
            format!(
                "what the log had seen of this deployment was erased: {change} tells what stays"
            )
        }
        Unseen::Pruned(PrunedSpan { at, since, until, .. }) => format!(
            "the log has nothing of this deployment until then: it had not seen it, or that went \
             when changes that came between {since} and {until} were pruned at {at}, as the event \
             prune of that time tells: ask for a later time"
        ),
        Unseen::NotYet => {
            "the log had not seen this deployment by then: ask for a later time".to_owned()
        }
    })
}

/// Events: all that is not a governed call, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    params(Asked<asked::Events>),
    responses((status = 200, description = "A page.", body = Page<Event>)),
)]
pub(crate) async fn events(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Events>,
) -> Answer {
    let (filter, part) = (asked.event_filter(&api, &asker)?, asked.page()?);
    api.budget.json(&api.seen_events(&asker, filter, part).await?)
}

/// Changes made around the gateway, newest first: events of the kind `drift`.
#[utoipa::path(
    get,
    path = "/api/v1/drift",
    params(Asked<asked::Drifts>),
    responses((status = 200, description = "A page.", body = Page<Event>)),
)]
pub(crate) async fn drift(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    asked: Asked<asked::Drifts>,
) -> Answer {
    let (filter, part) = (asked.event_filter(&api, &asker)?, asked.page()?);
    api.budget.json(&api.seen_drifts(&asker, filter, part).await?)
}

impl Api {
    pub(crate) fn reader(&self) -> &Reader {
        self.state.audit.reader()
    }

    /// Changes without bodies, as far as the asker sees them.
    pub(crate) async fn seen_changes(
        &self,
        asker: &Asker,
        filter: Filter,
        part: PageRequest,
    ) -> Result<Page<Seen<Change>>, Problem> {
        let filter = self.with_named(asker, filter).await?;
        let page = in_time(asker.turns(filter.scans()), self.changes(filter, part)).await?;
        Ok(view::page(page, asker.role))
    }

    /// The change that a path names, without its bodies.
    pub(crate) async fn bare_change(&self, asker: &Asker, id: Id) -> Result<Change, Problem> {
        let unknown = || Problem::not_found("no change has this id: /api/v1/changes lists them");
        let id: ChangeId = named(id)?.parse().map_err(|_no_id| unknown())?;
        let found = in_time(&asker.share.reading, self.reader().bare_change(id)).await?;
        found.ok_or_else(unknown)
    }

    /// Deployments, as far as the asker sees them.
    pub(crate) async fn seen_deployments(
        &self,
        asker: &Asker,
        part: PageRequest,
    ) -> Result<Page<Seen<DeploymentSummary>>, Problem> {
        let names = asker.role >= Role::Auditor;
        let page = in_time(&asker.share.reading, self.reader().deployments(part, names)).await?;
        Ok(view::page(page, asker.role))
    }

    /// A deployment as last seen at or before a moment, for who may look inside one.
    pub(crate) async fn deployment_at(
        &self,
        asker: &Asker,
        id: &str,
        time: Timestamp,
    ) -> Result<Option<DeploymentAt>, Problem> {
        asker.may_look_inside()?;
        within(QUESTION_MAX, async {
            let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
            let _turn = self.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
            let found = self.reader().deployment_at(id, time).await?;
            self.note_look(asker, &found.iter().map(|found| found.change).collect::<Vec<_>>());
            Ok(found)
        })
        .await
    }

    /// Events, as far as the asker sees them.
    pub(crate) async fn seen_events(
        &self,
        asker: &Asker,
        filter: EventFilter,
        part: PageRequest,
    ) -> Result<Page<Seen<Event>>, Problem> {
        let page = in_time(asker.turns(filter.scans()), self.events(filter, part)).await?;
        self.note_differences(asker, &page);
        Ok(view::page(page, asker.role))
    }

    /// Events of changes made around the gateway, as far as the asker sees them.
    pub(crate) async fn seen_drifts(
        &self,
        asker: &Asker,
        filter: EventFilter,
        part: PageRequest,
    ) -> Result<Page<Seen<Event>>, Problem> {
        let page = in_time(&asker.share.scanning, self.reader().drifts(&filter, part)).await?;
        self.note_differences(asker, &page);
        Ok(view::page(page, asker.role))
    }

    /// Changes without bodies.
    async fn changes(&self, filter: Filter, part: PageRequest) -> Result<Page<Change>, QueryError> {
        let filter = Filter { actor: self.with_tokens(filter.actor).await?, ..filter };
        self.reader().changes(&filter, part, false).await
    }

    async fn events(
        &self,
        filter: EventFilter,
        part: PageRequest,
    ) -> Result<Page<Event>, QueryError> {
        let filter = EventFilter { actor: self.with_tokens(filter.actor).await?, ..filter };
        self.reader().events(&filter, part).await
    }

    /// The actor who is asked for, with the tokens of a name.
    pub(crate) async fn with_tokens(
        &self,
        actor: Option<ActorFilter>,
    ) -> Result<Option<ActorFilter>, QueryError> {
        filter::with_tokens(actor, self.reader(), |name| (self.state.tokens_of)(name)).await
    }

    /// The bodies of these changes, once it is this asker's turn to read them. The log is told.
    pub(crate) async fn bodies(
        &self,
        asker: &Asker,
        changes: &[ChangeId],
    ) -> Result<Source, Problem> {
        self.note_look(asker, changes);
        let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
        let turn = Arc::clone(&self.bodies).acquire_owned().await;
        let turn = Arc::new(turn.map_err(|_closed| Problem::no_room())?);
        Ok(Source { texts: self.reader().texts().await?, turn })
    }
}

impl Asker {
    /// Holds that the asker's role shows what is inside a deployment.
    pub(crate) fn may_look_inside(&self) -> Result<(), Problem> {
        if self.role >= Role::Auditor {
            return Ok(());
        }
        Err(Problem::forbidden(
            "a viewer's token does not show what is inside a deployment: use an auditor's",
        ))
    }

    /// The turns of questions that look through the log, or of others.
    pub(crate) fn turns(&self, scans: bool) -> &Semaphore {
        if scans { &self.share.scanning } else { &self.share.reading }
    }
}

/// The answer to a question, asked once it is its turn.
pub(crate) async fn in_time<T>(
    turns: &Semaphore,
    question: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, Problem> {
    within(QUESTION_MAX, async {
        let _turn = turns.acquire().await.map_err(|_closed| Problem::no_room())?;
        Ok(question.await?)
    })
    .await
}

pub(crate) async fn within<T>(
    longest: Duration,
    question: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let answered = timeout(longest, question).await;
    answered.map_err(|_elapsed| Problem::takes_too_long(longest))?
}

/// The id that stands in the path.
pub(crate) fn named(id: Id) -> Result<String, Problem> {
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
