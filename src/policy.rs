//! The org's rules: what a [`Policy`] says of a predicted change is its
//! [`Evaluation`](evaluate::Evaluation). Pure.

pub mod approvals;
pub mod approvers;
pub mod case;
pub mod evaluate;
pub(crate) mod findings;
pub mod gap;
pub(crate) mod keys;
pub mod load;
pub mod outcome;
pub mod recorded;
pub mod replay;
pub mod rule;
pub mod subject;
#[cfg(test)]
mod tests;
mod words;

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use self::approvals::{ApprovalTerms, BreakGlassTerms};
use self::load::LoadError;
use self::rule::{Rule, RuleKind};
use crate::base::clock::Timestamp;
use crate::base::ids::Fingerprint;

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Every rule, in the order of the policy file's sections. Without any, nothing is forbidden.
    pub rules: Vec<Rule>,
    /// Who helps those whom a rule denies.
    pub contact: Option<String>,
    /// How approvals are asked for and used.
    pub approvals: ApprovalTerms,
    /// Those who may pass by break-glass; `None` where nobody may.
    pub break_glass: Option<BreakGlassTerms>,
    /// SHA-256 of the policy file's bytes, as hex; recorded with every decision.
    pub digest: String,
    /// The file's text; empty where there is no file.
    pub text: String,
    /// The actors and teams that rules name.
    pub mentions: Vec<Mention>,
    /// What is valid, and may not mean what it says.
    pub doubts: Vec<LoadError>,
}

/// An actor or a team that the policy file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The kind of what is named.
    pub kind: MentionKind,
    /// The name.
    pub name: String,
    /// The line of the policy file.
    pub line: Option<usize>,
}

/// The kind of what a policy file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MentionKind {
    /// An actor: by its name, its person or its fingerprint.
    Actor,
    /// A team.
    Team,
}

impl Policy {
    /// The message of a denial for these violations, those that deny first.
    #[must_use]
    pub fn denial(&self, violations: &[Violation]) -> String {
        let mut broken: Vec<&Violation> = violations.iter().collect();
        broken.sort_by_key(|violation| Reverse(violation.enforcement));
        // Every message names its rule.
        let reasons: Vec<&str> = broken.iter().map(|broken| broken.message.as_str()).collect();
        let contact = self.contact.as_ref().map(|contact| format!("; ask {contact}"));
        let may_be_approved = broken.first().is_some_and(|strictest| {
            // Nobody can approve what another rule denies.
            strictest.enforcement == Enforcement::Approve
        });
        let denied =
            if may_be_approved { "denied by policy until approved" } else { "denied by policy" };
        format!("{denied}: {}{}", reasons.join("; "), contact.unwrap_or_default())
    }

    /// The names that violations may have.
    pub fn violation_names(&self) -> impl Iterator<Item = String> {
        self.rules.iter().flat_map(Rule::violation_names)
    }

    /// The rules in words, at a moment: the name and effect of each, and its sentences.
    #[must_use]
    pub fn words(&self, now: Timestamp) -> Vec<(String, Vec<String>)> {
        let told =
            |rule: &Rule| (format!("{} ({})", rule.name, rule.enforcement.name()), rule.words(now));
        self.rules.iter().map(told).collect()
    }

    /// The bytes of a document that takes as long to work on without rules in CEL as one of so many
    /// `bytes` with those of this policy.
    #[must_use]
    pub fn weight_of(&self, bytes: usize) -> usize {
        let in_cel = self.rules.iter().filter(|rule| matches!(rule.kind, RuleKind::Cel(_)));
        let in_cel = in_cel.count();
        let looks_far = |rule: &Rule| match &rule.kind {
            RuleKind::Schedule(rule) => rule.looks_through_runs(),
            _ => false,
        };
        // Hundreds of runs of a schedule are long work, however short the document.
        let runs = if self.rules.iter().any(looks_far) { 64 << 10 } else { 0 };
        // A rule looks at some parts of a document, and costs what a few hundred bytes do besides.
        let bytes = bytes.saturating_mul(1 + in_cel.min(4)).saturating_add(runs);
        bytes.saturating_add(in_cel.saturating_mul(512))
    }

    /// The names of the rules that mean something else than in `former`, or are in one of the two
    /// alone.
    #[must_use]
    pub fn differing_rules<'p>(&'p self, former: &'p Self) -> Vec<&'p str> {
        let differs = |rule: &&Rule, other: &Self| !other.rules.contains(rule);
        let new = self.rules.iter().filter(|rule| differs(rule, former));
        let gone = former.rules.iter().filter(|rule| differs(rule, self));
        let mut names: Vec<&str> = new.chain(gone).map(|rule| rule.name.as_ref()).collect();
        names.extend((self.approvals != former.approvals).then_some("approvals"));
        names.extend((self.break_glass != former.break_glass).then_some("break_glass"));
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The actor that makes a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Actor {
    /// Stands for the token.
    pub fingerprint: Fingerprint,
    /// From `[[actor]]`.
    #[schema(required)]
    pub name: Option<String>,
    /// From `[[actor]]`.
    #[schema(required)]
    pub team: Option<String>,
    /// The human behind it, from `[[actor]]`.
    #[schema(required)]
    pub person: Option<String>,
}

/// The effect of a violated rule on the call, the mildest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Recorded; the client is told nothing.
    Audit,
    /// Recorded; the client gets a `warning` header.
    Warn,
    /// The call is denied until somebody else approves the change.
    Approve,
    /// The call is denied.
    Deny,
}

impl Enforcement {
    /// The decision on a call whose strictest violation has this enforcement.
    #[must_use]
    pub const fn decision(self) -> Decision {
        match self {
            Self::Audit => Decision::Allow,
            Self::Warn => Decision::Warn,
            Self::Approve | Self::Deny => Decision::Deny,
        }
    }

    /// The name that the policy file and records use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// The decision on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Within the policy; violations that only audit are recorded.
    Allow,
    /// A rule that only warns is broken.
    Warn,
    /// A rule is broken.
    Deny,
    /// Refused by the gateway before the policy was asked, for the call's form or since the
    /// deployment could not be read.
    Refuse,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Warn, Self::Deny, Self::Refuse];

    /// The name that headers, records and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
            Self::Refuse => "refuse",
        }
    }
}

/// One rule that the predicted deployment breaks, at one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Violation {
    /// The rule, or the part of one: `timezones`, `schedule.minimum_interval`, `no-weekend-runs`.
    pub rule: String,
    /// The effect that the rule asks for.
    pub enforcement: Enforcement,
    /// JSON Pointer of the place.
    pub path: String,
    /// A sentence that says what is wrong and what would be right.
    pub message: String,
    /// The offending value; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actual: Option<Value>,
}
