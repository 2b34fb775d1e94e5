//! All rules over one change: the prediction, and what the policy says of it.

use serde_json::Value;

pub use super::findings::Findings;
use super::findings::{Collect, Collector, KnownFindings};
use super::gap::{Gap, Missing};
use super::outcome::RuleOutcome;
use super::rule::cel::{Bindings, ExplainedPart};
use super::rule::metadata::PROTECTED_KEYS;
use super::rule::{Context, RuleKind};
use super::subject::Subject;
use super::{Policy, Violation};
use crate::deployment::members::Members;
use crate::deployment::predict::Prediction;

/// The change as it would be, and what the policy says of it.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// The deployment as it would be, under every reading.
    pub prediction: Prediction<'a>,
    /// The rules that it breaks.
    pub findings: Findings,
    /// The outcome of each rule, in the policy's order.
    pub outcomes: Vec<RuleOutcome>,
}

/// Predicts a change, and judges it by every rule under every reading of it.
#[must_use]
pub fn evaluate<'a>(policy: &Policy, subject: &Subject<'a>) -> Evaluation<'a> {
    let prediction = subject.predict();
    let mut findings = Collector::default();
    let outcomes =
        check_prediction(policy, &Context::of(subject), &prediction, &mut findings, |_| {});
    Evaluation { prediction, findings: findings.told(), outcomes }
}

/// The same of a change of which some parts are not told, with what each rule in CEL looked at of
/// them.
pub(super) fn evaluate_beside<'a>(
    policy: &Policy,
    subject: &Subject<'a>,
    missing: Missing,
) -> (Evaluation<'a>, Vec<Option<Gap>>) {
    let prediction = subject.predict();
    let mut findings = Collector::default();
    let context = Context::beside(subject, missing);
    let mut gaps = vec![None; policy.rules.len()];
    let outcomes = check_prediction(policy, &context, &prediction, &mut findings, |at| {
        let gap = context.take_gap();
        gaps.get_mut(at).into_iter().for_each(|known| *known = known.or(gap));
    });
    (Evaluation { prediction, findings: findings.told(), outcomes }, gaps)
}

/// Judges what upstream shows after a change by the same rules, what it computes aside. Told is
/// what is broken there, was not broken before, and was not predicted to be (`known` are the
/// findings of the prediction); sorted by path.
#[must_use]
pub fn judge_after(
    policy: &Policy,
    subject: &Subject<'_>,
    prediction: &Prediction<'_>,
    known: &Findings,
    after: &Value,
) -> Vec<Violation> {
    let context = Context::of(subject);
    let after = Members::of(after);
    let mut findings = Collector::default();
    check(policy, &context, &after, &mut findings, |_, _| {});
    findings.forget(known.violations.iter().chain(&known.standing));
    // Nearly always nothing is broken that was not predicted.
    if findings.is_empty() {
        return Vec::new();
    }
    let mut known = KnownFindings::default();
    check(policy, &context, &context.before, &mut known, |_, _| {});
    check_prediction(policy, &context, prediction, &mut known, |_| {});
    let mut findings = Collector::beyond(known);
    check(policy, &context, &after, &mut findings, |_, _| {});
    let mut found = findings.all();
    // On a create the server fills in what the body leaves out: nobody has set a protected key.
    let is_protected = |rule: &str| rule.strip_prefix("metadata.") == Some(PROTECTED_KEYS);
    found.retain(|violation| subject.before.is_some() || !is_protected(&violation.rule));
    found
}

/// The values of the parts of a rule's expressions: on the first reading that breaks it, else on
/// the documented one. Nothing where the rule is not in CEL.
#[must_use]
pub fn explain(policy: &Policy, subject: &Subject<'_>, rule: &str) -> Vec<ExplainedPart> {
    let rule = policy.rules.iter().find(|known| known.name == rule);
    let Some(RuleKind::Cel(cel)) = rule.map(|rule| &rule.kind) else { return Vec::new() };
    let context = Context::of(subject);
    let readings = subject.predict().readings;
    let broken = readings.iter().find(|reading| cel.is_broken(&context, reading));
    let reading = broken.or(readings.first());
    reading.map(|reading| cel.explain(&context, reading)).unwrap_or_default()
}

/// Checks every reading by every rule; `checked` is told of each rule that was.
fn check_prediction(
    policy: &Policy,
    context: &Context<'_>,
    prediction: &Prediction<'_>,
    findings: &mut dyn Collect,
    mut checked: impl FnMut(usize),
) -> Vec<RuleOutcome> {
    let mut outcomes = vec![RuleOutcome::default(); policy.rules.len()];
    for reading in &prediction.readings {
        check(policy, context, reading, findings, |at, outcome| {
            outcomes.get_mut(at).into_iter().for_each(|known| known.worsen(outcome));
            checked(at);
        });
    }
    for (rule, known) in policy.rules.iter().zip(&mut outcomes) {
        known.worsen(rule.check_patch(context, findings));
    }
    outcomes
}

