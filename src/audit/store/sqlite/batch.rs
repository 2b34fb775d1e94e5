//! Entries arranged by the tables that their rows go to.

use std::collections::HashSet;

use crate::audit::document::{Snapshot, SnapshotRef, Stored};
use crate::audit::entry::{CompletionRow, Entry, IntentRow, Written};
use crate::audit::record::{Event, Settlement};
use crate::ids::ChangeId;

/// The most names that are remembered as being in their tables.
const NAMES_MAX: usize = 65_536;

/// The rows of a batch, each beside what it must be told. A row that others name comes first.
#[derive(Default)]
pub(super) struct Batch<'e> {
    pub(super) deployments: Vec<&'e str>,
    pub(super) terms: Vec<(&'e str, &'e str)>,
    pub(super) snapshots: Vec<(i64, &'e Snapshot)>,
    pub(super) changes: Vec<Change<'e>>,
    pub(super) ends: Vec<End<'e>>,
    /// Creates, and the deployments that they made.
    pub(super) made: Vec<(ChangeId, &'e str)>,
    pub(super) settlements: Vec<(i64, &'e Settlement)>,
    pub(super) events: Vec<&'e Event>,
}

pub(super) struct Change<'e> {
    pub(super) opening: &'e IntentRow,
    pub(super) deployment_id: Option<&'e str>,
    pub(super) before: Option<i64>,
}

pub(super) struct End<'e> {
    pub(super) ending: &'e CompletionRow,
    pub(super) after: Option<i64>,
}

/// Names that are surely in their tables.
#[derive(Debug, Default)]
pub(super) struct Names {
    deployments: HashSet<String>,
    terms: HashSet<(String, String)>,
}

impl<'e> Batch<'e> {
    /// Adds an entry's rows, and tells where its documents will lie: new ones from `next` on.
    pub(super) fn add(&mut self, entry: &'e Entry, next: &mut i64, names: &Names) -> Written {
        let mut written = Written::default();
        match entry {
            Entry::Intent(opening) => {
                written.before = self.open(opening, None, next, names);
            }
            Entry::Whole(opening, ending) => {
                let made = ending.completion.deployment_id.as_deref();
                written.before = self.open(opening, made, next, names);
                written.after = self.end(ending, next);
            }
            Entry::Completion(ending) => {
                if let Some(made) = ending.completion.deployment_id.as_deref() {
                    self.name(made, names);
                    self.made.push((ending.id, made));
                }
                written.after = self.end(ending, next);
            }
            Entry::Settling(seq, settlement) => self.settlements.push((*seq, settlement)),
            Entry::Happening(event) => self.events.push(event),
        }
        written
    }

    fn open(
        &mut self,
        opening: &'e IntentRow,
        made: Option<&'e str>,
        next: &mut i64,
        names: &Names,
    ) -> Option<Stored> {
        let before = opening.before.as_ref().map(|filed| self.place(filed, next));
        let deployment_id = opening.intent.deployment_id.as_deref().or(made);
        if let Some(id) = deployment_id {
            self.name(id, names);
        }
        let terms = (opening.intent.provider.name, opening.intent.policy_digest.as_str());
        if !names.has_terms(terms) && !self.terms.contains(&terms) {
            self.terms.push(terms);
        }
        let number = before.map(|before| before.number);
        self.changes.push(Change { opening, deployment_id, before: number });
        before
    }

    fn end(&mut self, ending: &'e CompletionRow, next: &mut i64) -> Option<Stored> {
        let after = ending.after.as_ref().map(|filed| self.place(filed, next));
        self.ends.push(End { ending, after: after.map(|after| after.number) });
        after
    }

    /// Where a document lies or will lie.
    fn place(&mut self, filed: &'e SnapshotRef, next: &mut i64) -> Stored {
        let snapshot = match filed {
            SnapshotRef::Already(stored) => return *stored,
            SnapshotRef::New(snapshot) => snapshot,
        };
        let stored = Stored { number: *next, depth: snapshot.depth() };
        *next += 1;
        self.snapshots.push((stored.number, snapshot));
        stored
    }

    fn name(&mut self, deployment_id: &'e str, names: &Names) {
        if !names.deployments.contains(deployment_id) {
            self.deployments.push(deployment_id);
        }
    }
}

impl Names {
    /// Remembers what a batch named, now that it is committed.
    pub(super) fn learn(&mut self, batch: &Batch<'_>) {
        if self.deployments.len() + batch.deployments.len() > NAMES_MAX {
            self.deployments.clear();
        }
        if self.terms.len() + batch.terms.len() > NAMES_MAX {
            self.terms.clear();
        }
        self.deployments.extend(batch.deployments.iter().map(|id| (*id).to_owned()));
        let owned =
            |(provider, policy): &(&str, &str)| ((*provider).to_owned(), (*policy).to_owned());
        self.terms.extend(batch.terms.iter().map(owned));
    }

    fn has_terms(&self, (provider, policy): (&str, &str)) -> bool {
        self.terms.iter().any(|(p, d)| p == provider && d == policy)
    }
}
