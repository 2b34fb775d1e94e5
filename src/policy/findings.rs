//! Findings of the rules, no more of them than a record can hold.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;

use serde_json::Value;

use super::{Decision, Enforcement, Violation};

/// The most violations, and the most standing ones, that a decision holds. Where there are more,
/// some of each rule are kept, and of the rest the strictest, so that the verdict is that of all.
pub(crate) const FINDINGS_MAX: usize = 100;

/// The most characters of a text, and the most bytes of a list or object, in `actual`.
pub(crate) const ACTUAL_CHARS_MAX: usize = 256;

/// The most characters of a text that are kept until it was searched for secrets: beyond what is
/// shown, as many as the longest token has, so that none is cut that begins before.
const ACTUAL_CHARS_KEPT_MAX: usize = ACTUAL_CHARS_MAX + 4_096;

/// The longest path, in bytes, that is told; above it, the place around is named instead.
const PATH_BYTES_MAX: usize = 1_024;

/// The rules that a change breaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Rules broken at places that the change touches, each place once, sorted by path.
    pub violations: Vec<Violation>,
    /// How many more there are than `violations` holds.
    pub violations_omitted: usize,
    /// Rules broken at places that the change leaves as they were (the ratchet), sorted by path.
    pub standing: Vec<Violation>,
}

impl Findings {
    /// The decision of the strictest enforcement among the violations.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let strictest = self.violations.iter().map(|violation| violation.enforcement).max();
        strictest.map_or(Decision::Allow, Enforcement::decision)
    }

    /// About how many bytes they take in a record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let findings = self.violations.iter().chain(&self.standing);
        findings.map(|found| found.rule.len() + found.path.len() + found.message.len()).sum()
    }
}

/// Where the rules tell what they find.
pub(super) trait Collect {
    /// Notes a broken rule: a violation where the change `touched` the place, else standing.
    fn add(&mut self, touched: bool, violation: Violation);
}

/// The findings of the rules so far, each rule and place once.
#[derive(Debug, Default)]
pub(super) struct Collector {
    violations: Kept,
    standing: Kept,
    /// The rules and places that are known already, and not noted again.
    known: HashSet<u64>,
    hasher: RandomState,
}

/// Rules and places, as their hashes: of what is not kept, no more is to be remembered.
#[derive(Debug, Default)]
pub(super) struct KnownFindings(HashSet<u64>, RandomState);

/// Findings, the strictest first, so that the mildest is the one to go where there are too many.
#[derive(Debug, Default)]
struct Kept {
    found: BTreeMap<Rank, Violation>,
    /// How many of them are of each rule.
    of_rules: BTreeMap<(Enforcement, String), usize>,
    /// All that were ever found.
    seen: HashSet<u64>,
}

type Rank = (Reverse<Enforcement>, String, String);

impl Collect for Collector {
    fn add(&mut self, touched: bool, violation: Violation) {
        let violation = fit(violation);
        let mark = mark(&self.hasher, &violation);
        if self.known.contains(&mark) {
            return;
        }
        let kept = if touched { &mut self.violations } else { &mut self.standing };
        if kept.seen.insert(mark) {
            kept.add(violation);
        }
    }
}

impl Collect for KnownFindings {
    fn add(&mut self, _touched: bool, violation: Violation) {
        let mark = mark(&self.1, &fit(violation));
        self.0.insert(mark);
    }
}

impl Collector {
    /// Nothing yet, and nothing ever of what is known.
    pub(super) fn beyond(KnownFindings(known, hasher): KnownFindings) -> Self {
        Self { known, hasher, ..Self::default() }
    }

    /// Whether nothing was found but what was forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.violations.seen.is_empty() && self.standing.seen.is_empty()
    }

    /// Takes out what is told already.
    pub(super) fn forget<'v>(&mut self, told: impl Iterator<Item = &'v Violation>) {
        for violation in told {
            let mark = mark(&self.hasher, violation);
            self.violations.seen.remove(&mark);
            self.standing.seen.remove(&mark);
        }
    }

    /// The findings as they are recorded.
    pub(super) fn told(mut self) -> Findings {
        // What one reading touches is touched, whatever the others leave.
        self.standing.found.retain(|rank, _| !self.violations.found.contains_key(rank));
        let violations_omitted = self.violations.seen.len() - self.violations.found.len();
        let [violations, standing] = [self.violations, self.standing].map(|kept| kept.found);
        let (violations, standing) = (by_path(violations), by_path(standing));
        Findings { violations, violations_omitted, standing }
    }

    /// All findings, touched or not.
    pub(super) fn all(mut self) -> Vec<Violation> {
        for violation in self.standing.found.into_values() {
            self.violations.add(violation);
        }
        by_path(self.violations.found)
    }
}

impl Kept {
    fn add(&mut self, violation: Violation) {
        let rule = (violation.enforcement, violation.rule.clone());
        let rank = (Reverse(violation.enforcement), violation.path.clone(), violation.rule.clone());
        if self.found.insert(rank, violation).is_none() {
            *self.of_rules.entry(rule).or_default() += 1;
        }
        if self.found.len() > FINDINGS_MAX {
            self.drop_one();
        }
    }

    /// Lets the mildest go of which there are more of the same rule.
    fn drop_one(&mut self) {
        let rule_of = |(Reverse(enforcement), _, rule): &Rank| (*enforcement, rule.clone());
        let is_one_of_many =
            |rank: &Rank| self.of_rules.get(&rule_of(rank)).is_some_and(|many| *many > 1);
        let mildest = self.found.keys().rev().find(|rank| is_one_of_many(rank)).cloned();
        let Some(rank) = mildest.or_else(|| self.found.keys().next_back().cloned()) else { return };
        self.found.remove(&rank);
        if let Some(many) = self.of_rules.get_mut(&rule_of(&rank)) {
            *many -= 1;
        }
    }
}

/// A violation that is fit for a record: its place is short enough, and so is its value.
fn fit(mut violation: Violation) -> Violation {
    while violation.path.len() > PATH_BYTES_MAX {
        let around = violation.path.rfind('/').unwrap_or(0);
        violation.path.truncate(around);
        // It is not a value of the place around, and could no longer be told to be secret.
        violation.actual = None;
    }
    violation.actual = violation.actual.and_then(bounded);
    violation
}

fn mark(hasher: &RandomState, violation: &Violation) -> u64 {
    hasher.hash_one((&violation.rule, violation.enforcement, &violation.path))
}

fn by_path(found: BTreeMap<Rank, Violation>) -> Vec<Violation> {
    let mut violations: Vec<_> = found.into_values().collect();
    violations.sort_by(|one, other| (&one.path, &one.rule).cmp(&(&other.path, &other.rule)));
    violations
}

/// A value that is worth keeping in a record: texts are cut, long lists and objects left out.
fn bounded(actual: Value) -> Option<Value> {
    match actual {
        Value::String(text) => {
            let end = text.char_indices().nth(ACTUAL_CHARS_KEPT_MAX).map(|(end, _)| end);
            let cut = end.and_then(|end| text.get(..end)).map(|cut| format!("{cut}…"));
            Some(cut.unwrap_or(text).into())
        }
        Value::Array(_) | Value::Object(_) => {
            (actual.to_string().len() <= ACTUAL_CHARS_MAX).then_some(actual)
        }
        plain => Some(plain),
    }
}
