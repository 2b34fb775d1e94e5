//! Entries arranged by the tables that their rows go to.

mod approvals;

use std::collections::{HashMap, HashSet};

pub(super) use self::approvals::{ApprovalStepRow, Approvals};
use crate::audit::document::{Snapshot, SnapshotRef, Stored};
use crate::audit::entry::{CompletionRow, Entry, IntentRow, Written};
use crate::audit::idempotency::IdempotencyKey;
use crate::audit::originals::{Half, SealedOriginals};
use crate::audit::record::{Event, Settlement};
use crate::audit::sealed::{Sealed, SignedTree};
use crate::audit::sink::SinkStep;
use crate::audit::touched::Touched;
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;
use crate::policy::Policy;

/// The most names that are remembered as being in their tables.
const NAMES_MAX: usize = 65_536;

/// The rows of a batch, each beside what it must be told. A row that others name comes first.
#[derive(Default)]
pub(super) struct Batch<'e> {
    pub(super) upstreams: Vec<(&'e str, &'static str)>,
    pub(super) nodes: Vec<&'e str>,
    pub(super) policies: Vec<&'e Policy>,
    pub(super) places: Vec<&'e str>,
    /// Upstreams and ids.
    pub(super) deployments: Vec<(&'e str, &'e str)>,
    pub(super) snapshots: Vec<(i64, &'e Snapshot)>,
    pub(super) changes: Vec<Change<'e>>,
    /// Intents, and the keys under which no other one may be written.
    pub(super) idempotency_keys: Vec<(ChangeId, IdempotencyKey)>,
    pub(super) approvals: Approvals<'e>,
    pub(super) ends: Vec<End<'e>>,
    pub(super) touched: Vec<(ChangeId, &'e Touched)>,
    pub(super) originals: Vec<(ChangeId, Half, &'e SealedOriginals)>,
    /// Creates, and the deployments that they made.
    pub(super) made: Vec<(ChangeId, &'e DeploymentKey)>,
    pub(super) settlements: Vec<(i64, &'e Settlement)>,
    pub(super) events: Vec<&'e Event>,
    pub(super) sealings: Vec<&'e Sealed>,
    pub(super) checkpoints: Vec<&'e SignedTree>,
    pub(super) log_keys: Vec<(&'e str, Timestamp)>,
    pub(super) sinks: Vec<&'e SinkStep>,
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
pub(super) struct KnownNumbers {
    /// Ids, by their upstreams.
    deployments: HashMap<String, HashSet<String>>,
    upstreams: HashSet<(String, &'static str)>,
    nodes: HashSet<String>,
    /// By their digests.
    policies: HashSet<String>,
    /// By their paths.
    places: HashSet<String>,
}

impl<'e> Batch<'e> {
    /// Adds an entry's rows, and tells where its documents will lie: new ones from `next` on.
    pub(super) fn add(
        &mut self,
        entry: &'e Entry,
        next: &mut i64,
        names: &KnownNumbers,
    ) -> Written {
        let mut written = Written::default();
        match entry {
            Entry::Intent(opening) => {
                let key = opening.intent.idempotency_key;
                self.idempotency_keys.extend(key.map(|key| (opening.intent.id, key)));
                written.before = self.open(opening, None, next, names);
            }
            Entry::Whole(opening, ending) => {
                let made = ending.completion.deployment_id.as_deref();
                written.before = self.open(opening, made, next, names);
                written.after = self.end(ending, next, names);
            }
            Entry::Completion(ending) => {
                if let Some(made) = &ending.made {
                    self.name(&made.upstream, &made.id, names);
                    self.made.push((ending.id, made));
                }
                written.after = self.end(ending, next, names);
            }
            Entry::Settling(seq, settlement) => self.settlements.push((*seq, settlement)),
            Entry::Happening(event) => self.events.push(event),
            Entry::Decision(decision) => {
                self.approvals.steps.push(ApprovalStepRow::decided(decision));
            }
            Entry::Expiry(at) => self.approvals.expiry = Some(*at),
            Entry::Sealing(sealed) => self.sealings.push(sealed),
            Entry::Checkpoint(signed) => self.checkpoints.push(signed),
            Entry::LogKeys(keys, at) => {
                self.log_keys.extend(keys.iter().map(|key| (key.as_str(), *at)));
            }
            Entry::Sink(step) => self.sinks.push(step),
        }
        written
    }

    fn open(
        &mut self,
        opening: &'e IntentRow,
        made: Option<&'e str>,
        next: &mut i64,
        names: &KnownNumbers,
    ) -> Option<Stored> {
        let before = opening.before.as_ref().map(|filed| self.place(filed, next));
        let deployment_id = opening.intent.deployment_id.as_deref().or(made);
        let intent = &opening.intent;
        if let Some(id) = deployment_id {
            self.name(&intent.upstream, id, names);
        }
        let upstream = (&*intent.upstream, intent.provider.name);
        let is_known = |(name, provider): &(String, &str)| (&**name, *provider) == upstream;
        if !names.upstreams.iter().any(is_known) && !self.upstreams.contains(&upstream) {
            self.upstreams.push(upstream);
        }
        if !names.nodes.contains(&*intent.node) && !self.nodes.contains(&&*intent.node) {
            self.nodes.push(&intent.node);
        }
        let is_named = |policy: &&Policy| policy.digest == intent.policy.digest;
        if !names.policies.contains(&intent.policy.digest) && !self.policies.iter().any(is_named) {
            self.policies.push(&intent.policy);
        }
        let number = before.map(|before| before.number);
        self.changes.push(Change { opening, deployment_id, before: number });
        let originals = opening.originals.as_ref();
        self.originals.extend(originals.map(|sealed| (intent.id, Half::Intent, sealed)));
        if let Some(part) = &intent.approval {
            self.approvals.ask(opening, part);
        }
        before
    }

    fn end(
        &mut self,
        ending: &'e CompletionRow,
        next: &mut i64,
        names: &KnownNumbers,
    ) -> Option<Stored> {
        let after = ending.after.as_ref().map(|filed| self.place(filed, next));
        let paths = ending.touched.iter().map(|touched| touched.path.as_str());
        for path in paths.filter(|path| !names.places.contains(*path)) {
            self.places.push(path);
        }
        self.touched.extend(ending.touched.iter().map(|touched| (ending.id, touched)));
        let originals = ending.originals.as_ref();
        self.originals.extend(originals.map(|sealed| (ending.id, Half::End, sealed)));
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

    fn name(&mut self, upstream: &'e str, id: &'e str, names: &KnownNumbers) {
        if !names.has_deployment(upstream, id) {
            self.deployments.push((upstream, id));
        }
    }
}

impl KnownNumbers {
    /// Remembers what a batch named, now that it is committed.
    pub(super) fn learn(&mut self, batch: &Batch<'_>) {
        let known: usize = self.deployments.values().map(HashSet::len).sum();
        if known + batch.deployments.len() > NAMES_MAX {
            self.deployments.clear();
        }
        // Few ever: each is of a configuration.
        if self.policies.len() + self.upstreams.len() + self.nodes.len() > NAMES_MAX {
            (self.policies, self.upstreams, self.nodes) = Default::default();
        }
        for (upstream, id) in &batch.deployments {
            self.deployments.entry((*upstream).to_owned()).or_default().insert((*id).to_owned());
        }
        if self.places.len() + batch.places.len() > NAMES_MAX {
            self.places.clear();
        }
        self.places.extend(batch.places.iter().map(|path| (*path).to_owned()));
        let upstreams = batch.upstreams.iter();
        self.upstreams.extend(upstreams.map(|(name, provider)| ((*name).to_owned(), *provider)));
        self.nodes.extend(batch.nodes.iter().map(|name| (*name).to_owned()));
        self.policies.extend(batch.policies.iter().map(|policy| policy.digest.clone()));
    }

    fn has_deployment(&self, upstream: &str, id: &str) -> bool {
        self.deployments.get(upstream).is_some_and(|ids| ids.contains(id))
    }
}
