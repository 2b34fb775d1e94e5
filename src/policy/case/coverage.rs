//! What the cases of a policy cover of it: in how many of them each rule came to what.

use std::path::{Path, PathBuf};

use super::verdict::Verdict;
use crate::policy::Policy;
use crate::policy::outcome::{Breach, RuleOutcome};
use crate::provider::Provider;

/// The cases that were judged by a policy, rule by rule.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The policy's file.
    pub policy: PathBuf,
    /// The provider whose deployments the cases are about.
    pub provider: &'static Provider,
    /// Each rule, and each part of one that has several, in the policy's order.
    pub rules: Vec<RuleCoverage>,
}

/// In how many cases a rule came to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCoverage {
    /// The name that its violations have.
    pub rule: String,
    /// The place of the rule within the policy.
    at: usize,
    /// Whether it is a part of that rule.
    is_part: bool,
    /// The change keeps it.
    pub satisfied: usize,
    /// The change breaks it, for a reason of the rule's own.
    pub violated: usize,
    /// It was broken before, and the change has nothing to do with it.
    pub standing: usize,
    /// It could not be evaluated, which counts as broken.
    pub error: usize,
    /// Its `when` does not hold.
    pub skipped: usize,
    /// It is not asked about such calls.
    pub not_asked: usize,
}

impl Coverage {
    /// Nothing yet of a policy.
    #[must_use]
    pub fn new(path: &Path, policy: &Policy, provider: &'static Provider) -> Self {
        let rules = policy.rules.iter().enumerate().flat_map(|(at, rule)| {
            let of = move |name: String| {
                let is_part = *name != *rule.name;
                RuleCoverage { rule: name, at, is_part, ..RuleCoverage::default() }
            };
            rule.violation_names().into_iter().map(of)
        });
        let rules = rules.collect();
        Self { policy: path.to_owned(), provider, rules }
    }

    /// Whether it is about the policy at that path, for that provider.
    #[must_use]
    pub fn is_of(&self, path: &Path, provider: &Provider) -> bool {
        self.policy == path && self.provider.name == provider.name
    }

    /// Counts a case.
    pub fn count(&mut self, verdict: &Verdict) {
        for rule in &mut self.rules {
            let outcome = verdict.outcomes.get(rule.at).copied().unwrap_or_default();
            let is_violated = !rule.is_part || verdict.rules.contains(&rule.rule);
            let is_standing = !rule.is_part || verdict.standing.contains(&rule.rule);
            let count = match outcome {
                RuleOutcome::NotInScope => &mut rule.not_asked,
                RuleOutcome::Skipped => &mut rule.skipped,
                RuleOutcome::Violated(Breach::Broken) if is_violated => &mut rule.violated,
                RuleOutcome::Violated(_) if is_violated => &mut rule.error,
                // Of a rule that is violated, a part may be standing.
                RuleOutcome::Violated(_) | RuleOutcome::Standing(Breach::Broken) if is_standing => {
                    &mut rule.standing
                }
                RuleOutcome::Standing(_) if is_standing => &mut rule.error,
                _ => &mut rule.satisfied,
            };
            *count += 1;
        }
    }

    /// A sentence for each rule that the cases do not test from both sides.
    pub fn gaps(&self) -> impl Iterator<Item = String> {
        self.rules.iter().filter_map(|rule| {
            let missing = rule.missing()?;
            Some(format!("no case {missing} the rule `{}`", rule.rule))
        })
    }
}

/// The word for what a rule came to; what could not be evaluated is an error, whatever it counts
/// as.
#[must_use]
pub const fn word(outcome: RuleOutcome) -> &'static str {
    match outcome {
        RuleOutcome::NotInScope => "not_asked",
        RuleOutcome::Skipped => "skipped",
        RuleOutcome::Satisfied => "satisfied",
        RuleOutcome::Standing(Breach::Broken) => "standing",
        RuleOutcome::Violated(Breach::Broken) => "violated",
        RuleOutcome::Standing(_) | RuleOutcome::Violated(_) => "error",
    }
}

impl RuleCoverage {
    /// What no case does to the rule, in words.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        // What can't be evaluated is denied as well, but tells nothing of the rule's meaning.
        match (self.violated, self.satisfied) {
            (0, 0) => Some("violates or satisfies"),
            (0, _) => Some("violates"),
            (_, 0) => Some("satisfies"),
            _ => None,
        }
    }
}
