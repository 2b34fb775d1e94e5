//! What a sink is sent: each finished record as an object of JSON, within a bound.

use std::io;

use serde_json::{Value, json};

use super::cut;
use crate::audit::record::{Change, EventKind};
use crate::audit::sinks::{FinishedContent, FinishedPart, FinishedRecord};
use crate::base::clock::Timestamp;
use crate::config::{SinkFilter, SinkFormat};
use crate::export::ocsf::{self, Members};
use crate::provider::Operation;

/// The word in place of the kind of a test.
pub(super) const TEST: &str = "sink.test";

/// One finished record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// Its position; `None` of a test.
    pub(super) position: Option<u64>,
    /// The kind, such as `change.applied`.
    pub(super) kind: String,
    /// When it was finished; `None` where that is not recorded.
    pub(super) at: Option<Timestamp>,
    /// Everything that is told of it.
    pub(super) data: Members,
    /// The same as an event of OCSF, which is sent in its place.
    pub(super) event: Option<Members>,
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Info,
    Warning,
    Error,
}

/// The kinds that somebody should look at.
const WARNINGS: [&str; 9] = [
    "change.denied",
    "change.refused",
    "change.rejected",
    "change.late",
    "break_glass.opened",
    "event.drift",
    "event.after_violation",
    "event.dropped",
    "event.failover",
];

/// The fate of a record.
#[derive(Debug)]
pub(super) enum Told {
    /// It is sent. Of a change, its difference is still to be added.
    Sent(Box<Message>, Option<Box<Change>>),
    /// The filter leaves it out, or another record tells the same.
    Passed,
    /// It is not there any more, by a prune that is on record.
    Pruned,
    /// It is not there any more.
    Missing,
}

impl Message {
    /// A message that shows that one arrives.
    pub(super) fn test((sink, format): (&str, SinkFormat), node: &str, at: Timestamp) -> Self {
        let data = json!({ "sink": sink, "node": node, "at": at });
        let is_ocsf = format == SinkFormat::Ocsf;
        let event = is_ocsf.then(|| ocsf::base_event(TEST, at, &data));
        Self { position: None, kind: TEST.to_owned(), at: Some(at), data: members(data), event }
    }

    /// The text, no longer than `bytes_max`: an event of OCSF as it is, anything else in its
    /// envelope.
    pub(super) fn text(&self, now: Timestamp, bytes_max: usize) -> io::Result<Vec<u8>> {
        match &self.event {
            Some(event) => cut::event(event, bytes_max, |event| Ok(serde_json::to_vec(event)?)),
            None => self.enveloped(now, bytes_max),
        }
    }

    /// The text in its envelope, `{"type", "timestamp", "data"}`, no longer than `bytes_max`.
    pub(super) fn enveloped(&self, now: Timestamp, bytes_max: usize) -> io::Result<Vec<u8>> {
        let at = self.at.unwrap_or(now);
        let print = |data: &Members| {
            let envelope = json!({ "type": self.kind, "timestamp": at, "data": data });
            Ok(serde_json::to_vec(&envelope)?)
        };
        match &self.event {
            Some(event) => cut::event(event, bytes_max, print),
            None => cut::record(&self.data, bytes_max, print),
        }
    }

    /// How long what is told is, as text.
    pub(super) fn weight(&self) -> usize {
        let mut count = Counted(0);
        // To count never fails.
        let _ = serde_json::to_writer(&mut count, self.event.as_ref().unwrap_or(&self.data));
        count.0
    }

    pub(super) fn severity(&self) -> Severity {
        match self.kind.as_str() {
            "change.failed" | "change.unknown" => Severity::Error,
            kind if WARNINGS.contains(&kind) => Severity::Warning,
            _ => Severity::Info,
        }
    }

    /// The text of a member of the data.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        self.data.get(name).and_then(Value::as_str)
    }

    /// Adds where the deployments before and after a change differ; `None` says that this would be
    /// too long.
    pub(super) fn add_diff(&mut self, diff: Option<Value>) {
        match diff {
            Some(diff) => self.data.insert("diff".to_owned(), diff),
            None => self.data.insert("omitted".to_owned(), json!(["diff"])),
        };
    }

    /// Has the message be an event of OCSF, with its position among what the schema has no place
    /// for; without where the deployments differ, where that would be too long.
    pub(super) fn become_event(&mut self, mut event: Members, has_diff: bool) {
        if let Some(unmapped) = event.get_mut("unmapped").and_then(Value::as_object_mut) {
            unmapped.insert("position".to_owned(), json!(self.position));
            if !has_diff {
                unmapped.remove("diff");
                unmapped.insert("omitted".to_owned(), json!(["diff"]));
            }
        }
        self.event = Some(event);
    }
}

