//! A batch as the one value that the function takes: a list of rows for each table.

mod changes;

use serde::Serialize;

use self::changes::{
    ActorColumns, ChangeRow, EndRow, Fault, TurnRow, actor, change, end, turn, word,
};
use super::literal::{Bytes, hex};
use crate::audit::approval::{NewApproval, NewTerms};
use crate::audit::document::Snapshot;
use crate::audit::entry::IntentRow;
use crate::audit::idempotency::IdempotencyKey;
use crate::audit::originals::{Half, SealedOriginals};
use crate::audit::record::{Event, Settlement};
use crate::audit::store::batch::{ApprovalStepRow, Batch};
use crate::audit::touched::Touched;
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;

/// The lists of a batch; one that is empty is left out.
#[derive(Serialize)]
pub(super) struct Entries<'e> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstreams: Vec<UpstreamRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<PolicyRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<&'e str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deployments: Vec<DeploymentRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snapshots: Vec<SnapshotRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<TurnRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    voids: Vec<StepRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<ApprovalRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepRow<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends: Vec<EndRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    touched: Vec<TouchedRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    originals: Vec<OriginalRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    made: Vec<MadeRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settlements: Vec<SettlementRow<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventRow<'e>>,
}

#[derive(Serialize)]
struct UpstreamRow<'e> {
    name: &'e str,
    provider: &'static str,
}

#[derive(Serialize)]
struct PolicyRow<'e> {
    digest: &'e str,
    text: &'e str,
}

#[derive(Serialize)]
struct DeploymentRow<'e> {
    upstream: &'e str,
    id: &'e str,
}

#[derive(Serialize)]
struct SnapshotRow<'e> {
    number: i64,
    digest: Bytes<'e>,
    base: Option<i64>,
    depth: u8,
    body: Bytes<'e>,
}

#[derive(Serialize)]
struct KeyRow<'e> {
    id: Bytes<'e>,
    digest: Bytes<'e>,
    request: Bytes<'e>,
}

#[derive(Serialize)]
struct StepRow<'e> {
    id: Bytes<'e>,
    step: &'static str,
    at: i64,
    person: Option<&'e str>,
    token: Option<&'e str>,
    reason: Option<&'e str>,
    until_at: Option<i64>,
    change_id: Option<Bytes<'e>>,
}

#[derive(Serialize)]
struct ApprovalRow<'e> {
    id: Bytes<'e>,
    kind: &'static str,
    change_id: Bytes<'e>,
    upstream: &'e str,
    operation: &'static str,
    deployment_id: Option<&'e str>,
    #[serde(flatten)]
    actor: ActorColumns<'e>,
    person: &'e str,
    opened_at: i64,
    rules: String,
    expires_at: Option<i64>,
    asked: Option<Bytes<'e>>,
    base: Option<Bytes<'e>>,
    asks: Option<String>,
    reason: Option<&'e str>,
}

#[derive(Serialize)]
struct TouchedRow<'e> {
    id: Bytes<'e>,
    path: &'e str,
    kind: i64,
}

#[derive(Serialize)]
struct OriginalRow<'e> {
    id: Bytes<'e>,
    half: u8,
    key: Bytes<'e>,
    wrapped: Bytes<'e>,
    body: Bytes<'e>,
}

#[derive(Serialize)]
struct MadeRow<'e> {
    id: Bytes<'e>,
    upstream: &'e str,
    made: &'e str,
}

#[derive(Serialize)]
struct SettlementRow<'e> {
    seq: i64,
    settled_by: &'e str,
    at: i64,
    applied: Option<bool>,
}

#[derive(Serialize)]
struct EventRow<'e> {
    at: i64,
    kind: serde_json::Value,
    #[serde(flatten)]
    actor: Option<ActorColumns<'e>>,
    client_ip: Option<&'e str>,
    request_id: Option<&'e str>,
    detail: String,
}

impl<'e> Entries<'e> {
    /// The rows of a batch.
    pub(super) fn of(batch: &'e Batch<'e>) -> Result<Self, Fault> {
        let upstreams = batch.upstreams.iter();
        let policies = batch.policies.iter();
        let deployments = batch.deployments.iter();
        Ok(Self {
            upstreams: upstreams.map(|(name, provider)| UpstreamRow { name, provider }).collect(),
            policies: policies
                .map(|policy| PolicyRow { digest: &policy.digest, text: &policy.text })
                .collect(),
            places: batch.places.clone(),
            deployments: deployments.map(|(upstream, id)| DeploymentRow { upstream, id }).collect(),
            snapshots: snapshots(batch),
            turns: batch.changes.iter().filter_map(turn).collect(),
            changes: batch.changes.iter().map(change).collect::<Result<_, _>>()?,
            keys: batch.idempotency_keys.iter().map(key).collect(),
            voids: batch.approvals.voids.iter().map(step).collect(),
            approvals: approvals(batch)?,
            steps: batch.approvals.steps.iter().map(step).collect(),
            expiry: batch.approvals.expiry.map(Timestamp::millis),
            ends: batch.ends.iter().map(end).collect::<Result<_, _>>()?,
            touched: batch.touched.iter().map(touched).collect(),
            originals: batch.originals.iter().map(original).collect(),
            made: made(batch),
            settlements: batch.settlements.iter().map(settlement).collect(),
            events: batch.events.iter().map(|event| happening(event)).collect::<Result<_, _>>()?,
        })
    }
}

