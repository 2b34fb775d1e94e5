//! A policy held against recorded changes: how often it decides otherwise than was decided, and of
//! which changes. Of each kind of change of mind the newest are remembered, however many there are.

use std::collections::BTreeMap;

use super::gap::Gap;
use super::outcome::RuleOutcome;
use super::recorded::Rejudged;
use super::{Decision, Policy, Violation};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;

/// The decisions that a policy makes.
pub const DECISIONS: [Decision; 3] = [Decision::Allow, Decision::Warn, Decision::Deny];

/// A change and its decisions, then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Its place in the log.
    pub seq: i64,
    /// Its id.
    pub id: ChangeId,
    /// When it was received.
    pub received_at: Timestamp,
    /// The id of the deployment, where there is one.
    pub deployment_id: Option<String>,
    /// The name of the actor, or its fingerprint.
    pub actor: String,
    /// The recorded decision.
    pub old: Decision,
    /// The decision now; `None` where it can't be told.
    pub new: Option<Decision>,
    /// The rules that make the new decision, or keep it from being told.
    pub rules: Vec<String>,
}

/// How many changes had one decision and have another one now, and the newest of them.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// How many.
    pub count: u64,
    newest: BTreeMap<i64, Moved>,
}

/// How often a rule came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Changes that it finds broken.
    pub violated: u64,
    /// Changes that it finds broken before, and left so.
    pub standing: u64,
    /// Changes that it can't be judged by, by reason.
    pub gaps: [u64; Gap::ALL.len()],
}

/// Recorded changes, judged by another policy.
#[derive(Clone, Debug)]
pub struct Replay {
    cells: BTreeMap<(usize, usize), Cell>,
    /// The counts of each rule, in the policy's order.
    pub rules: Vec<RuleCount>,
    /// How many changes were judged anew.
    pub count: u64,
    /// Changes of which no policy was asked.
    pub not_asked: u64,
    listed_max: usize,
}

impl Replay {
    /// None yet, by a policy; of each cell at most so many changes are remembered.
    #[must_use]
    pub fn new(policy: &Policy, listed_max: usize) -> Self {
        let rules = vec![RuleCount::default(); policy.rules.len()];
        Self { cells: BTreeMap::new(), rules, count: 0, not_asked: 0, listed_max }
    }

    /// Adds a change that was judged anew; tells where it moved.
    pub fn add(&mut self, rejudged: &Rejudged, moved: impl FnOnce() -> Moved) -> Option<Moved> {
        self.count += 1;
        for (count, outcome) in self.rules.iter_mut().zip(&rejudged.outcomes) {
            match outcome {
                RuleOutcome::Violated(_) => count.violated += 1,
                RuleOutcome::Standing(_) => count.standing += 1,
                RuleOutcome::NotInScope | RuleOutcome::Skipped | RuleOutcome::Satisfied => {}
            }
        }
        for (at, gap) in &rejudged.gaps {
            let Some(count) = self.rules.get_mut(*at) else { continue };
            match rejudged.outcomes.get(*at) {
                Some(RuleOutcome::Violated(_)) => count.violated -= 1,
                Some(RuleOutcome::Standing(_)) => count.standing -= 1,
                _ => {}
            }
            if let Some(count) = count.gaps.get_mut(usize::from(*gap == Gap::NotKept)) {
                *count += 1;
            }
        }
        let moved = moved();
        let cell = self.cells.entry((row(moved.old), column(moved.new))).or_default();
        cell.count += 1;
        if moved.new == Some(moved.old) {
            return None;
        }
        cell.newest.insert(moved.seq, moved.clone());
        if cell.newest.len() > self.listed_max {
            cell.newest.pop_first();
        }
        Some(moved)
    }

    /// The changes that were decided so, and are now; `None` stands for those that can't be told.
    #[must_use]
    pub fn cell(&self, old: Decision, new: Option<Decision>) -> Cell {
        self.cells.get(&(row(old), column(new))).cloned().unwrap_or_default()
    }

    /// How many changes passed that would be denied.
    #[must_use]
    pub fn newly_denied(&self) -> u64 {
        let passed = [Decision::Allow, Decision::Warn].into_iter();
        passed.map(|old| self.cell(old, Some(Decision::Deny)).count).sum()
    }

    /// How many changes can't be decided anew.
    #[must_use]
    pub fn untold(&self) -> u64 {
        DECISIONS.into_iter().map(|old| self.cell(old, None).count).sum()
    }

    /// How many changes are decided otherwise.
    #[must_use]
    pub fn moved(&self) -> u64 {
        let others =
            self.cells.iter().filter(|((old, new), _)| old != new && *new < DECISIONS.len());
        others.map(|(_, cell)| cell.count).sum()
    }
}

impl Cell {
    /// The changes that are remembered, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Moved> {
        self.newest.values().rev()
    }
}

/// The rules that make a decision, or keep it from being told, each once.
#[must_use]
pub fn decisive(policy: &Policy, rejudged: &Rejudged) -> Vec<String> {
    let Some(decision) = rejudged.decision else {
        let rules = rejudged.gaps.iter().filter_map(|(at, _)| policy.rules.get(*at));
        return rules.map(|rule| rule.name.to_string()).collect();
    };
    let decides = |found: &&Violation| found.enforcement.decision() == decision;
    let decisive = rejudged.findings.violations.iter().filter(decides);
    let mut rules: Vec<String> = decisive.map(|found| found.rule.clone()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn row(old: Decision) -> usize {
    column(Some(old))
}

fn column(new: Option<Decision>) -> usize {
    let place = |new| DECISIONS.iter().position(|decision| *decision == new);
    new.and_then(place).unwrap_or(DECISIONS.len())
}
