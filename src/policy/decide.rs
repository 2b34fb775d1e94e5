//! All rules over one predicted change, and what follows.

use serde_json::Value;

use super::findings::{Findings, Found, Known};
use super::metadata::{KeyContext, Keys};
use super::{Enforcement, Policy, Violation};
use crate::deployment::members::Members;
use crate::deployment::patch::Patch;
use crate::deployment::predict::Prediction;
use crate::provider::Provider;

/// The change that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The provider, for its computed fields.
    pub provider: &'a Provider,
    /// The deployment before; none on create.
    pub before: Option<&'a Value>,
    /// The patch that the call asks for.
    pub patch: &'a Patch,
    /// The deployment as it would be, under every reading.
    pub prediction: &'a Prediction<'a>,
}

/// The policy's word on a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Rules broken at places that the change touches, each place once.
    pub violations: Vec<Violation>,
    /// How many more there are than `violations` holds.
    pub violations_omitted: usize,
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

    /// About how many bytes its findings take in a record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let findings = self.violations.iter().chain(&self.standing);
        findings.map(|found| found.rule.len() + found.path.len() + found.message.len()).sum()
    }
}

/// The name of the rule on keys that a change leaves as they are.
const PROTECTED_KEYS: &str = "metadata.protected_keys";

/// Judges a change by every rule, under every reading of it. Both lists are sorted by path.
#[must_use]
pub fn decide(policy: &Policy, subject: &Subject<'_>) -> Decision {
    let mut findings = Findings::default();
    Judge::of(policy, subject).judge_prediction(&mut findings);
    let (violations, violations_omitted, standing) = findings.told();
    Decision { violations, violations_omitted, standing }
}

/// Judges what upstream shows after a change by the same rules, what it computes aside. Told is
/// what is broken there, was not broken before, and was not predicted to be; sorted by path.
#[must_use]
pub fn judge_after(
    policy: &Policy,
    subject: &Subject<'_>,
    decision: &Decision,
    after: &Value,
) -> Vec<Violation> {
    let judge = Judge::of(policy, subject);
    let after = Members::of(after);
    let mut findings = Findings::default();
    judge.judge(&after, &mut findings);
    findings.forget(decision.violations.iter().chain(&decision.standing));
    // Nearly always nothing is broken that was not predicted.
    if findings.is_empty() {
        return Vec::new();
    }
    let mut known = Known::default();
    judge.judge(&judge.before, &mut known);
    judge.judge_prediction(&mut known);
    let mut findings = Findings::beyond(known);
    judge.judge(&after, &mut findings);
    let mut found = findings.all();
    // On a create the server fills in what the body leaves out: nobody has set a protected key.
    found.retain(|violation| subject.before.is_some() || violation.rule != PROTECTED_KEYS);
    found
}

/// The rules beside what they are held against.
struct Judge<'a> {
    policy: &'a Policy,
    subject: &'a Subject<'a>,
    before: Members<'a>,
    keys: Keys,
}

impl<'a> Judge<'a> {
    fn of(policy: &'a Policy, subject: &'a Subject<'a>) -> Self {
        let before = subject.before.map(Members::of).unwrap_or_default();
        Self { policy, subject, before, keys: Keys::default() }
    }

