//! All rules over one predicted change, and what follows.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;

use serde_json::Value;

use super::metadata::{Keys, Scene};
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

/// The most violations, and the most standing ones, that a decision holds. Where there are more,
/// some of each rule are kept, and of the rest the strictest, so that the verdict is that of all.
const FINDINGS_MAX: usize = 100;

/// The most characters of a text, and the most bytes of a list or object, in `actual`.
const ACTUAL_CHARS_MAX: usize = 256;

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
    let mut findings = Findings::default();
    Judge::of(policy, subject).judge_prediction(&mut findings);
    findings.decision()
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
    let mut known = Known(HashSet::new(), findings.hasher);
    judge.judge(&judge.before, &mut known);
    judge.judge_prediction(&mut known);
    let Known(known, hasher) = known;
    let mut findings = Findings { known, hasher, ..Findings::default() };
    judge.judge(&after, &mut findings);
    findings.all()
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

    fn scene(&self) -> Scene<'_> {
        Scene { provider: self.subject.provider, before: &self.before, keys: &self.keys }
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

/// Where the rules tell what they find.
pub(super) trait Found {
    /// Notes a broken rule: a violation where the change `touched` the place, else standing.
    fn add(&mut self, touched: bool, violation: Violation);
}

/// What the rules have found so far, each rule and place once.
#[derive(Debug, Default)]
struct Findings {
    violations: Kept,
    standing: Kept,
    /// What is known already, and not noted again.
    known: HashSet<u64>,
    hasher: RandomState,
}

/// Rules and places, as their hashes: of what is not kept, no more is to be remembered.
#[derive(Debug)]
struct Known(HashSet<u64>, RandomState);

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

impl Found for Findings {
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

impl Found for Known {
    fn add(&mut self, _touched: bool, violation: Violation) {
        let mark = mark(&self.1, &fit(violation));
        self.0.insert(mark);
    }
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.violations.seen.is_empty() && self.standing.seen.is_empty()
    }

    /// Takes out what is told already.
    fn forget<'v>(&mut self, told: impl Iterator<Item = &'v Violation>) {
        for violation in told {
            let mark = mark(&self.hasher, violation);
            self.violations.seen.remove(&mark);
            self.standing.seen.remove(&mark);
        }
    }

    fn decision(mut self) -> Decision {
        // What one reading touches is touched, whatever the others leave.
        self.standing.found.retain(|rank, _| !self.violations.found.contains_key(rank));
        let violations_omitted = self.violations.seen.len() - self.violations.found.len();
        let [violations, standing] = [self.violations, self.standing].map(|kept| kept.found);
        let (violations, standing) = (by_path(violations), by_path(standing));
        Decision { violations, violations_omitted, standing }
    }

    /// What was found, touched or not.
    fn all(mut self) -> Vec<Violation> {
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
        // It is no value of the place around, and could no longer be told to be secret.
        violation.actual = None;
    }
    violation.actual = violation.actual.and_then(bounded);
    violation
}

fn mark(hasher: &RandomState, violation: &Violation) -> u64 {
    hasher.hash_one((&violation.rule, &violation.path))
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
            let end = text.char_indices().nth(ACTUAL_CHARS_MAX).map(|(end, _)| end);
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
            assert!(actual < 300 && violation.message.len() < 600, "{violation:?}");
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
