//! All rules over one predicted change, and what follows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Enforcement, Policy, Violation};
use crate::deployment::members::Members;
use crate::deployment::patch::Patch;
use crate::deployment::predict::Prediction;
use crate::provider::Provider;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The provider, for its computed fields.
    pub provider: &'a Provider,
    /// The deployment before; none on create.
    pub before: Option<&'a Value>,
    /// What the call asks for.
    pub patch: &'a Patch,
    /// What the deployment would be, under every reading.
    pub prediction: &'a Prediction<'a>,
}

/// What the policy says of a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Rules broken at places that the change touches, each place once.
    pub violations: Vec<Violation>,
    /// Rules broken at places that the change leaves as they were (the ratchet).
    pub standing: Vec<Violation>,
}

/// The strictest of what the violations ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward; violations that only audit are recorded.
    Allow,
    /// Forward, and warn the client.
    Warn,
    /// Answer 403 and forward nothing.
    Deny,
}

/// The most violations, and the most standing ones, that a decision holds. Where there are more,
/// the strictest are kept, so that the verdict is that of all.
const FINDINGS_MAX: usize = 100;

/// The most characters of a text, and the most bytes of a list or object, that a record shows in
/// `actual`.
pub(crate) const ACTUAL_CHARS_MAX: usize = 256;

/// The most characters of a text that are kept until it was searched for secrets: beyond what is
/// shown, as many as the longest token has, so that none is cut that begins before.
const ACTUAL_CHARS_KEPT_MAX: usize = ACTUAL_CHARS_MAX + 4_096;

/// The longest path, in bytes, that is told; above it, the place around is named instead.
const PATH_BYTES_MAX: usize = 1_024;

impl Decision {
    /// The strictest enforcement among the violations decides.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.violations.iter().map(|violation| violation.enforcement).max() {
            Some(Enforcement::Deny) => Verdict::Deny,
            Some(Enforcement::Warn) => Verdict::Warn,
            Some(Enforcement::Audit) | None => Verdict::Allow,
        }
    }
}

/// Judges a change by every rule, under every reading of it. Both lists are sorted by path.
#[must_use]
pub fn decide(policy: &Policy, subject: &Subject<'_>) -> Decision {
    let before = subject.before.map(Members::of).unwrap_or_default();
    let mut findings = Findings::default();
    for reading in &subject.prediction.readings {
        if let Some(rule) = &policy.timezones {
            rule.check(&before, reading, &mut findings);
        }
        if let Some(rule) = &policy.metadata {
            rule.check(subject.provider, &before, reading, &mut findings);
        }
    }
    findings.decision()
}

/// What the rules have found so far, each rule and place once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    violations: Kept,
    standing: Kept,
}

/// The strictest first, so that the mildest is the one to go where there are too many.
type Kept = BTreeMap<(Reverse<Enforcement>, String, String), Violation>;

impl Findings {
    /// Notes a broken rule: a violation where the change `touched` the place, else standing.
    pub(super) fn add(&mut self, touched: bool, mut violation: Violation) {
        while violation.path.len() > PATH_BYTES_MAX {
            let around = violation.path.rfind('/').unwrap_or(0);
            violation.path.truncate(around);
            // It is no value of the place around, and could no longer be told to be secret.
            violation.actual = None;
        }
        violation.actual = violation.actual.and_then(bounded);
        let key = (Reverse(violation.enforcement), violation.path.clone(), violation.rule.clone());
        let kept = if touched { &mut self.violations } else { &mut self.standing };
        kept.entry(key).or_insert(violation);
        if kept.len() > FINDINGS_MAX {
            kept.pop_last();
        }
    }

    fn decision(mut self) -> Decision {
        // What one reading touches is touched, whatever the others leave.
        self.standing.retain(|key, _| !self.violations.contains_key(key));
        Decision { violations: by_path(self.violations), standing: by_path(self.standing) }
    }
}

fn by_path(kept: Kept) -> Vec<Violation> {
    let mut violations: Vec<_> = kept.into_values().collect();
    violations.sort_by(|one, other| (&one.path, &one.rule).cmp(&(&other.path, &other.rule)));
    violations
}

