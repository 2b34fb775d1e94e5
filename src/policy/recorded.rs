//! Changes judged anew by their records, which tell neither secrets nor, at times, bodies. What a
//! rule looks at and is not told is never guessed: the rule is left out, and said to be.

use serde_json::Value;

use super::evaluate::{Evaluation, Findings, evaluate_beside};
use super::gap::{Gap, Missing};
use super::outcome::RuleOutcome;
use super::rule::metadata::MetadataRule;
use super::rule::{Rule, RuleKind};
use super::subject::Subject;
use super::{Decision, Enforcement, Policy, Violation};
use crate::base::key::CONCEALED;
use crate::base::pointer::{find, find_mut, keys};
use crate::deployment::name::is_taken_for;
use crate::deployment::patch::Patch;

/// The rule whose findings stand for values that the record conceals in the body alone.
const FORBIDDING: &str = "metadata.forbidden_keys";

/// As many concealed places as a record may list: there may be more.
const REDACTED_MAX: usize = 1_000;

/// The bytes of concealed places from which on a record may list no more.
const REDACTED_BYTES_MAX: usize = 60 << 10;

/// A change as its record tells it.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The change.
    pub subject: Subject<'a>,
    /// JSON Pointers of concealed values, below `/patch` and `/before`.
    pub redacted: &'a [String],
    /// Whether a body of it was not kept.
    pub lacks_body: bool,
    /// Whether the body is no record's, and nothing in it concealed as it is before.
    pub is_plain: bool,
}

/// The word of a policy on a recorded change.
#[derive(Clone, Debug)]
pub struct Rejudged {
    /// The decision; `None` where a rule that can't be judged would make it a stricter one.
    pub decision: Option<Decision>,
    /// The findings of the rules that can be judged.
    pub findings: Findings,
    /// The outcome of each rule, in the policy's order; of one with a gap it says nothing.
    pub outcomes: Vec<RuleOutcome>,
    /// The rules that can't be judged, by their places in the policy, and why.
    pub gaps: Vec<(usize, Gap)>,
}

/// Gives a recorded body back the values that a rule on keys concealed in it alone, where the
/// record says that they are those from before.
pub fn restore(
    patch: &mut Value,
    before: Option<&Value>,
    standing: &[Violation],
    redacted: &[String],
) {
    let Some(before) = before else { return };
    for found in standing.iter().filter(|found| found.rule == FORBIDDING) {
        let path = found.path.as_str();
        let is_concealed = |place: &String| place.strip_prefix("/patch") == Some(path);
        if redacted.iter().any(is_concealed)
            && let (Some(place), Some(value)) = (find_mut(patch, path), find(before, path))
        {
            *place = value.clone();
        }
    }
}

/// Judges a recorded change by a policy, under the time, the actor and the documents of its record.
#[must_use]
pub fn rejudge(policy: &Policy, recorded: &Recorded<'_>) -> Rejudged {
    let missing = recorded.missing();
    let (evaluation, in_cel) = evaluate_beside(policy, &recorded.subject, missing);
    let Evaluation { mut findings, outcomes, .. } = evaluation;
    let mut gaps = Vec::new();
    if missing != Missing::default() {
        let rules = policy.rules.iter().zip(&outcomes).zip(in_cel).enumerate();
        for (at, ((rule, outcome), in_cel)) in rules {
            if *outcome == RuleOutcome::NotInScope {
                continue;
            }
            let compared = || recorded.compares(rule, &findings, missing);
            let gap = in_cel.or_else(|| recorded.gap_of(rule, missing)).or_else(compared);
            if let Some(gap) = gap {
                gaps.push((at, gap));
            }
        }
    }
    let rules_of = |gaps: &[(usize, Gap)]| -> Vec<&Rule> {
        gaps.iter().filter_map(|(at, _)| policy.rules.get(*at)).collect()
    };
    let unjudged = rules_of(&gaps);
    if !unjudged.is_empty() {
        let is_judged = |found: &Violation| !unjudged.iter().any(|rule| rule.is_named(&found.rule));
        findings.violations.retain(is_judged);
        findings.standing.retain(is_judged);
    }
    let known = findings.violations.iter().map(|found| found.enforcement).max();
    let known = known.unwrap_or(Enforcement::Audit);
    let most = unjudged.iter().map(|rule| rule.enforcement).fold(known, Enforcement::max);
    let decision = (most.decision() == known.decision()).then(|| known.decision());
    Rejudged { decision, findings, outcomes, gaps }
}

impl Recorded<'_> {
    fn missing(&self) -> Missing {
        let told = self.redacted.iter().filter(|place| !place.starts_with("/after"));
        let is_whole = |place: &&String| keys(place).count() <= 2 && is_metadata(place);
        let (mut count, mut bytes, mut bodies) = (0, 0, self.lacks_body);
        for place in told {
            count += 1;
            bytes += place.len();
            bodies |= is_whole(&place);
        }
        bodies |= count >= REDACTED_MAX || bytes >= REDACTED_BYTES_MAX;
        Missing { values: count > 0, bodies, comparisons: self.is_plain && count > 0 }
    }

    /// The gap of a rule that is broken where nothing tells whether the change has to do with it.
    fn compares(&self, rule: &Rule, findings: &Findings, missing: Missing) -> Option<Gap> {
        let before = self.subject.before?;
        let mut found = findings.violations.iter().filter(|found| rule.is_named(&found.rule));
        found.find_map(|found| missing.in_comparison(find(before, &found.path)))
    }

    /// What a built-in rule looks at and is not told.
    fn gap_of(&self, rule: &Rule, missing: Missing) -> Option<Gap> {
        let members: &[&str] = match &rule.kind {
            // What the former look at was watched, and the latter look at no document.
            RuleKind::Cel(_) | RuleKind::Freeze(_) => return None,
            RuleKind::Metadata(rule) => {
                let is_hidden = self.conceals_keys(rule);
                return missing.in_body().or(is_hidden.then_some(Gap::Concealed));
            }
            RuleKind::Timezones(_) | RuleKind::Schedule(_) => &["schedule"],
            RuleKind::References(_) => &["agent", "environment_id", "vault_ids", "resources"],
            RuleKind::Name(_) => &["name"],
        };
        let is_looked_at = |place: &String| {
            let name = keys(place).nth(1);
            name.is_some_and(|name| members.iter().any(|known| is_taken_for(&name, known)))
        };
        let is_hidden = self.redacted.iter().filter(|place| !place.starts_with("/after"));
        let is_hidden = is_hidden.into_iter().any(is_looked_at);
        missing.in_body().or(is_hidden.then_some(Gap::Concealed))
    }

    /// Whether a concealed place may hold keys of the metadata that a rule looks at, or is a value
    /// that it does.
    fn conceals_keys(&self, rule: &MetadataRule) -> bool {
        let inside = self.redacted.iter().filter(|place| is_metadata(place));
        inside.filter(|place| !place.starts_with("/after")).any(|place| {
            let below: Vec<_> = keys(place).skip(2).collect();
            place.contains(CONCEALED) || rule.reads_inside(&below)
        })
    }
}

/// Whether a concealed place is the metadata, or inside it.
fn is_metadata(place: &str) -> bool {
    keys(place).nth(1).is_some_and(|name| is_taken_for(&name, "metadata"))
}

/// The body of a recorded change.
#[must_use]
pub fn patch_of(body: Option<Value>) -> Patch {
    match body {
        Some(Value::Object(object)) => Patch { object },
        _ => Patch::default(),
    }
}
