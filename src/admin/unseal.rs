//! `POST /api/v1/changes/{id}/unseal`: bodies as they were before their secrets were concealed.

use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Api;
use super::access::Asker;
use super::answer::Problem;
use super::api::{Answer, Id};
use super::asked::{self, Asked};
use super::sent::{Body, Sent};
use crate::audit::unseal::{NotUnsealed, Unsealing};
use crate::base::ids::ChangeId;
use crate::config::Role;

/// Why originals are asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnsealingReason {
    /// In words, as many as `approvals.reason_min_chars` of the policy asks for.
    reason: String,
}

impl Body for UnsealingReason {
    const BYTES_MAX: usize = 16 << 10;
    const MEMBER: Option<&str> = Some("reason");
    const EXAMPLE: &str = "{\"reason\": \"why the originals are asked for\"}";
}

/// The bodies of a change as they were, those that hold anything that the record conceals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Originals {
    /// The change.
    change: ChangeId,
    /// The body of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    patch: Option<Value>,
    /// The deployment before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The deployment after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

/// The bodies of a change as they were before their secrets were concealed, where they were kept
/// sealed. Who asks, and why, is on record before they are shown.
#[utoipa::path(
    post,
    path = "/api/v1/changes/{id}/unseal",
    security(("token" = ["admin"])),
    params(("id" = ChangeId, Path, description = "The change's id.")),
    request_body = UnsealingReason,
    responses((status = 200, description = "The bodies.", body = Originals)),
)]
pub(super) async fn unseal(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    _nothing: Asked<asked::Nothing>,
    sent: Result<Sent<UnsealingReason>, Problem>,
) -> Answer {
    let holder = asker.holder.as_ref().filter(|holder| holder.role == Role::Admin);
    let holder = holder.ok_or_else(|| {
        Problem::forbidden("unsealing takes an [[admin.token]] with the role admin: use one")
    })?;
    let (by, person) = (Some(holder.name.clone()), holder.person.clone());
    let Sent(UnsealingReason { reason }) = sent?;
    let change = api.bare_change(&asker, id).await?;
    let reason = (api.state.policy)().approvals.reason(&reason);
    let reason = reason.map_err(|fix| Problem::invalid("reason", fix))?;
    let asked = Unsealing { by, person, reason, at: api.state.clock.now() };
    let unsealed = api.state.audit.unseal((change.id, change.seq), asked).await;
    let originals = unsealed.map_err(problem)?.ok_or_else(|| {
        Problem::not_found(
            "no originals of this change are kept: nothing in it was concealed, seal.key_file was \
             not set then, or they were erased",
        )
    })?;
    let Asker { role, .. } = asker;
    tracing::info!(change = %change.id, ?role, "originals are shown");
    api.budget.json(&originals_of(change.id, originals))
}

fn originals_of(change: ChangeId, mut bodies: Map<String, Value>) -> Originals {
    let [patch, before, after] = ["patch", "before", "after"].map(|name| bodies.remove(name));
    Originals { change, patch, before, after }
}

fn problem(error: NotUnsealed) -> Problem {
    match error {
        NotUnsealed::NotSealing | NotUnsealed::Sealed(_) => Problem::conflict(error.to_string()),
        NotUnsealed::Query(error) => error.into(),
        NotUnsealed::Unrecorded(error) => Problem::unavailable(&error),
    }
}
