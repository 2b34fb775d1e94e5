//! The memory of how dense schedules are: nearly every call leaves its schedule as it was.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reading::Timetables;
use super::runs::{Density, Span};
use crate::base::clock::Timestamp;

/// The most schedules that are remembered.
const SCHEDULES_MAX: usize = 256;

/// The longest schedule that is remembered, in bytes.
const SCHEDULE_BYTES_MAX: usize = 256;

/// What was found of schedules, by their texts and the first run that was looked at. It is the same
/// whenever it is found: what is remembered is no other answer, only a faster one.
#[derive(Clone, Default)]
pub(super) struct Memo(Arc<Mutex<HashMap<(String, Timestamp), Density>>>);

impl Memo {
    /// What is found of a schedule, looked through once.
    pub(super) fn density(&self, timetables: &Timetables, span: Span) -> Density {
        let key = (timetables.texts().to_owned(), span.first);
        if key.0.len() > SCHEDULE_BYTES_MAX {
            return span.look_through(timetables);
        }
        if let Some(known) = self.known().get(&key) {
            return *known;
        }
        let density = span.look_through(timetables);
        let mut known = self.known();
        if known.len() >= SCHEDULES_MAX {
            known.clear();
        }
        known.insert(key, density);
        density
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, Timestamp), Density>> {
        // No entry is ever half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Memo {
    /// What is remembered makes no rule another.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}
