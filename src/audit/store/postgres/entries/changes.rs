//! The rows of changes and of their ends.

use serde::Serialize;

use crate::audit::record::Unkept;
use crate::audit::store::batch::{Change, End};
use crate::audit::store::postgres::literal::{Bytes, hex};
use crate::base::clock::Timestamp;
use crate::base::ids::Hex;
use crate::policy::Actor;

/// The error of a value that is no JSON.
pub(super) type Fault = serde_json::Error;

/// A turn that a change is opened under.
#[derive(Serialize)]
pub(super) struct TurnRow {
    turn: String,
    token: i64,
}

#[derive(Serialize)]
pub(super) struct ChangeRow<'e> {
    id: Bytes<'e>,
    upstream: &'e str,
    provider: &'static str,
    policy: &'e str,
    operation: &'static str,
    method: &'e str,
    deployment: Option<&'e str>,
    #[serde(flatten)]
    actor: ActorColumns<'e>,
    client_ip: &'e str,
    user_agent: Option<&'e str>,
    client_retry: Option<u32>,
    request_id: &'e str,
    received_at: i64,
    decided_at: Option<i64>,
    decision: &'static str,
    violations: Option<String>,
    standing: Option<String>,
    patch: Option<Bytes<'e>>,
    before: Option<i64>,
    body_bytes: Option<i64>,
    body_digest: Option<&'e str>,
    redacted: Option<String>,
    unkept: Option<String>,
    approval: Option<String>,
    reverts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    turn: Option<String>,
    token: Option<i64>,
}

/// An actor, in the columns of several tables.
#[derive(Serialize)]
pub(super) struct ActorColumns<'e> {
    #[serde(rename = "actor_fingerprint")]
    fingerprint: Bytes<'e>,
    #[serde(rename = "actor_name")]
    name: Option<&'e str>,
    #[serde(rename = "actor_team")]
    team: Option<&'e str>,
    #[serde(rename = "actor_person")]
    person: Option<&'e str>,
}

#[derive(Serialize)]
pub(super) struct EndRow<'e> {
    id: Bytes<'e>,
    outcome: &'static str,
    completed_at: i64,
    upstream_call: Option<serde_json::Value>,
    upstream_status: Option<u16>,
    upstream_request_id: Option<&'e str>,
    after: Option<i64>,
    effect: Option<serde_json::Value>,
    reason: Option<String>,
    redacted: Option<String>,
    unkept: Option<String>,
    after_violations: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    touched: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<i64>,
}

pub(super) fn turn(change: &Change<'_>) -> Option<TurnRow> {
    let fence = change.opening.intent.fence.as_ref()?;
    Some(TurnRow { turn: Hex(&fence.turn).to_string(), token: fence.token })
}

pub(super) fn change<'e>(change: &'e Change<'e>) -> Result<ChangeRow<'e>, Fault> {
    let opening = change.opening;
    let intent = &opening.intent;
    let body = intent.refused_body.as_ref();
    Ok(ChangeRow {
        id: Bytes(intent.id.as_bytes()),
        upstream: &intent.upstream,
        provider: intent.provider.name,
        policy: &intent.policy.digest,
        operation: intent.operation.name(),
        method: intent.method.as_str(),
        deployment: change.deployment_id,
        actor: actor(&intent.actor),
        client_ip: &intent.client.ip,
        user_agent: intent.client.user_agent.as_deref(),
        client_retry: intent.client.retry,
        request_id: &opening.request_id,
        received_at: intent.received_at.millis(),
        decided_at: intent.decided_at.map(Timestamp::millis),
        decision: intent.decision.name(),
        violations: list(&intent.violations)?,
        standing: list(&intent.standing)?,
        patch: opening.patch.as_deref().map(|patch| Bytes(patch)),
        before: change.before,
        body_bytes: body.map(|body| i64::try_from(body.bytes).unwrap_or(i64::MAX)),
        body_digest: body.and_then(|body| body.digest.as_deref()),
        redacted: list(&opening.redacted)?,
        unkept: unkept(&opening.unkept)?,
        approval: intent.approval.as_ref().map(|part| hex(part.id().as_bytes())),
        reverts: intent.reverts.map(|id| hex(id.as_bytes())),
        sealed: opening.originals.as_ref().map(|sealed| hex(&sealed.digest())),
        turn: intent.fence.as_ref().map(|fence| Hex(&fence.turn).to_string()),
        token: intent.fence.as_ref().map(|fence| fence.token),
    })
}

pub(super) fn actor(actor: &Actor) -> ActorColumns<'_> {
    ActorColumns {
        fingerprint: Bytes(actor.fingerprint.as_bytes()),
        name: actor.name.as_deref(),
        team: actor.team.as_deref(),
        person: actor.person.as_deref(),
    }
}

pub(super) fn end<'e>(end: &'e End<'e>) -> Result<EndRow<'e>, Fault> {
    let completion = &end.ending.completion;
    let upstream = completion.upstream.as_ref();
    Ok(EndRow {
        id: Bytes(end.ending.id.as_bytes()),
        outcome: completion.outcome.name(),
        completed_at: completion.completed_at.millis(),
        upstream_call: upstream.map(|answer| word(&answer.call)).transpose()?,
        upstream_status: upstream.and_then(|answer| answer.status),
        upstream_request_id: upstream.and_then(|answer| answer.request_id.as_deref()),
        after: end.after,
        effect: completion.effect.as_ref().map(word).transpose()?,
        reason: completion.reason.as_ref().map(serde_json::to_string).transpose()?,
        redacted: list(&end.ending.redacted)?,
        unkept: unkept(&end.ending.unkept)?,
        after_violations: list(&completion.after_violations)?,
        touched: end.ending.touched_digest.map(|digest| hex(&digest)),
        sealed: end.ending.originals.as_ref().map(|sealed| hex(&sealed.digest())),
        turn: end.ending.fence.as_ref().map(|fence| Hex(&fence.turn).to_string()),
        token: end.ending.fence.as_ref().map(|fence| fence.token),
    })
}

pub(super) fn word<T: Serialize>(variant: &T) -> Result<serde_json::Value, Fault> {
    serde_json::to_value(variant)
}

/// Bodies that are not kept, as JSON; nothing where all are.
pub(super) fn unkept(unkept: &Unkept) -> Result<Option<String>, Fault> {
    (!unkept.is_empty()).then(|| serde_json::to_string(unkept)).transpose()
}

/// A list as JSON; an empty one is nothing.
pub(super) fn list<T: Serialize>(items: &[T]) -> Result<Option<String>, Fault> {
    (!items.is_empty()).then(|| serde_json::to_string(items)).transpose()
}
