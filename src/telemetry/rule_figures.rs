//! The counts of each rule in force.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::policy::outcome::RuleOutcome;
use crate::policy::{Enforcement, Policy};

/// The counts of each rule in force. A rule that is gone is no longer shown, so that there are
/// never more series than a policy may have rules, times the outcomes.
#[derive(Debug, Default)]
pub(super) struct RuleFigures {
    outcomes: Family<OutcomeLabels, Counter>,
    would_deny: Family<RuleLabels, Counter>,
    after_violations: Family<RuleLabels, Counter>,
    in_force: ArcSwap<Resolved>,
    /// Held while the rules in force change.
    changing: Mutex<()>,
}

/// The counters of the rules in force, found once, so that a call costs one addition a rule.
#[derive(Debug, Default)]
struct Resolved {
    /// By name of the rule.
    rules: HashMap<String, RuleCounters>,
    /// By name of a violation.
    after_violations: HashMap<String, Counter>,
}

/// The counters of one rule.
#[derive(Debug)]
struct RuleCounters {
    /// In the order of [`RuleOutcome::NAMES`].
    outcomes: [Counter; RuleOutcome::NAMES.len()],
    /// `None` where the rule denies by itself.
    would_deny: Option<Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    rule: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: String,
}

impl RuleFigures {
    /// Nothing counted yet, of no rule.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let figures = Self::default();
        registry.register(
            "rule_outcomes",
            "Outcomes of the rules in force, on each governed call that they are asked about",
            figures.outcomes.clone(),
        );
        registry.register(
            "rule_would_deny",
            "Calls that a rule which audits or warns would have denied",
            figures.would_deny.clone(),
        );
        registry.register(
            "after_violations",
            "Rules found broken after a change, though that was not predicted",
            figures.after_violations.clone(),
        );
        figures
    }

    /// Counts the rules of this policy from now on, those that stay from where they are.
    pub(super) fn put_in_force(&self, policy: &Policy) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.in_force.load_full();
        let mut rules: HashMap<String, RuleCounters> = HashMap::new();
        for rule in &policy.rules {
            let name = || rule.name.to_string();
            let outcomes = RuleOutcome::NAMES.map(|outcome| {
                self.outcomes.get_or_create_owned(&OutcomeLabels { rule: name(), outcome })
            });
            // Freezes have one name, and more than one effect at times.
            let counters = RuleCounters { outcomes, would_deny: None };
            let counters = rules.entry(name()).or_insert(counters);
            if rule.enforcement <= Enforcement::Warn {
                let would_deny =
                    || self.would_deny.get_or_create_owned(&RuleLabels { rule: name() });
                counters.would_deny.get_or_insert_with(would_deny);
            }
        }
        let after_violations = policy.violation_names().map(|rule| {
            let counter =
                self.after_violations.get_or_create_owned(&RuleLabels { rule: rule.clone() });
            (rule, counter)
        });
        let new = Resolved { after_violations: after_violations.collect(), rules };
        self.forget(&former, &new);
        self.in_force.store(Arc::new(new));
    }

    /// Shows no longer what is gone.
    fn forget(&self, former: &Resolved, new: &Resolved) {
        for (name, counters) in &former.rules {
            let stays = new.rules.get(name);
            let rule = || name.clone();
            if stays.is_none() {
                for outcome in RuleOutcome::NAMES {
                    self.outcomes.remove(&OutcomeLabels { rule: rule(), outcome });
                }
            }
            if counters.would_deny.is_some() && stays.is_none_or(|it| it.would_deny.is_none()) {
                self.would_deny.remove(&RuleLabels { rule: rule() });
            }
        }
        let is_gone = |name: &&String| !new.after_violations.contains_key(*name);
        for name in former.after_violations.keys().filter(is_gone) {
            self.after_violations.remove(&RuleLabels { rule: name.clone() });
        }
    }

    /// Counts the outcome of each rule of `policy` on one call.
    pub(super) fn count(&self, policy: &Policy, outcomes: &[RuleOutcome]) {
        let in_force = self.in_force.load();
        for (rule, outcome) in policy.rules.iter().zip(outcomes) {
            // It may be gone since the call was judged.
            let Some(counters) = in_force.rules.get(rule.name.as_ref()) else { continue };
            let name = outcome.name();
            let at = RuleOutcome::NAMES.iter().position(|known| *known == name);
            // What is not in scope has no counter.
            let counter = at.and_then(|at| counters.outcomes.get(at));
            if let Some(counter) = counter {
                counter.inc();
            }
            let would_deny = counters.would_deny.as_ref();
            let would_deny = would_deny.filter(|_| rule.enforcement <= Enforcement::Warn);
            if let (RuleOutcome::Violated(_), Some(counter)) = (outcome, would_deny) {
                counter.inc();
            }
        }
    }

    /// Counts a rule that was found broken after a change, though that was not predicted.
    pub(super) fn count_after_violation(&self, rule: &str) {
        if let Some(counter) = self.in_force.load().after_violations.get(rule) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::policy::load::load;
    use crate::policy::outcome::Breach;
    use crate::provider::Provider;

    fn policy(rules: &[(&str, &str)]) -> Policy {
        let rule = |(name, enforcement): &(&str, &str)| {
            let head = "[[rule]]\nrequire = 'true'\n";
            format!("{head}name = '{name}'\nenforcement = '{enforcement}'\n")
        };
        load(&rules.iter().map(rule).collect::<String>(), Provider::ALL[0]).unwrap()
    }

    #[test]
    fn rules_in_force_are_counted_from_zero_and_those_that_are_gone_are_no_longer_shown() {
        let mut registry = Registry::default();
        let figures = RuleFigures::registered(&mut registry);
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let first = policy(&[("a", "warn"), ("b", "deny")]);
        figures.put_in_force(&first);
        assert_eq!(text().matches("} 0\n").count(), 2 * RuleOutcome::NAMES.len() + 1 + 2);
        let outcomes =
            [RuleOutcome::Violated(Breach::OverBudget), RuleOutcome::Standing(Breach::Broken)];
        figures.count(&first, &outcomes);
        figures.count(&first, &[RuleOutcome::Standing(Breach::Error), RuleOutcome::NotInScope]);
        figures.count_after_violation("b");
        for line in [
            "rule_outcomes_total{rule=\"a\",outcome=\"over_budget\"} 1\n",
            "rule_outcomes_total{rule=\"a\",outcome=\"error\"} 1\n",
            "rule_outcomes_total{rule=\"b\",outcome=\"standing\"} 1\n",
            "rule_would_deny_total{rule=\"a\"} 1\n",
            "after_violations_total{rule=\"b\"} 1\n",
        ] {
            assert!(text().contains(line), "{line}\n{}", text());
        }
        let second = policy(&[("b", "audit"), ("c", "deny")]);
        figures.put_in_force(&second);
        assert!(!text().contains("rule=\"a\""), "{}", text());
        assert!(text().contains("rule_outcomes_total{rule=\"b\",outcome=\"standing\"} 1\n"));
        assert!(text().contains("rule_would_deny_total{rule=\"b\"} 0\n"));
        // A call that was judged by the former policy.
        figures.count(&first, &outcomes);
        figures.count_after_violation("a");
        assert!(!text().contains("rule=\"a\""), "{}", text());
        assert!(text().contains("rule_outcomes_total{rule=\"b\",outcome=\"standing\"} 2\n"));
        figures.put_in_force(&Policy::default());
        assert!(!text().contains("rule="), "{}", text());
    }

    #[test]
    fn freezes_of_one_name_are_counted_by_the_effect_of_each() {
        let mut registry = Registry::default();
        let figures = RuleFigures::registered(&mut registry);
        let freeze = |effect: &str| {
            format!(
                "[[schedule.freeze]]\nstarts = '0 9 * * *'\nlasts = '1h'\ntimezone = 'UTC'\n\
                 enforcement = '{effect}'\n"
            )
        };
        for effects in [["deny", "audit"], ["audit", "deny"]] {
            let text = effects.map(freeze).concat();
            let policy = load(&text, Provider::ALL[0]).unwrap();
            figures.put_in_force(&policy);
            figures.count(&policy, &[RuleOutcome::Violated(Breach::Broken); 2]);
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("outcome=\"violated\"} 4\n"), "{text}");
        assert!(text.contains("rule_would_deny_total{rule=\"schedule.freeze\"} 2\n"), "{text}");
    }
}