/// Bytes that are counted and not kept.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells what a sink with this filter is sent of a record.
pub(super) fn told(record: FinishedRecord, filter: &SinkFilter) -> io::Result<Told> {
    let position = record.position;
    let (kind, at, data, change) = match record.content {
        FinishedContent::Missing => return Ok(Told::Missing),
        FinishedContent::Pruned => return Ok(Told::Pruned),
        FinishedContent::Change(change, part) => {
            let data = members(serde_json::to_value(&change)?);
            if !fits(&data, filter) {
                return Ok(Told::Passed);
            }
            let (word, at) = match part {
                FinishedPart::End => (change.outcome.name(), change.completed_at),
                FinishedPart::Settlement => ("settled", change.settled.as_ref().map(|s| s.at)),
                FinishedPart::Late => ("late", change.late.as_ref().map(|late| late.at)),
            };
            (format!("change.{word}"), at, data, Some(change))
        }
        _ if !filter.events => return Ok(Told::Passed),
        FinishedContent::Event(event) => {
            // Their records are sent themselves.
            let is_told = [EventKind::Settlement, EventKind::Approval, EventKind::BreakGlass];
            if is_told.contains(&event.kind) {
                return Ok(Told::Passed);
            }
            let data = members(serde_json::to_value(&event)?);
            let word = data.get("kind").and_then(Value::as_str).unwrap_or_default();
            (format!("event.{word}"), Some(event.at), data, None)
        }
        FinishedContent::Other(kind, record) => {
            let data = members(record);
            (other_kind(kind, &data), other_at(&data), data, None)
        }
    };
    let mut data = data;
    data.insert("position".to_owned(), json!(position));
    let message = Message { position: Some(position), kind, at, data, event: None };
    Ok(Told::Sent(Box::new(message), change))
}

/// Whether a change is one that the filter lets pass.
fn fits(change: &Members, filter: &SinkFilter) -> bool {
    let text = |pointer: &[&str]| {
        let (first, rest) = pointer.split_first()?;
        let found = rest.iter().try_fold(change.get(*first)?, |value, name| value.get(name))?;
        found.as_str()
    };
    let is = |asked: Option<&str>, pointer: &[&str]| {
        asked.is_none_or(|asked| text(pointer) == Some(asked))
    };
    let operation = filter.operation.map(Operation::name);
    let breaks = |rule: &str| {
        let violations = change.get("violations").and_then(Value::as_array);
        let named = |at: &Value| at.get("rule").and_then(Value::as_str) == Some(rule);
        violations.is_some_and(|violations| violations.iter().any(named))
    };
    let by = |actor: &str| {
        [&["actor", "name"], &["actor", "fingerprint"]].iter().any(|at| text(*at) == Some(actor))
    };
    is(filter.decision.as_deref(), &["decision"])
        && is(filter.outcome.as_deref(), &["outcome"])
        && is(operation, &["operation"])
        && is(filter.effect.as_deref(), &["effect"])
        && is(filter.deployment_id.as_deref(), &["deployment_id"])
        && is(filter.team.as_deref(), &["actor", "team"])
        && filter.actor.as_deref().is_none_or(by)
        && filter.rule.as_deref().is_none_or(breaks)
}

/// The kind of a record that is neither a change nor an event.
fn other_kind(kind: &str, data: &Members) -> String {
    let word = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "approval" if word("approval") == "break_glass" => "break_glass.opened".to_owned(),
        "approval" => "approval.opened".to_owned(),
        "approval_step" => format!("approval.{}", word("step")),
        other => format!("{other}.recorded"),
    }
}

/// When such a record was made, where it says so.
fn other_at(data: &Members) -> Option<Timestamp> {
    let text = ["at", "opened_at"].iter().find_map(|name| data.get(*name)?.as_str());
    text.and_then(|text| Timestamp::parse(text).ok())
}

fn members(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Members {
        members(json!({
            "decision": "deny", "outcome": "denied", "operation": "update", "effect": null,
            "deployment_id": "dep_1", "actor": {"fingerprint": "pat_1", "name": "bot"},
            "violations": [{"rule": "timezones"}],
        }))
    }

    #[test]
    fn all_of_a_filter_must_hold() {
        let some = |text: &str| Some(text.to_owned());
        let nothing = SinkFilter::default;
        let all = SinkFilter {
            decision: some("deny"),
            outcome: some("denied"),
            deployment_id: some("dep_1"),
            actor: some("bot"),
            rule: some("timezones"),
            ..nothing()
        };
        for (filter, expected) in [
            (nothing(), true),
            (all.clone(), true),
            (SinkFilter { actor: some("pat_1"), ..nothing() }, true),
            (SinkFilter { actor: some("other"), ..all.clone() }, false),
            (SinkFilter { rule: some("name"), ..nothing() }, false),
            (SinkFilter { team: some("t"), ..nothing() }, false),
            (SinkFilter { effect: some("exact"), ..nothing() }, false),
            (SinkFilter { decision: some("allow"), ..all }, false),
        ] {
            assert_eq!(fits(&change(), &filter), expected, "{filter:?}");
        }
    }
}
