//! Readers of bodies, as the log is told of them: once for each person, change and ten minutes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::Api;
use super::access::Asker;
use crate::audit::query::Page;
use crate::audit::record::{Event, EventKind};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;

/// How long one who has read a change is not told of again.
const TOLD_FOR: Duration = Duration::from_mins(10);

/// The most readings that are remembered. Beyond that all are forgotten: some are told twice then.
const REMEMBERED_MAX: usize = 32_768;

/// The readings that were told of lately. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks(Arc<Mutex<HashMap<Look, Timestamp>>>);

/// A person, or the name of a token that has none, and the change that was read.
type Look = (Option<String>, ChangeId);

impl Looks {
    /// Those of `changes` that `reader` was not told of lately; they are from now on.
    fn untold(
        &self,
        reader: Option<&str>,
        changes: impl Iterator<Item = ChangeId>,
        now: Timestamp,
    ) -> Vec<ChangeId> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.minus(TOLD_FOR);
        let mut untold = Vec::new();
        for change in changes {
            if told.len() >= REMEMBERED_MAX {
                told.retain(|_look, at| *at > since);
            }
            if told.len() >= REMEMBERED_MAX {
                told.clear();
            }
            let look = (reader.map(str::to_owned), change);
            if told.get(&look).is_none_or(|at| *at <= since) {
                told.insert(look, now);
                untold.push(change);
            }
        }
        untold
    }
}

impl Api {
    /// Tells the log, before anything is sent, that somebody reads the bodies of these changes.
    pub(crate) fn note_look(&self, asker: &Asker, changes: &[ChangeId]) {
        let holder = asker.holder.as_ref();
        let (by, person) = (
            holder.map(|holder| &*holder.name),
            holder.and_then(|holder| holder.person.as_deref()),
        );
        let now = self.state.clock.now();
        let untold = self.looks.untold(person.or(by), changes.iter().copied(), now);
        if untold.is_empty() {
            return;
        }
        self.state.audit.note(Event {
            at: now,
            kind: EventKind::Look,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({ "by": by, "person": person, "changes": untold }),
        });
    }

    /// Tells the log of who sees differences of deployments in events.
    pub(super) fn note_differences(&self, asker: &Asker, page: &Page<Event>) {
        if asker.may_look_inside().is_err() {
            return;
        }
        let differing = page.data.iter().filter(|event| event.detail.get("diff").is_some());
        let changes =
            differing.filter_map(|event| event.detail.get("change")?.as_str()?.parse().ok());
        self.note_look(asker, &changes.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ChangeId {
        ChangeId::from_bytes(&[n; 16]).unwrap()
    }

    #[test]
    fn a_reading_is_told_once_in_ten_minutes() {
        let looks = Looks::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let untold = |reader: &str, changes: &[u8], now| {
            looks.untold(Some(reader), changes.iter().map(|n| id(*n)), now)
        };
        assert_eq!(untold("ann", &[1, 2, 1], at(0)), [id(1), id(2)]);
        assert_eq!(untold("bob", &[1], at(1)), [id(1)]);
        assert_eq!(untold("ann", &[1, 3], at(599)), [id(3)]);
        // By when it was told, not by when it was last read.
        assert_eq!(untold("ann", &[1], at(600)), [id(1)]);
    }

    #[test]
    fn the_memory_of_readings_is_bounded() {
        let looks = Looks::default();
        for n in 0..u64::try_from(REMEMBERED_MAX).unwrap() + 10 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            let change = std::iter::once(ChangeId::from_bytes(&bytes).unwrap());
            assert_eq!(looks.untold(None, change, Timestamp::from_millis(0)).len(), 1);
        }
        assert!(looks.0.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
