//! The results as one JSON document.

use serde_json::{Value, json};

use super::{Ran, Results, SuiteRun};
use crate::policy::case::Expected;
use crate::policy::case::coverage::{Coverage, RuleCoverage, word};
use crate::policy::case::verdict::{Difference, Explained, Verdict};
use crate::policy::rule::cel::ExplainedPart;

/// The document.
pub(super) fn of(results: &Results) -> Value {
    let (cases, failed) = (results.count(), results.failed());
    json!({
        "passes": results.failure().is_none(),
        "cases": cases,
        "passed": cases - failed,
        "failed": failed,
        "files": results.suites.iter().map(of_suite).collect::<Vec<_>>(),
        "coverage": results.coverage.iter().map(of_coverage).collect::<Vec<_>>(),
        "strict": results.is_strict,
        "gaps": results.gaps,
    })
}

fn of_suite(suite: &SuiteRun) -> Value {
    let policy = &suite.suite.policy;
    json!({
        "file": suite.suite.path.to_string_lossy(),
        "policy": policy.path.to_string_lossy(),
        "policy_digest": policy.policy.digest,
        "provider": suite.suite.provider.name,
        "cases": suite.ran.iter().map(of_case).collect::<Vec<_>>(),
    })
}

fn of_case(ran: &Ran) -> Value {
    json!({
        "name": ran.case.name,
        "line": ran.case.line,
        "passes": ran.verdict.passes(),
        "expected": of_expected(&ran.case.expected),
        "found": of_found(&ran.verdict),
        "differences": ran.verdict.differences.iter().map(of_difference).collect::<Vec<_>>(),
        "explained": ran.explained.iter().map(of_explained).collect::<Vec<_>>(),
        "asks_no_rule": ran.verdict.asks_no_rule,
    })
}

/// The expectation, with null for what a case leaves open.
fn of_expected(expected: &Expected) -> Value {
    json!({
        "decision": expected.decision,
        "rules": expected.rules,
        "standing": expected.standing,
        "messages": expected.messages,
    })
}

fn of_found(verdict: &Verdict) -> Value {
    json!({
        "decision": verdict.decision,
        "rules": verdict.rules,
        "violations": verdict.findings.violations,
        "violations_omitted": verdict.findings.violations_omitted,
        "standing": verdict.findings.standing,
    })
}

fn of_difference(difference: &Difference) -> Value {
    json!(match difference {
        Difference::Decision => "decision",
        Difference::Rules => "rules",
        Difference::Standing => "standing",
        Difference::Message(_) => "messages",
    })
}

fn of_explained(explained: &Explained) -> Value {
    let part = |part: &ExplainedPart| {
        let ExplainedPart { key, depth, text, value } = part;
        json!({"key": key, "depth": depth, "text": text, "value": value})
    };
    json!({
        "rule": explained.rule,
        "outcome": word(explained.outcome),
        "parts": explained.parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn of_coverage(coverage: &Coverage) -> Value {
    json!({
        "policy": coverage.policy.to_string_lossy(),
        "provider": coverage.provider.name,
        "rules": coverage.rules.iter().map(of_rule).collect::<Vec<_>>(),
    })
}

fn of_rule(rule: &RuleCoverage) -> Value {
    json!({
        "rule": rule.rule,
        "satisfied": rule.satisfied,
        "violated": rule.violated,
        "standing": rule.standing,
        "error": rule.error,
        "skipped": rule.skipped,
        "not_asked": rule.not_asked,
    })
}
