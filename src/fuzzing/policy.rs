//! The policy file, and what a loaded policy says of a few changes.

use serde_json::{Value, json};

use super::assert_shown;
use crate::deployment::patch::Patch;
use crate::policy::evaluate::evaluate;
use crate::policy::load::load;
use crate::policy::rule::{Rule, RuleKind};
use crate::policy::subject::Subject;
use crate::policy::{Policy, Violation};
use crate::provider::Provider;

/// Any text is a policy, or is complained of line by line. Its built-in rules blame nothing on a
/// change that changes nothing, and nothing at all on a deployment without schedule and metadata.
///
/// # Panics
/// Where that does not hold.
pub fn policy(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    match load(text, Provider::ALL[0]) {
        Ok(policy) => judge(&policy),
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal has a reason");
            let lines = text.split('\n').count();
            for error in errors {
                assert_shown(&error.message);
                assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error:?}");
            }
        }
    }
}

fn judge(policy: &Policy) {
    let before = json!({
        "id": "dep_1",
        "schedule": {"type": "cron", "expression": "TZ=Mars/Phobos 0 9 * * *", "timezone": "utc"},
        "metadata": {"owner_override": "1", "a.b": {"c": ["x", {"d": 1}]}, "\u{fe58}k\u{200b}": ""},
    });
    let patch = json!({
        "schedule": {"timezone": "Asia/Shanghai", "Timezone": 7},
        "metadata": {"owner_override": null, "secret_a": {"b": null}, "\u{430}": "2"},
        "Metadata": {"a": 1},
    });
    let nothing = json!({});
    // A rule in CEL may be about no field at all.
    let is_built_in = |rule: &Rule| !matches!(rule.kind, RuleKind::Cel(_));
    if policy.rules.iter().all(is_built_in) {
        for unchanged in [&before, &nothing] {
            assert_eq!(violations(policy, Some(&before), unchanged), [], "nothing is touched");
        }
        assert_eq!(violations(policy, None, &nothing), [], "there is nothing to judge");
    }
    for before in [None, Some(&before)] {
        for violation in violations(policy, before, &patch) {
            assert_shown(&violation.message);
            assert!(violation.message.starts_with(&violation.rule), "{violation:?}");
        }
    }
}

fn violations(policy: &Policy, before: Option<&Value>, patch: &Value) -> Vec<Violation> {
    let [provider, ..] = Provider::ALL;
    let patch = Patch { object: patch.as_object().cloned().unwrap_or_default() };
    evaluate(policy, &Subject::of(provider, before, &patch)).findings.violations
}