fn snapshots<'e>(batch: &'e Batch<'e>) -> Vec<SnapshotRow<'e>> {
    let row = |(number, snapshot): &(i64, &'e Snapshot)| SnapshotRow {
        number: *number,
        digest: Bytes(&snapshot.digest),
        base: snapshot.base.map(|base| base.number),
        depth: snapshot.depth(),
        body: Bytes(&snapshot.body),
    };
    batch.snapshots.iter().map(row).collect()
}

fn key((id, key): &(ChangeId, IdempotencyKey)) -> KeyRow<'_> {
    KeyRow { id: Bytes(id.as_bytes()), digest: Bytes(&key.digest), request: Bytes(&key.request) }
}

fn step<'e>(step: &'e ApprovalStepRow<'e>) -> StepRow<'e> {
    StepRow {
        id: Bytes(step.id.as_bytes()),
        step: step.step,
        at: step.at.millis(),
        person: step.by.map(|(person, _token)| person),
        token: step.by.map(|(_person, token)| token),
        reason: step.reason,
        until_at: step.until.map(Timestamp::millis),
        change_id: step.change.as_ref().map(|change| Bytes(change.as_bytes())),
    }
}

fn approvals<'e>(batch: &'e Batch<'e>) -> Result<Vec<ApprovalRow<'e>>, Fault> {
    let row = |(opening, new): &(&'e IntentRow, &'e NewApproval)| {
        let intent = &opening.intent;
        let mut row = ApprovalRow {
            id: Bytes(new.id.as_bytes()),
            kind: "break_glass",
            change_id: Bytes(intent.id.as_bytes()),
            upstream: &intent.upstream,
            operation: intent.operation.name(),
            deployment_id: intent.deployment_id.as_deref(),
            actor: actor(&intent.actor),
            person: &new.person,
            opened_at: new.opened_at.millis(),
            rules: serde_json::to_string(&new.rules)?,
            expires_at: None,
            asked: None,
            base: None,
            asks: None,
            reason: None,
        };
        match &new.terms {
            NewTerms::Request { expires_at, asked, base, asks, voids: _ } => {
                row.kind = "request";
                row.expires_at = Some(expires_at.millis());
                row.asked = Some(Bytes(asked));
                row.base = base.as_ref().map(|base| Bytes(base));
                row.asks = Some(hex(&asks.concat()));
            }
            NewTerms::BreakGlass { reason } => row.reason = Some(reason),
        }
        Ok(row)
    };
    batch.approvals.new.iter().map(row).collect()
}

fn touched<'e>((id, touched): &'e (ChangeId, &'e Touched)) -> TouchedRow<'e> {
    let kind = touched.touch.kind(touched.is_whole);
    TouchedRow { id: Bytes(id.as_bytes()), path: &touched.path, kind }
}

fn original<'e>((id, half, sealed): &'e (ChangeId, Half, &'e SealedOriginals)) -> OriginalRow<'e> {
    OriginalRow {
        id: Bytes(id.as_bytes()),
        half: half.number(),
        key: Bytes(sealed.key.as_bytes()),
        wrapped: Bytes(&sealed.wrapped),
        body: Bytes(&sealed.body),
    }
}

fn made<'e>(batch: &'e Batch<'e>) -> Vec<MadeRow<'e>> {
    let row = |(id, made): &'e (ChangeId, &'e DeploymentKey)| MadeRow {
        id: Bytes(id.as_bytes()),
        upstream: &made.upstream,
        made: &made.id,
    };
    batch.made.iter().map(row).collect()
}

fn settlement<'e>((seq, settlement): &(i64, &'e Settlement)) -> SettlementRow<'e> {
    SettlementRow {
        seq: *seq,
        settled_by: &settlement.by,
        at: settlement.at.millis(),
        applied: settlement.applied,
    }
}

fn happening(event: &Event) -> Result<EventRow<'_>, Fault> {
    Ok(EventRow {
        at: event.at.millis(),
        kind: word(&event.kind)?,
        actor: event.actor.as_ref().map(actor),
        client_ip: event.client_ip.as_deref(),
        request_id: event.request_id.as_deref(),
        detail: event.detail.to_string(),
    })
}
