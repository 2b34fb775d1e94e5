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

/// The columns of a leaf: where it is in the tree and its salt is gone, so is its record, by a
/// prune.
pub(super) const PLACE: &str = "position, CAST(kind AS bigint) AS kind, ref, CAST(CASE \
    WHEN hash IS NOT NULL AND salt IS NULL AND entry IS NULL THEN 1 ELSE 0 END AS bigint) AS gone";

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

/// A leaf, which names a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    position: u64,
    /// The number of its kind.
    pub(super) kind: i64,
    row: i64,
    is_pruned: bool,
}

impl Finished {
    /// The records of these leaves.
    pub(super) fn of(mut self, leaves: &[Place]) -> Vec<FinishedRecord> {
        let record = |&Place { position, kind, row, is_pruned }: &Place| {
            let content = LeafKind::numbered(kind).and_then(|kind| self.content(kind, row));
            let gone = if is_pruned { FinishedContent::Pruned } else { FinishedContent::Missing };
            FinishedRecord { position, content: content.unwrap_or(gone) }
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
        timeline: text("timeline")?,
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

/// A leaf, from a row.
pub(super) fn place(row: &impl Row) -> Result<Place, Boxed> {
    Ok(Place {
        position: u64::try_from(cell::<i64>(row, "position")?)?,
        kind: cell(row, "kind")?,
        row: cell(row, "ref")?,
        is_pruned: cell::<i64>(row, "gone")? != 0,
    })
}