/// Checks one reading by every rule, and hands each one's outcome to `note`.
fn check(
    policy: &Policy,
    context: &Context<'_>,
    reading: &Members<'_>,
    findings: &mut dyn Collect,
    mut note: impl FnMut(usize, RuleOutcome),
) {
    // Values that one rule has looked at are there for the next one.
    let bindings = Bindings::of(context.subject, &context.before, reading);
    for (at, rule) in policy.rules.iter().enumerate() {
        note(at, rule.check(context, (reading, &bindings), findings));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, ManualClock, Timestamp};
    use crate::base::excerpt::excerpt;
    use crate::base::ids::Fingerprint;
    use crate::cases::cases;
    use crate::deployment::patch::Patch;
    use crate::deployment::patch::parse;
    use crate::deployment::predict::Omitted;
    use crate::policy::findings::FINDINGS_MAX;
    use crate::policy::load::load;
    use crate::policy::outcome::Breach;
    use crate::policy::{Actor, Decision, Enforcement};
    use crate::provider::{Operation, Provider};

    fn provider() -> &'static Provider {
        Provider::named("qoder-cn").unwrap()
    }

    fn subject<'a>(before: Option<&'a Value>, patch: &'a Patch) -> Subject<'a> {
        Subject::of(provider(), before, patch)
    }

    fn judged(policy: &str, omitted: Omitted, before: Option<&Value>, patch: &Value) -> Findings {
        let policy = load(policy, provider()).unwrap();
        let patch = parse(provider(), patch.to_string().as_bytes(), 64).unwrap();
        evaluate(&policy, &Subject { omitted, ..subject(before, &patch) }).findings
    }

    /// What a policy says of a change that is told as JSON: `patch`, and maybe `before`, `put`,
    /// `operation`, `now` and `actor`.
    fn judged_as_told(policy: &str, input: &Value, provider: &'static Provider) -> Findings {
        let policy = load(policy, provider).unwrap();
        let patch = parse(provider, input["patch"].to_string().as_bytes(), 64).unwrap();
        let text = |name: &str| input["actor"][name].as_str().map(str::to_owned);
        let actor = Actor {
            fingerprint: Fingerprint::from_bytes([7; 8]),
            name: text("name"),
            person: text("person"),
            team: text("team"),
        };
        let asked = Subject::of(provider, input.get("before"), &patch);
        let operation = input["operation"].as_str().map(|name| Operation::named(name).unwrap());
        let now = input["now"].as_str().map(|now| Timestamp::parse(now).unwrap());
        let omitted = if input["put"] == true { Omitted::Open } else { Omitted::Preserved };
        let subject = Subject {
            omitted,
            actor: &actor,
            operation: operation.unwrap_or(asked.operation),
            now: now.unwrap_or(asked.now),
            ..asked
        };
        evaluate(&policy, &subject).findings
    }

    #[test]
    fn every_case_is_judged_as_its_file_says() {
        for case in cases("policy") {
            let [policy, input, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let input: Value = serde_json::from_str(input).expect(&case.title);
            let of_provider = |provider| judged_as_told(policy, &input, provider);
            let findings = of_provider(provider());
            for other in Provider::ALL {
                assert_eq!(of_provider(other), findings, "{}: {}", other.name, case.title);
            }
            let told = |standing: &'static str, violation: &Violation| {
                let (rule, path) = (&violation.rule, excerpt(&violation.path, 200));
                format!("{standing}{} {rule} {path}", json_name(violation.enforcement))
            };
            let mut found: Vec<String> =
                findings.violations.iter().map(|violation| told("", violation)).collect();
            found.extend(findings.standing.iter().map(|violation| told("standing ", violation)));
            found.push(format!("{:?}", findings.decision()));
            assert_eq!(found.join("\n"), *expected, "{}", case.title);
            for violation in findings.violations.iter().chain(&findings.standing) {
                assert!(violation.message.starts_with(&violation.rule), "{violation:?}");
                assert!(!violation.message.chars().any(char::is_control), "{violation:?}");
            }
        }
    }

    fn json_name(enforcement: Enforcement) -> String {
        serde_json::to_value(enforcement).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn each_rule_has_an_outcome() {
        let rule = |name: &str, rest: &str| format!("[[rule]]\nname = '{name}'\n{rest}\n");
        let all = "object.metadata.all(a, object.metadata.all(b, \
            object.metadata.all(c, a + b + c != '')))";
        let text = [
            "timezones.allowed = ['UTC']\nmetadata.forbidden_keys = ['x']\n".to_owned(),
            rule("never-asked", "operations = ['run']\nrequire = 'false'"),
            rule("skipped", "when = 'false'\nrequire = 'false'"),
            rule("kept", "require = 'true'"),
            rule("standing", "require = 'object.name == \"b\"'"),
            rule("standing-error", "require = 'int(object.name) > 0'"),
            rule("error", "require = 'int(get(object.metadata, \"k0\", \"1\")) > 0'"),
            rule("over", &format!("require = \"{all}\"")),
        ];
        let policy = load(&text.concat(), provider()).unwrap();
        let metadata: serde_json::Map<_, _> =
            (0..60).map(|n| (format!("k{n}"), "v".into())).collect();
        let patch = serde_json::json!({"metadata": metadata});
        let patch = parse(provider(), patch.to_string().as_bytes(), 64).unwrap();
        let before = serde_json::json!({"name": "a", "metadata": {"x": "v"}});
        // A clock that stands still: the steps alone decide.
        let clock = Clock::Manual(ManualClock::at(Timestamp::from_millis(0)));
        let subject = Subject { clock: &clock, ..subject(Some(&before), &patch) };
        let outcomes = evaluate(&policy, &subject).outcomes;
        let expected = [
            RuleOutcome::Standing(Breach::Broken),
            RuleOutcome::Satisfied,
            RuleOutcome::NotInScope,
            RuleOutcome::Skipped,
            RuleOutcome::Satisfied,
            RuleOutcome::Standing(Breach::Broken),
            RuleOutcome::Standing(Breach::Error),
            RuleOutcome::Violated(Breach::Error),
            RuleOutcome::Violated(Breach::OverBudget),
        ];
        assert_eq!(outcomes, expected);
    }

    #[test]
    fn a_flood_of_mild_findings_hides_no_strict_one() {
        let keys: serde_json::Map<String, Value> =
            (0..500).map(|n| (format!("x{n}"), "v".into())).collect();
        let patch = serde_json::json!({"metadata": keys, "schedule": {"timezone": "Mars/Phobos"}});
        let policy = "timezones.allowed = ['UTC']\n\
            metadata = { forbidden_keys = ['x*'], enforcement = 'audit' }";
        let findings = judged(policy, Omitted::Preserved, None, &patch);
        assert_eq!(findings.violations.len(), FINDINGS_MAX);
        assert_eq!(findings.violations_omitted, 401);
        assert_eq!(findings.decision(), Decision::Deny);
        assert_eq!(findings.violations.last().unwrap().path, "/schedule/timezone");
        let mild = policy.replace("['UTC']", "['UTC']\ntimezones.enforcement = 'audit'");
        let findings = judged(&mild, Omitted::Preserved, None, &patch);
        assert_eq!(findings.violations.len(), FINDINGS_MAX);
        assert_eq!(findings.violations.last().unwrap().path, "/schedule/timezone");
    }

    #[test]
    fn what_is_broken_afterwards_is_told_where_it_was_not_before_and_not_predicted() {
        for case in cases("after") {
            let [policy, input, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
            let input: Value = serde_json::from_str(input).expect(&case.title);
            let policy = load(policy, provider()).unwrap();
            let patch = parse(provider(), input["patch"].to_string().as_bytes(), 64).unwrap();
            let subject = subject(input.get("before"), &patch);
            let Evaluation { prediction, findings, .. } = evaluate(&policy, &subject);
            let found = judge_after(&policy, &subject, &prediction, &findings, &input["after"]);
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
        let policy = load("metadata.forbidden_keys = ['x*', 'z']", provider()).unwrap();
        let before = serde_json::json!({"metadata": keys});
        let mut after = before.clone();
        after["metadata"]["z"] = "v".into();
        let patch = Patch::default();
        let subject = subject(Some(&before), &patch);
        let Evaluation { prediction, findings, .. } = evaluate(&policy, &subject);
        let found = judge_after(&policy, &subject, &prediction, &findings, &after);
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
        let findings = judged(policy, Omitted::Preserved, None, &patch);
        let paths: Vec<_> = findings.violations.iter().map(|v| v.path.as_str()).collect();
        let around = format!("/metadata/{key}/{key}");
        assert_eq!(paths, ["/metadata/a", &around, "/schedule/timezone"]);
        for violation in &findings.violations {
            let actual = violation.actual.as_ref().map_or(0, |actual| actual.to_string().len());
            // The record cuts it once more, when it was searched for secrets.
            assert!(actual < 4_500 && violation.message.len() < 600, "{violation:?}");
        }
        let patch = serde_json::json!({"schedule": {"timezone": "utc"}});
        let findings = judged(policy, Omitted::Preserved, None, &patch);
        assert_eq!(findings.violations[0].actual, Some("utc".into()));
        assert_eq!(
            findings.violations[0].message,
            "timezones: `utc` is not allowed as schedule.timezone: use UTC or Asia/Shanghai"
        );
    }
}
