//! What came of a case, beside what it expects.

use std::collections::BTreeSet;

use super::{Case, Expected};
use crate::base::clock::{Clock, ManualClock};
use crate::policy::evaluate::{self, Evaluation, Findings};
use crate::policy::outcome::RuleOutcome;
use crate::policy::rule::Rule;
use crate::policy::rule::cel::ExplainedPart;
use crate::policy::{Decision, Policy, Violation};
use crate::provider::Provider;

/// The most rules of one case that are explained.
const EXPLAINED_MAX: usize = 5;

/// The result of a case.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The policy's word on the change.
    pub findings: Findings,
    /// The outcome of each rule, in the policy's order.
    pub outcomes: Vec<RuleOutcome>,
    /// The decision.
    pub decision: Decision,
    /// The rules that are violated.
    pub rules: BTreeSet<String>,
    /// The rules that were violated before and still are.
    pub standing: BTreeSet<String>,
    /// Where this is not what is expected; empty where the case passes.
    pub differences: Vec<Difference>,
    /// Whether no rule is about the operation, so that the case passes whatever they require.
    pub asks_no_rule: bool,
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The decision.
    Decision,
    /// The rules that are violated.
    Rules,
    /// The rules that are standing.
    Standing,
    /// A text that no message has.
    Message(String),
}

/// Why a rule holds in a case, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The rule's name.
    pub rule: String,
    /// The outcome of the rule.
    pub outcome: RuleOutcome,
    /// The values of the parts of its expressions.
    pub parts: Vec<ExplainedPart>,
}

/// Judges a case by the policy, as the gateway would judge the call.
#[must_use]
pub fn judge(policy: &Policy, provider: &'static Provider, case: &Case) -> Verdict {
    let clock = clock(case);
    let subject = case.subject(provider, &clock);
    let Evaluation { findings, outcomes, .. } = evaluate::evaluate(policy, &subject);
    let decision = findings.decision();
    let [mut rules, standing] = [&findings.violations, &findings.standing].map(|it| names(it));
    // Findings are bounded; outcomes are not.
    let violated = policy.rules.iter().zip(&outcomes).filter(|(rule, outcome)| {
        matches!(outcome, RuleOutcome::Violated(_)) && rule.is_named(&rule.name)
    });
    rules.extend(violated.map(|(rule, _)| rule.name.to_string()));
    let is_about = |rule: &Rule| rule.scope.operations.contains(&case.operation);
    let asks_no_rule = !policy.rules.iter().any(is_about);
    let differences = Vec::new();
    let mut verdict =
        Verdict { findings, outcomes, decision, rules, standing, differences, asks_no_rule };
    verdict.differences = verdict.differences(&case.expected);
    verdict
}

/// Explains the rules in CEL for which a case fails: those that are violated or not, other than
/// expected.
#[must_use]
pub fn explain(
    policy: &Policy,
    provider: &'static Provider,
    case: &Case,
    verdict: &Verdict,
) -> Vec<Explained> {
    if verdict.passes() {
        return Vec::new();
    }
    let (clock, expected) = (clock(case), case.expected.rules.as_ref());
    let subject = case.subject(provider, &clock);
    let is_surprising = |name: &str| match expected {
        Some(expected) if verdict.differences.contains(&Difference::Rules) => {
            expected.contains(name) != verdict.rules.contains(name)
        }
        _ => verdict.rules.contains(name) || verdict.rules.is_empty(),
    };
    let rules = policy.rules.iter().zip(&verdict.outcomes);
    let surprising = rules.filter(|(rule, _)| is_surprising(&rule.name));
    let explained = surprising.filter_map(|(rule, outcome)| {
        let parts = evaluate::explain(policy, &subject, &rule.name);
        let rule = rule.name.to_string();
        (!parts.is_empty()).then_some(Explained { rule, outcome: *outcome, parts })
    });
    explained.take(EXPLAINED_MAX).collect()
}

/// A clock that stands still: rules are bounded by their steps, and by their time as well a busy
/// machine would fail them.
fn clock(case: &Case) -> Clock {
    Clock::Manual(ManualClock::at(case.at))
}

impl Verdict {
    /// Whether the case passes.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.differences.is_empty()
    }

    fn differences(&self, expected: &Expected) -> Vec<Difference> {
        let Expected { decision, rules, standing, messages } = expected;
        let mut found = Vec::new();
        if decision.is_some_and(|decision| decision != self.decision) {
            found.push(Difference::Decision);
        }
        if rules.as_ref().is_some_and(|rules| *rules != self.rules) {
            found.push(Difference::Rules);
        }
        if standing.as_ref().is_some_and(|standing| *standing != self.standing) {
            found.push(Difference::Standing);
        }
        let is_told = |part: &&String| {
            self.findings.violations.iter().any(|violation| violation.message.contains(*part))
        };
        let missing = messages.iter().filter(|part| !is_told(part));
        found.extend(missing.cloned().map(Difference::Message));
        found
    }
}

fn names(violations: &[Violation]) -> BTreeSet<String> {
    violations.iter().map(|violation| violation.rule.clone()).collect()
}
