//! Finished records in the order of their positions, put together from what is read of each kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rows::{Row, cell, maybe};
use super::{Boxed, FoundRecord};
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::record::{Change, Event};
use crate::audit::sink::{DeadLetter, FinishedContent, FinishedPart, FinishedRecord, SinkState};
use crate::base::clock::Timestamp;

/// The columns of a sink.
pub(super) const STATE: &str = "name, next, revision, attempts, next_at, sent, sent_at, error, \
    error_at, dead, disabled";

/// The kinds that are read by themselves, since nothing else is shown of them.
pub(super) const OTHERS: [LeafKind; 5] =
    [LeafKind::Policy, LeafKind::Key, LeafKind::Approval, LeafKind::Step, LeafKind::LogKey];

/// The records of a range, by what their leaves name.
#[derive(Default)]
pub(super) struct Finished {
    /// Changes, by their places.
    pub(super) changes: BTreeMap<i64, Change>,
    pub(super) events: BTreeMap<i64, Event>,
    /// The rest, by the number of their kind and their rows.
    pub(super) others: BTreeMap<(i64, i64), FoundRecord>,
}

impl Finished {
    /// The records of these leaves: positions, the numbers of kinds, and rows.
    pub(super) fn of(mut self, leaves: &[(u64, i64, i64)]) -> Vec<FinishedRecord> {
        let record = |&(position, kind, row): &(u64, i64, i64)| {
            let content = LeafKind::numbered(kind).and_then(|kind| self.content(kind, row));
            FinishedRecord { position, content: content.unwrap_or(FinishedContent::Missing) }
        };
        leaves.iter().map(record).collect()
    }

    fn content(&mut self, kind: LeafKind, row: i64) -> Option<FinishedContent> {
        let part = match kind {
            LeafKind::Change => FinishedPart::End,
            LeafKind::Settlement => FinishedPart::Settlement,
            LeafKind::Late => FinishedPart::Late,
            LeafKind::Event => {
                return self.events.remove(&row).map(Box::new).map(FinishedContent::Event);
            }
            other => {
                let found = self.others.remove(&(other.number(), row))?;
                let FoundRecord::Whole(facts) = found else { return None };
                return Some(FinishedContent::Other(other.name(), told(facts.record())));
            }
        };
        // A settlement may be finished beside the change's own end.
        let change = self.changes.get(&row)?.clone();
        Some(FinishedContent::Change(Box::new(change), part))
    }
}

/// A record with its times as the API tells them, and its lists as such.
fn told(mut record: Value) -> Value {
    for (name, value) in record.as_object_mut().into_iter().flatten() {
        if let Some(millis) = value.as_i64().filter(|_| name == "at" || name.ends_with("_at")) {
            *value = json!(Timestamp::from_millis(millis));
        } else if name == "rules"
            && let Some(list) = value.as_str().and_then(|text| serde_json::from_str(text).ok())
        {
            *value = list;
        }
    }
    record
}

/// How far a sink has come, from a row.
pub(super) fn state(row: &impl Row) -> Result<SinkState, Boxed> {
    let number = |column| -> Result<u64, Boxed> { Ok(u64::try_from(cell::<i64>(row, column)?)?) };
    let text = |column| -> Result<Option<String>, Boxed> { maybe(row, column) };
    Ok(SinkState {
        name: cell(row, "name")?,
        next: number("next")?,
        revision: number("revision")?,
        attempts: u32::try_from(number("attempts")?)?,
        next_at: maybe(row, "next_at")?,
        sent: number("sent")?,
        sent_at: maybe(row, "sent_at")?,
        error: text("error")?,
        error_at: maybe(row, "error_at")?,
        dead: number("dead")?,
        disabled: text("disabled")?,
    })
}

/// A record that was refused, from a row.
pub(super) fn letter(row: &impl Row) -> Result<DeadLetter, Boxed> {
    Ok(DeadLetter {
        position: u64::try_from(cell::<i64>(row, "position")?)?,
        at: cell(row, "at")?,
        reason: cell(row, "reason")?,
    })
}

/// A leaf, from a row: its position, the number of its kind, and its record's row.
pub(super) fn place(row: &impl Row) -> Result<(u64, i64, i64), Boxed> {
    let position = u64::try_from(cell::<i64>(row, "position")?)?;
    Ok((position, cell(row, "kind")?, cell(row, "ref")?))
}
