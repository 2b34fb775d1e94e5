//! The record of a prune: which leaves have no record any more, and why.

use std::fmt;

use serde_json::{Value, json};

use super::record::{Event, EventKind};
use crate::base::clock::Timestamp;

/// Why records were pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PruneReason {
    /// `retention.max_age`.
    Age,
    /// `retention.max_changes`.
    Count,
    /// `audit prune`.
    Command,
}

/// What a prune took, all in one transaction with the event that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PruneRecord {
    pub(super) reason: PruneReason,
    pub(super) changes: usize,
    pub(super) events: usize,
    /// The first and the last of the changes, or of the events where there are no changes.
    pub(super) seqs: (i64, i64),
    /// When the first and the last of them came.
    pub(super) times: (Timestamp, Timestamp),
    /// The leaves whose records are gone.
    pub(super) leaves: Positions,
}

/// Positions of leaves, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    /// The first and the last of each, in order and apart.
    ranges: Vec<(u64, u64)>,
}

impl PruneReason {
    const fn word(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Count => "count",
            Self::Command => "command",
        }
    }
}

impl PruneRecord {
    /// The event that tells of it.
    pub(super) fn event(&self, at: Timestamp) -> Event {
        let ((first, last), (since, until)) = (self.seqs, self.times);
        let detail = json!({
            "reason": self.reason.word(),
            "changes": self.changes,
            "events": self.events,
            "first_seq": first,
            "last_seq": last,
            "since": since.to_string(),
            "until": until.to_string(),
            "leaves": self.leaves.to_string(),
        });
        let (actor, client_ip, request_id) = (None, None, None);
        Event { at, kind: EventKind::Prune, actor, client_ip, request_id, detail }
    }
}

/// The leaves that an event of a prune names; `None` where it is none that this program writes.
pub(super) fn named_leaves(detail: &str) -> Option<Positions> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    Positions::parse(detail.get("leaves")?.as_str()?)
}

/// How many changes an event of a prune took, and the places of the first and the last of them.
pub(super) fn taken(detail: &str) -> Option<(u64, (i64, i64))> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    let changes = detail.get("changes")?.as_u64().filter(|changes| *changes > 0)?;
    let place = |name: &str| detail.get(name)?.as_i64();
    Some((changes, (place("first_seq")?, place("last_seq")?)))
}

/// What was pruned together with changes of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedSpan {
    /// When they were pruned: the time of the event `prune` that tells of it.
    pub at: Timestamp,
    /// Why: `age`, `count` or `command`.
    pub reason: String,
    /// When the first of them came.
    pub since: Timestamp,
    /// When the last of them came.
    pub until: Timestamp,
}

/// What an event of a prune tells that took changes.
pub(super) fn span(at: Timestamp, detail: &str) -> Option<PrunedSpan> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    let time = |name: &str| Timestamp::parse(detail.get(name)?.as_str()?).ok();
    let (since, until) = (time("since")?, time("until")?);
    let reason = detail.get("reason")?.as_str()?.to_owned();
    let has_changes = detail.get("changes")?.as_u64()? > 0;
    has_changes.then_some(PrunedSpan { at, reason, since, until })
}

impl fmt::Display for PrunedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, reason, since, until } = self;
        write!(
            f,
            "changes that came between {since} and {until} were pruned at {at} (reason: {reason}), \
             as the event prune of that time tells: `audit list --events` shows it"
        )
    }
}

impl Positions {
    /// Those of a list.
    pub(super) fn of(mut positions: Vec<u64>) -> Self {
        positions.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for position in positions {
            match ranges.last_mut() {
                Some((_first, last)) if position <= last.saturating_add(1) => *last = position,
                _apart => ranges.push((position, position)),
            }
        }
        Self { ranges }
    }

    /// Those of a text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range: (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            (range.0 <= range.1).then_some(range)
        };
        let parts = text.split(',').filter(|part| !part.is_empty());
        Some(Self { ranges: parts.map(range).collect::<Option<_>>()? })
    }

    /// Each of them, in the order of the ranges.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Adds others.
    pub(super) fn extend(&mut self, others: Self) {
        self.ranges.extend(others.ranges);
    }

    /// Puts what was added in order.
    pub(super) fn settle(&mut self) {
        self.ranges.sort_unstable();
        let mut settled: Vec<(u64, u64)> = Vec::new();
        for (first, last) in self.ranges.drain(..) {
            match settled.last_mut() {
                Some((_first, until)) if first <= until.saturating_add(1) => {
                    *until = last.max(*until);
                }
                _apart => settled.push((first, last)),
            }
        }
        self.ranges = settled;
    }

    /// Whether a position is among them.
    pub(super) fn has(&self, position: u64) -> bool {
        let behind = self.ranges.partition_point(|(first, _last)| *first <= position);
        let range = behind.checked_sub(1).and_then(|place| self.ranges.get(place));
        range.is_some_and(|(_first, last)| position <= *last)
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_told_as_ranges_and_read_back() {
        let positions = Positions::of(vec![7, 3, 1, 2, 9, 8, 12]);
        assert_eq!(positions.to_string(), "1-3,7-9,12");
        assert_eq!(Positions::parse("1-3,7-9,12"), Some(positions.clone()));
        let held: Vec<u64> = (0..14).filter(|position| positions.has(*position)).collect();
        assert_eq!(held, [1, 2, 3, 7, 8, 9, 12]);
        assert_eq!(Positions::parse(""), Some(Positions::default()));
        for bad in ["x", "3-1", "1,,-2", "1-"] {
            assert_eq!(Positions::parse(bad), None, "{bad}");
        }
        let mut all = positions;
        all.extend(Positions::of(vec![0, 4, 5, 11]));
        all.settle();
        assert_eq!(all.to_string(), "0-5,7-9,11-12");
    }

    #[test]
    fn an_event_names_exactly_the_leaves_whose_records_are_gone() {
        let at = Timestamp::from_millis(5_000);
        let record = PruneRecord {
            reason: PruneReason::Age,
            changes: 2,
            events: 0,
            seqs: (1, 2),
            times: (Timestamp::from_millis(1), Timestamp::from_millis(2)),
            leaves: Positions::of(vec![4, 5]),
        };
        let event = record.event(at);
        assert_eq!(named_leaves(&event.detail.to_string()), Some(record.leaves));
        assert_eq!(named_leaves("{}"), None);
    }
}
