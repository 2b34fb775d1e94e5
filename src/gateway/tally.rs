//! The gateway's own 401s and 429s, and upstream's 401s to its snapshots: counted, not recorded
//! one by one, lest a flood fill the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::identify::RefusalSource;
use super::route::Route;
use crate::audit::Audit;
use crate::audit::record::{Event, EventKind};
use crate::base::clock::{Clock, Timestamp};
use crate::provider::Operation;

/// The most callers counted apart in one minute; the rest are counted together.
const SUBJECTS_MAX: usize = 1_000;

/// The most changes that are told to be held up in one minute, and of one caller.
const HELD_UP_MAX: usize = 1_000;
const HELD_UP_OF_ONE_MAX: usize = 16;

/// The longest id that is told of a deployment, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Counts since the last summary.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    since: Timestamp,
    by: HashMap<(u16, Option<RefusalSource>), Refused>,
    /// How many changes are told to be held up.
    held_up: usize,
}

/// The refused calls of one caller.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    /// How often each change was held up: its operation and its deployment, where it names one.
    held_up: HashMap<HeldUp, u64>,
}

/// A governed call that was answered 429.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HeldUp {
    operation: Operation,
    deployment_id: Option<Box<str>>,
}

impl HeldUp {
    /// The governed call that a route is; `None` where it is not one.
    pub(super) fn of(route: Route) -> Option<Self> {
        let Route::Governed { operation, deployment_id } = route else { return None };
        Self::new(operation, deployment_id.as_deref())
    }

    /// A governed call; `None` where its deployment's id is too long to be told.
    pub(super) fn new(operation: Operation, deployment_id: Option<&str>) -> Option<Self> {
        let fits = deployment_id.is_none_or(|id| id.len() <= ID_BYTES_MAX);
        fits.then(|| Self { operation, deployment_id: deployment_id.map(Box::from) })
    }
}

impl Counts {
    fn new(since: Timestamp) -> Self {
        Self { since, by: HashMap::new(), held_up: 0 }
    }
}

impl Tally {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { counts: Mutex::new(Counts::new(clock.now())) }
    }

    /// Counts one refused call, and the change that it `held_up`.
    pub(super) fn count(&self, status: u16, subject: RefusalSource, held_up: Option<HeldUp>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { by, held_up: told, .. } = &mut *counts;
        let known = by.contains_key(&(status, Some(subject)));
        let apart = known || by.len() < SUBJECTS_MAX;
        let refused = by.entry((status, apart.then_some(subject))).or_default();
        refused.count += 1;
        let Some(held_up) = held_up else { return };
        let has_room = refused.held_up.len() < HELD_UP_OF_ONE_MAX && *told < HELD_UP_MAX;
        if let Some(count) = refused.held_up.get_mut(&held_up) {
            *count += 1;
        } else if has_room {
            refused.held_up.insert(held_up, 1);
            *told += 1;
        }
    }

    /// Records what was counted since the last time, as one event; nothing where there is nothing.
    pub(super) fn summarise(&self, audit: &Audit, clock: &Clock) {
        let now = clock.now();
        let counts = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.by.is_empty() {
                counts.since = now;
                return;
            }
            std::mem::replace(&mut *counts, Counts::new(now))
        };
        let mut refusals: Vec<_> = counts.by.into_iter().collect();
        refusals.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.count));
        let total: u64 = refusals.iter().map(|(_, refused)| refused.count).sum();
        let refusals: Vec<Value> = refusals
            .into_iter()
            .map(|((status, subject), refused)| {
                let who = subject.map_or_else(|| "others".to_owned(), |who| who.to_string());
                let count = refused.count;
                if refused.held_up.is_empty() {
                    return json!({"status": status, "who": who, "count": count});
                }
                let held_up = told_of(refused.held_up);
                json!({"status": status, "who": who, "count": count, "held_up": held_up})
            })
            .collect();
        audit.note(Event {
            at: now,
            kind: EventKind::Summary,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({
                "since": counts.since.to_string(),
                "until": now.to_string(),
                "count": total,
                "refusals": refusals,
            }),
        });
    }
}

/// The changes that were held up, the most often first.
fn told_of(held_up: HashMap<HeldUp, u64>) -> Value {
    let mut held_up: Vec<_> = held_up.into_iter().map(|(change, count)| (count, change)).collect();
    held_up.sort_by(|(one, change), (other, beside)| other.cmp(one).then(change.cmp(beside)));
    let told = |(count, HeldUp { operation, deployment_id })| match deployment_id {
        Some(id) => json!({"operation": operation, "deployment_id": &*id, "count": count}),
        None => json!({"operation": operation, "count": count}),
    };
    held_up.into_iter().map(told).collect()
}