/// A value that is worth keeping in a record: texts are cut (the record cuts them once more, when
/// no secret is in them any longer), long lists and objects left out.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;
    use crate::deployment::excerpt::excerpt;
    use crate::deployment::patch::parse;
    use crate::deployment::predict::{Omitted, predict};
    use crate::policy::load::load;
    use crate::provider::Operation;

    fn judged(policy: &str, omitted: Omitted, before: Option<&Value>, patch: &Value) -> Decision {
        let policy = load(policy).unwrap();
        let provider = Provider::named("qoder-cn").unwrap();
        let patch = parse(provider, patch.to_string().as_bytes(), 64).unwrap();
        let operation = before.map_or(Operation::Create, |_| Operation::Update);
        let prediction = predict(provider, operation, omitted, before, &patch);
        decide(&policy, &Subject { provider, before, patch: &patch, prediction: &prediction })
    }

    #[test]
    fn every_case_is_judged_as_its_file_says() {
        for case in cases("policy") {
            let [policy, input, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let input: Value = serde_json::from_str(input).expect(&case.title);
            let omitted = match input.get("put") {
                Some(_) => Omitted::Open,
                None => Omitted::Preserved,
            };
            let decision = judged(policy, omitted, input.get("before"), &input["patch"]);
            let told = |standing: &'static str, violation: &Violation| {
                let (rule, path) = (&violation.rule, excerpt(&violation.path, 200));
                format!("{standing}{} {rule} {path}", json_name(violation.enforcement))
            };
            let mut found: Vec<String> =
                decision.violations.iter().map(|violation| told("", violation)).collect();
            found.extend(decision.standing.iter().map(|violation| told("standing ", violation)));
            found.push(format!("{:?}", decision.verdict()));
            assert_eq!(found.join("\n"), *expected, "{}", case.title);
            for violation in decision.violations.iter().chain(&decision.standing) {
                assert!(violation.message.starts_with(&violation.rule), "{violation:?}");
                assert!(!violation.message.chars().any(char::is_control), "{violation:?}");
            }
        }
    }

    fn json_name(enforcement: Enforcement) -> String {
        serde_json::to_value(enforcement).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn a_flood_of_mild_findings_hides_no_strict_one() {
        let keys: serde_json::Map<String, Value> =
            (0..500).map(|n| (format!("x{n}"), "v".into())).collect();
        let patch = serde_json::json!({"metadata": keys, "schedule": {"timezone": "Mars/Phobos"}});
        let policy = "timezones.allowed = ['UTC']\n\
            metadata = { forbidden_keys = ['x*'], enforcement = 'audit' }";
        let decision = judged(policy, Omitted::Preserved, None, &patch);
        assert_eq!(decision.violations.len(), FINDINGS_MAX);
        assert_eq!(decision.verdict(), Verdict::Deny);
        assert_eq!(decision.violations.last().unwrap().path, "/schedule/timezone");
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_told_is_exact() {
        let long = "M".repeat(2_000);
        let mut patch =
            serde_json::json!({"schedule": {"timezone": long}, "metadata": {"a": long}});
        patch["metadata"]["M".repeat(1_020)] = serde_json::json!({"deep": long});
        let policy =
            "timezones.allowed = ['UTC', 'Asia/Shanghai']\nmetadata.forbidden_keys = ['*']";
        let decision = judged(policy, Omitted::Preserved, None, &patch);
        let paths: Vec<_> = decision.violations.iter().map(|v| v.path.as_str()).collect();
        assert_eq!(paths, ["/metadata", "/metadata/a", "/schedule/timezone"]);
        for violation in &decision.violations {
            let actual = violation.actual.as_ref().map_or(0, |actual| actual.to_string().len());
            assert!(
                actual <= ACTUAL_CHARS_KEPT_MAX + 8 && violation.message.len() < 600,
                "{violation:?}"
            );
        }
        let patch = serde_json::json!({"schedule": {"timezone": "utc"}});
        let decision = judged(policy, Omitted::Preserved, None, &patch);
        assert_eq!(decision.violations[0].actual, Some("utc".into()));
        assert_eq!(
            decision.violations[0].message,
            "timezones: `utc` is not allowed as schedule.timezone: use UTC or Asia/Shanghai"
        );
    }
}
