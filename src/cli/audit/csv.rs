//! Lists as CSV (RFC 4180), such that a spreadsheet takes no cell for a formula.

use super::{Failure, print, render};
use crate::audit::query::DeploymentSummary;
use crate::audit::record::{Change, Event};
use crate::export;

pub(super) const CHANGE: [&str; 15] = [
    "received_at",
    "completed_at",
    "change",
    "deployment_id",
    "actor",
    "fingerprint",
    "team",
    "operation",
    "decision",
    "outcome",
    "effect",
    "rules",
    "reason",
    "client_ip",
    "request_id",
];

pub(super) const DEPLOYMENT: [&str; 5] =
    ["deployment_id", "name", "changes", "last_changed_at", "last_change"];

pub(super) const EVENT: [&str; 5] = ["at", "kind", "actor", "client_ip", "detail"];

/// Prints the names of columns.
pub(super) fn head(columns: &[&str]) -> Result<(), Failure> {
    let cells: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    record(&cells)
}

pub(super) fn change(change: &Change) -> Result<(), Failure> {
    let [_at, id, _deployment, _actor, operation, decision, outcome, rules] =
        render::change_row(change);
    let reason = change.reason.as_ref().and_then(|reason| reason.message.clone());
    record(&[
        change.received_at.to_string(),
        change.completed_at.map(|at| at.to_string()).unwrap_or_default(),
        id,
        change.deployment_id.clone().unwrap_or_default(),
        change.actor.name.clone().unwrap_or_default(),
        change.actor.fingerprint.to_string(),
        change.actor.team.clone().unwrap_or_default(),
        operation,
        decision,
        outcome,
        change.effect.as_ref().map(render::word).unwrap_or_default(),
        rules,
        reason.unwrap_or_default(),
        change.client.ip.clone(),
        change.request_id.clone(),
    ])
}

pub(super) fn deployment(found: &DeploymentSummary) -> Result<(), Failure> {
    record(&[
        found.id.clone(),
        found.name.clone().unwrap_or_default(),
        found.changes.to_string(),
        found.last_changed_at.to_string(),
        found.last_change.to_string(),
    ])
}

pub(super) fn event(event: &Event) -> Result<(), Failure> {
    record(&[
        event.at.to_string(),
        render::word(&event.kind),
        event.actor.as_ref().map(render::short_actor).unwrap_or_default(),
        event.client_ip.clone().unwrap_or_default(),
        event.detail.to_string(),
    ])
}

fn record(cells: &[String]) -> Result<(), Failure> {
    print::record(export::csv::record(cells).trim_end_matches("\r\n"))
}