    fn scene(&self) -> KeyContext<'_> {
        KeyContext { provider: self.subject.provider, before: &self.before, keys: &self.keys }
    }

    fn judge_prediction(&self, found: &mut dyn Found) {
        for reading in &self.subject.prediction.readings {
            self.judge(reading, found);
        }
        if let Some(rule) = &self.policy.metadata {
            rule.check_computed(&self.scene(), self.subject.patch, found);
        }
    }

    fn judge(&self, reading: &Members<'_>, found: &mut dyn Found) {
        if let Some(rule) = &self.policy.timezones {
            rule.check(&self.before, reading, found);
        }
        if let Some(rule) = &self.policy.metadata {
            rule.check(&self.scene(), reading, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;
    use crate::deployment::excerpt::excerpt;
    use crate::deployment::patch::parse;
    use crate::deployment::predict::{Omitted, predict};
    use crate::policy::findings::FINDINGS_MAX;
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
        assert_eq!(decision.violations_omitted, 401);
        assert_eq!(decision.verdict(), Verdict::Deny);
        assert_eq!(decision.violations.last().unwrap().path, "/schedule/timezone");
        let mild = policy.replace("['UTC']", "['UTC']\ntimezones.enforcement = 'audit'");
        let decision = judged(&mild, Omitted::Preserved, None, &patch);
        assert_eq!(decision.violations.len(), FINDINGS_MAX);
        assert_eq!(decision.violations.last().unwrap().path, "/schedule/timezone");
    }

    #[test]
    fn what_is_broken_afterwards_is_told_where_it_was_not_before_and_not_predicted() {
        for case in cases("after") {
            let [policy, input, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let input: Value = serde_json::from_str(input).expect(&case.title);
            let policy = load(policy).unwrap();
            let provider = Provider::named("qoder-cn").unwrap();
            let patch = parse(provider, input["patch"].to_string().as_bytes(), 64).unwrap();
            let before = input.get("before");
            let operation = before.map_or(Operation::Create, |_| Operation::Update);
            let prediction = predict(provider, operation, Omitted::Preserved, before, &patch);
            let subject = Subject { provider, before, patch: &patch, prediction: &prediction };
            let decision = decide(&policy, &subject);
            let found = judge_after(&policy, &subject, &decision, &input["after"]);
            let told: Vec<String> =
                found.iter().map(|found| format!("{} {}", found.rule, found.path)).collect();
            let told = if told.is_empty() { "nothing".to_owned() } else { told.join("\n") };
            assert_eq!(told, *expected, "{}", case.title);
        }
    }

    #[test]
    fn no_flood_of_what_was_known_hides_what_came_of_itself() {
        let keys: serde_json::Map<String, Value> =
            (0..500).map(|n| (format!("x{n}"), "v".into())).collect();
        let policy = load("metadata.forbidden_keys = ['x*', 'z']").unwrap();
        let provider = Provider::named("qoder-cn").unwrap();
        let before = serde_json::json!({"metadata": keys});
        let mut after = before.clone();
        after["metadata"]["z"] = "v".into();
        let patch = Patch::default();
        let operation = Operation::Update;
        let prediction = predict(provider, operation, Omitted::Preserved, Some(&before), &patch);
        let before = Some(&before);
        let subject = Subject { provider, before, patch: &patch, prediction: &prediction };
        let decision = decide(&policy, &subject);
        let found = judge_after(&policy, &subject, &decision, &after);
        let paths: Vec<_> = found.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(paths, ["/metadata/z"]);
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_told_is_exact() {
        let long = "M".repeat(2_000);
        let mut patch =
            serde_json::json!({"schedule": {"timezone": long}, "metadata": {"a": long}});
        let key = "\u{952e}".repeat(128);
        patch["metadata"][&key] = serde_json::json!({&key: {&key: long}});
        let policy = "timezones.allowed = ['UTC', 'Asia/Shanghai']\n\
            metadata.forbidden_keys = ['a', '*.*.*']";
        let decision = judged(policy, Omitted::Preserved, None, &patch);
        let paths: Vec<_> = decision.violations.iter().map(|v| v.path.as_str()).collect();
        let around = format!("/metadata/{key}/{key}");
        assert_eq!(paths, ["/metadata/a", &around, "/schedule/timezone"]);
        for violation in &decision.violations {
            let actual = violation.actual.as_ref().map_or(0, |actual| actual.to_string().len());
            // The record cuts it once more, when it was searched for secrets.
            assert!(actual < 4_500 && violation.message.len() < 600, "{violation:?}");
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
