//! What a sink is sent: each finished record as an object of JSON, within a bound.

use std::io;

use serde_json::{Map, Value, json};

use crate::audit::record::{Change, EventKind};
use crate::audit::sinks::{FinishedContent, FinishedPart, FinishedRecord};
use crate::base::clock::Timestamp;
use crate::config::SinkFilter;
use crate::provider::Operation;

/// The members of a change, an event or another record that make place, in this order, where it is
/// too long.
const LONG: [&str; 9] = [
    "diff",
    "text",
    "standing",
    "after_violations",
    "redacted",
    "violations",
    "unkept",
    "detail",
    "reason",
];

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
    pub(super) data: Map<String, Value>,
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
    pub(super) fn test(sink: &str, node: &str, at: Timestamp) -> Self {
        let data = members(json!({ "sink": sink, "node": node, "at": at }));
        Self { position: None, kind: TEST.to_owned(), at: Some(at), data }
    }

    /// The text: `{"type", "timestamp", "data"}`, where it is no longer than `bytes_max`; else what
    /// is longest of it is left out, by its name in `omitted`.
    pub(super) fn text(&self, now: Timestamp, bytes_max: usize) -> io::Result<Vec<u8>> {
        let at = self.at.unwrap_or(now);
        let text = |data: &Map<String, Value>| -> io::Result<Vec<u8>> {
            let envelope = json!({ "type": self.kind, "timestamp": at, "data": data });
            Ok(serde_json::to_vec(&envelope)?)
        };
        let whole = text(&self.data)?;
        if whole.len() <= bytes_max {
            return Ok(whole);
        }
        let (mut data, mut omitted) = (self.data.clone(), Vec::new());
        for name in LONG {
            if data.remove(name).is_none() {
                continue;
            }
            omitted.push(name);
            data.insert("omitted".to_owned(), json!(omitted));
            let cut = text(&data)?;
            if cut.len() <= bytes_max {
                return Ok(cut);
            }
        }
        // What is left names it.
        let ids = ["position", "id", "deployment_id", "decision", "outcome", "kind"];
        data.retain(|name, value| {
            ids.contains(&name.as_str()) && value.as_str().is_none_or(|text| text.len() <= 256)
        });
        data.insert("omitted".to_owned(), json!(["*"]));
        text(&data)
    }

    /// How long its data is, as text.
    pub(super) fn weight(&self) -> usize {
        let mut count = Counted(0);
        // To count never fails.
        let _ = serde_json::to_writer(&mut count, &self.data);
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
    let message = Message { position: Some(position), kind, at, data };
    Ok(Told::Sent(Box::new(message), change))
}

/// Whether a change is one that the filter lets pass.
fn fits(change: &Map<String, Value>, filter: &SinkFilter) -> bool {
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
fn other_kind(kind: &str, data: &Map<String, Value>) -> String {
    let word = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "approval" if word("approval") == "break_glass" => "break_glass.opened".to_owned(),
        "approval" => "approval.opened".to_owned(),
        "approval_step" => format!("approval.{}", word("step")),
        other => format!("{other}.recorded"),
    }
}

/// When such a record was made, where it says so.
fn other_at(data: &Map<String, Value>) -> Option<Timestamp> {
    let text = ["at", "opened_at"].iter().find_map(|name| data.get(*name)?.as_str());
    text.and_then(|text| Timestamp::parse(text).ok())
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_781_427_491_123);

    fn change() -> Map<String, Value> {
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

    #[test]
    fn a_message_fits_its_bound_and_tells_what_it_leaves_out() {
        let mut data = change();
        data.insert("position".to_owned(), json!(7));
        data.insert("diff".to_owned(), json!("d".repeat(5_000)));
        data.insert("client".to_owned(), json!({"user_agent": "u".repeat(500)}));
        let kind = "change.denied".to_owned();
        let message = Message { position: Some(7), kind, at: Some(NOW), data };
        let read = |bytes_max| -> Value {
            let text = message.text(NOW, bytes_max).unwrap();
            assert!(text.len() <= bytes_max, "{} of {bytes_max}", text.len());
            serde_json::from_slice(&text).unwrap()
        };
        assert_eq!(read(10_000)["data"]["omitted"], Value::Null);
        assert_eq!(read(2_000)["data"]["omitted"], json!(["diff"]));
        let bare = read(300);
        assert_eq!(
            (&bare["data"]["omitted"], &bare["data"]["position"]),
            (&json!(["*"]), &json!(7))
        );
        assert_eq!(bare["type"], "change.denied");
        assert_eq!(bare["timestamp"], NOW.to_string());
    }
}
