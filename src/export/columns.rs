//! The columns of tables: the same in each format that has any.

use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::audit::query::{BodyTexts, Text};
use crate::audit::record::Change;
use crate::base::clock::Timestamp;
use crate::deployment::diff::Difference;

/// The kind of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Time,
    Flag,
    Text,
    Json,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Nothing,
    Number(i64),
    Time(Timestamp),
    Flag(bool),
    Text(String),
}

/// How many columns there are.
pub(super) const WIDTH: usize = 34;

/// The columns: their names and kinds.
pub(super) const COLUMNS: [(&str, Kind); WIDTH] = [
    ("seq", Kind::Number),
    ("change", Kind::Text),
    ("received_at", Kind::Time),
    ("completed_at", Kind::Time),
    ("node", Kind::Text),
    ("upstream", Kind::Text),
    ("provider", Kind::Text),
    ("operation", Kind::Text),
    ("method", Kind::Text),
    ("deployment_id", Kind::Text),
    ("fingerprint", Kind::Text),
    ("actor", Kind::Text),
    ("team", Kind::Text),
    ("person", Kind::Text),
    ("client_ip", Kind::Text),
    ("user_agent", Kind::Text),
    ("request_id", Kind::Text),
    ("decision", Kind::Text),
    ("outcome", Kind::Text),
    ("applied", Kind::Flag),
    ("effect", Kind::Text),
    ("rules", Kind::Text),
    ("reason", Kind::Text),
    ("upstream_status", Kind::Number),
    ("upstream_request_id", Kind::Text),
    ("approval", Kind::Text),
    ("policy_digest", Kind::Text),
    ("changed", Kind::Text),
    ("violations", Kind::Json),
    ("redacted", Kind::Json),
    ("diff", Kind::Json),
    ("patch", Kind::Json),
    ("before", Kind::Json),
    ("after", Kind::Json),
];

impl Cell {
    fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Nothing, |text| Self::Text(text.into()))
    }

    /// Text; nothing where it is empty.
    fn filled(text: String) -> Self {
        if text.is_empty() { Self::Nothing } else { Self::Text(text) }
    }

    /// A list as JSON; nothing where it is empty.
    fn list<T: Serialize>(list: &[T]) -> io::Result<Self> {
        if list.is_empty() {
            return Ok(Self::Nothing);
        }
        Ok(Self::Text(serde_json::to_string(list)?))
    }

    /// A document as the log holds it.
    fn body(text: Option<&Text>) -> Self {
        Self::text(text.map(|text| String::from_utf8_lossy(text)))
    }

    /// The word that records use for a value.
    fn word(value: &impl Serialize) -> io::Result<Self> {
        Ok(Self::Text(match serde_json::to_value(value)? {
            Value::String(word) => word,
            value => value.to_string(),
        }))
    }

    /// How many bytes it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + if let Self::Text(text) = self { text.len() } else { 0 }
    }
}

/// The row of a change.
pub(super) fn row(change: &Change, bodies: &BodyTexts) -> io::Result<[Cell; WIDTH]> {
    let diff = bodies.diff(change)?;
    let text = |text: &Option<String>| Cell::text(text.clone());
    let actor = &change.actor;
    let (client, upstream) = (&change.client, change.upstream.as_ref());
    let mut rules: Vec<&str> = change.violations.iter().map(|at| at.rule.as_str()).collect();
    rules.dedup();
    let settled = change.settled.as_ref().and_then(|settled| settled.applied);
    let reason = change.reason.as_ref().and_then(|reason| reason.message.clone());
    let status = upstream.and_then(|answer| answer.status);
    let request = upstream.and_then(|answer| answer.request_id.clone());
    Ok([
        Cell::Number(change.seq),
        Cell::Text(change.id.to_string()),
        Cell::Time(change.received_at),
        change.completed_at.map_or(Cell::Nothing, Cell::Time),
        Cell::Text(change.node.clone()),
        Cell::Text(change.upstream_name.clone()),
        Cell::Text(change.provider.clone()),
        Cell::Text(change.operation.to_string()),
        text(&change.method),
        text(&change.deployment_id),
        Cell::Text(actor.fingerprint.to_string()),
        text(&actor.name),
        text(&actor.team),
        text(&actor.person),
        Cell::Text(client.ip.clone()),
        text(&client.user_agent),
        Cell::Text(change.request_id.clone()),
        Cell::word(&change.decision)?,
        Cell::word(&change.outcome)?,
        settled.map_or(Cell::Nothing, Cell::Flag),
        change.effect.as_ref().map_or(Ok(Cell::Nothing), Cell::word)?,
        Cell::filled(rules.join(" ")),
        Cell::text(reason),
        status.map_or(Cell::Nothing, |status| Cell::Number(status.into())),
        Cell::text(request),
        Cell::text(change.approval.as_ref().map(|approval| approval.id.to_string())),
        Cell::Text(change.policy_digest.clone()),
        Cell::filled(changed(&diff)),
        Cell::list(&change.violations)?,
        Cell::list(&change.redacted)?,
        Cell::list(&diff)?,
        Cell::body(bodies.patch.as_ref()),
        Cell::body(bodies.before.as_ref()),
        Cell::body(bodies.after.as_ref()),
    ])
}

/// The places that a change has changed, the server's own aside.
fn changed(diff: &[Difference]) -> String {
    let places = diff.iter().filter(|place| !place.computed).map(|place| place.path.as_str());
    places.collect::<Vec<_>>().join(" ")
}
