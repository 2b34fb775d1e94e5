//! Sinks: how they stand, and what an operator wants of them.

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::{Answer, Id, in_time, named};
use super::asked::{self, Asked};
use super::sent::{Body, Sent};
use crate::audit::query::{Page, QueryError};
use crate::audit::sinks::{SinkOrder, SinkStanding};
use crate::config::Role;
use crate::sinks::SinkTest;

/// The most bytes of what is sent.
const SENT_BYTES_MAX: usize = 1 << 10;

/// A sink.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sink {
    /// The kind; null of one that is not configured any more.
    #[schema(required)]
    pub(crate) kind: Option<&'static str>,
    /// The form in which it is told of records, `change` or `ocsf`; null likewise.
    #[schema(required)]
    pub(crate) format: Option<&'static str>,
    /// Where it is, without the path of a URL, which may hold a secret; null likewise.
    #[schema(required)]
    pub(crate) to: Option<String>,
    #[serde(flatten)]
    pub(crate) standing: SinkStanding,
}

/// An object without members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoMembers {}

/// The place to send anew from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayFrom {
    /// The position of the first record that is sent once more.
    from: u64,
}

impl Body for NoMembers {
    const BYTES_MAX: usize = SENT_BYTES_MAX;
    const MEMBER: Option<&str> = None;
    const EXAMPLE: &str = "{}";
}

impl Body for ReplayFrom {
    const BYTES_MAX: usize = SENT_BYTES_MAX;
    const MEMBER: Option<&str> = Some("from");
    const EXAMPLE: &str = "{\"from\": 0}, with the position of a record";
}

/// The holder of an admin token who may change what the gateway does, made sure of before anything
/// that is sent is read.
pub(crate) struct Operator(String);

impl Operator {
    /// The asker, where they may.
    pub(crate) fn of(asker: &Asker) -> Result<Self, Problem> {
        let holder = asker.holder.as_ref().filter(|holder| holder.role >= Role::Admin);
        holder.map(|holder| Self(holder.name.clone())).ok_or_else(|| {
            Problem::forbidden("this takes an [[admin.token]] with the role admin: use one")
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let asker = parts.extensions.get::<Asker>();
        Self::of(asker.ok_or_else(|| Problem::forbidden("who asks is not known"))?)
    }
}

/// Sinks, by their names.
#[utoipa::path(
    get,
    path = "/api/v1/sinks",
    params(Asked<asked::Nothing>),
    responses((status = 200, description = "All of them, as one page.", body = Page<Sink>)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    _nothing: Asked<asked::Nothing>,
) -> Answer {
    let page = in_time(&asker.share.reading, all(&api)).await?;
    api.budget.json(&page)
}

/// All sinks that the log knows.
pub(crate) async fn all(api: &Api) -> Result<Page<Sink>, QueryError> {
    let standings = api.reader().sinks(api.state.clock.now()).await?;
    let sink = |standing: SinkStanding| {
        let config = api.state.sinks.named(&standing.name);
        Sink {
            kind: config.as_ref().map(|config| config.kind.name()),
            format: config.as_ref().map(|config| config.format.name()),
            to: config.map(|config| config.kind.shown()),
            standing,
        }
    };
    let data = standings.into_iter().map(sink).collect();
    Ok(Page { data, next_cursor: None, has_more: false })
}

/// Sends a message of kind `sink.test`, and says what came of it. No record is sent.
#[utoipa::path(
    post,
    path = "/api/v1/sinks/{id}/test",
    security(("token" = ["admin"])),
    params(("id" = String, Path, min_length = 1, description = "The sink's name.")),
    request_body = NoMembers,
    responses((status = 200, description = "What came of it.", body = SinkTest)),
)]
pub(super) async fn test(
    State(api): State<Api>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
    operator: Operator,
    Sent(NoMembers {}): Sent<NoMembers>,
) -> Answer {
    api.budget.json(&tested(&api, id, operator).await?)
}

/// The result of a test.
pub(crate) async fn tested(api: &Api, id: Id, Operator(by): Operator) -> Result<SinkTest, Problem> {
    api.state.sinks.test(&named(id)?, &by).await.ok_or_else(unknown)
}

/// Sends every record from a position on once more, and goes on from there.
#[utoipa::path(
    post,
    path = "/api/v1/sinks/{id}/replay",
    security(("token" = ["admin"])),
    params(("id" = String, Path, min_length = 1, description = "The sink's name.")),
    request_body = ReplayFrom,
    responses((status = 200, description = "The sink, as it stands now.", body = Sink)),
)]
pub(super) async fn replay(
    State(api): State<Api>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
    operator: Operator,
    Sent(ReplayFrom { from }): Sent<ReplayFrom>,
) -> Answer {
    let end = api.reader().end().await?;
    if from > end {
        let fix = format!("from: the log ends at {end}: write a position up to that");
        return Err(Problem::invalid("from", fix));
    }
    api.budget.json(&ordered(&api, id, operator, SinkOrder::Replay(from)).await?)
}

/// Has a sink that waits, or that its receiver disabled, go on at once.
#[utoipa::path(
    post,
    path = "/api/v1/sinks/{id}/resume",
    security(("token" = ["admin"])),
    params(("id" = String, Path, min_length = 1, description = "The sink's name.")),
    request_body = NoMembers,
    responses((status = 200, description = "The sink, as it stands now.", body = Sink)),
)]
pub(super) async fn resume(
    State(api): State<Api>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
    operator: Operator,
    Sent(NoMembers {}): Sent<NoMembers>,
) -> Answer {
    api.budget.json(&resumed(&api, id, operator).await?)
}

/// The sink that goes on.
pub(crate) async fn resumed(api: &Api, id: Id, operator: Operator) -> Result<Sink, Problem> {
    ordered(api, id, operator, SinkOrder::Resume).await
}

async fn ordered(
    api: &Api,
    id: Id,
    Operator(by): Operator,
    order: SinkOrder,
) -> Result<Sink, Problem> {
    let name = named(id)?;
    if !api.state.sinks.order(&name, order, &by).await? {
        return Err(unknown());
    }
    tracing::info!(sink = name, ?order, by, "a sink was given an order");
    let sinks = all(api).await?.data;
    sinks.into_iter().find(|sink| sink.standing.name == name).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("no sink has this name: /api/v1/sinks lists them")
}
