//! The gateway's own 401s and 429s, and upstream's 401s to its snapshots: counted, not recorded
//! one by one, lest a flood fill the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::identify::RefusalSource;
use crate::audit::Audit;
use crate::audit::record::{Event, EventKind};
use crate::base::clock::{Clock, Timestamp};

/// The most callers counted apart in one minute; the rest are counted together.
const SUBJECTS_MAX: usize = 1_000;

/// Counts since the last summary.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    since: Timestamp,
    by: HashMap<(u16, Option<RefusalSource>), u64>,
}

impl Tally {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { counts: Mutex::new(Counts { since: clock.now(), by: HashMap::new() }) }
    }

    /// Counts one refused call.
    pub(super) fn count(&self, status: u16, subject: RefusalSource) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.by.contains_key(&(status, Some(subject)));
        let apart = known || counts.by.len() < SUBJECTS_MAX;
        *counts.by.entry((status, apart.then_some(subject))).or_default() += 1;
    }

    /// Records what was counted since the last time, as one event; nothing where there is nothing.
    pub(super) fn summarise(&self, audit: &Audit, clock: &Clock) {
        let now = clock.now();
        let fresh = Counts { since: now, by: HashMap::new() };
        let counts = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.by.is_empty() {
                counts.since = now;
                return;
            }
            std::mem::replace(&mut *counts, fresh)
        };
        let mut refusals: Vec<_> = counts.by.into_iter().collect();
        refusals.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let total: u64 = refusals.iter().map(|(_, count)| count).sum();
        let refusals: Vec<_> = refusals
            .into_iter()
            .map(|((status, subject), count)| {
                let who = subject.map_or_else(|| "others".to_owned(), |who| who.to_string());
                json!({"status": status, "who": who, "count": count})
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
