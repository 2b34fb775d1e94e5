//! Rules: each has a name, an enforcement, a scope, and a check of its kind.

pub mod cel;
pub mod freeze;
pub mod metadata;
pub mod name;
pub mod references;
pub mod schedule;
pub mod scope;
pub mod timezones;

use std::borrow::Cow;
use std::cell::RefCell;

use serde_json::Value;

use self::cel::{Bindings, Budget, CelRule};
use self::freeze::FreezeRule;
use self::metadata::{FoldedKeys, MetadataRule};
use self::name::NameRule;
use self::references::ReferencesRule;
use self::schedule::{JudgedSchedule, ScheduleRule};
pub use self::scope::Scope;
use self::timezones::TimezoneRule;
use super::findings::Collect;
use super::gap::{Gap, Missing};
use super::outcome::{Breach, RuleOutcome};
use super::subject::Subject;
use super::{Enforcement, Violation};
use crate::base::clock::Timestamp;
use crate::deployment::members::Members;

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The name, as the policy file's section has it.
    pub name: Cow<'static, str>,
    /// The effect of a violation.
    pub enforcement: Enforcement,
    /// The persons who may approve what it holds up; nobody where anybody with the role may.
    pub approvers: Vec<String>,
    /// The calls that it is asked about.
    pub scope: Scope,
    /// The meaning.
    pub kind: RuleKind,
}

/// The kinds of rules.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// `[timezones]`.
    Timezones(TimezoneRule),
    /// `[metadata]`.
    Metadata(MetadataRule),
    /// `[schedule]`.
    Schedule(ScheduleRule),
    /// `[[schedule.freeze]]`.
    Freeze(FreezeRule),
    /// `[references]`.
    References(ReferencesRule),
    /// `[name]`.
    Name(NameRule),
    /// `[[rule]]`.
    Cel(CelRule),
}

/// A change that is judged, and what all rules need of it.
pub(super) struct Context<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) before: Members<'a>,
    pub(super) keys: FoldedKeys,
    /// The steps that are left to rules in CEL.
    budget: RefCell<Budget>,
    /// The schedules that were judged: readings have them in common.
    schedules: RefCell<Vec<JudgedSchedule>>,
}

impl<'a> Context<'a> {
    pub(super) fn of(subject: &'a Subject<'a>) -> Self {
        let before = subject.before.map(Members::of).unwrap_or_default();
        let budget = RefCell::new(Budget::new(subject.clock.clone()));
        let schedules = RefCell::default();
        Self { subject, before, keys: FoldedKeys::default(), budget, schedules }
    }

    /// A change of which some parts are not told.
    pub(super) fn beside(subject: &'a Subject<'a>, missing: Missing) -> Self {
        let context = Self::of(subject);
        Self { budget: RefCell::new(context.budget.into_inner().beside(missing)), ..context }
    }

    /// Takes what a rule looked at and is not told.
    pub(super) fn take_gap(&self) -> Option<Gap> {
        self.budget.borrow_mut().take_gap()
    }
}

/// One place at which a rule is broken.
#[derive(Clone)]
pub(super) struct Finding {
    /// The part of the rule, by the name of its key; `None` where the rule has one part only.
    pub(super) part: Option<&'static str>,
    /// JSON Pointer of the place.
    pub(super) path: String,
    /// The fault, and its fix.
    pub(super) fault: String,
    /// The offending value, where there is one.
    pub(super) actual: Option<Value>,
}

/// The findings of one rule, on their way to those of all.
pub(super) struct RuleFindings<'f> {
    rule: &'f Rule,
    all: &'f mut dyn Collect,
    outcome: RuleOutcome,
}

impl RuleFindings<'_> {
    /// Notes a broken rule: a violation where the change `touched` the place, else standing.
    pub(super) fn add(&mut self, touched: bool, finding: Finding) {
        self.add_as(Breach::Broken, touched, finding);
    }

    /// Notes a rule that came to be broken in this way.
    pub(super) fn add_as(&mut self, breach: Breach, touched: bool, finding: Finding) {
        let outcome = if touched { RuleOutcome::Violated } else { RuleOutcome::Standing };
        self.outcome.worsen(outcome(breach));
        let Finding { part, path, fault, actual } = finding;
        let rule = self.rule.named(part);
        let message = format!("{rule}: {fault}");
        let enforcement = self.rule.enforcement;
        self.all.add(touched, Violation { rule, enforcement, path, message, actual });
    }

    /// Notes that the rule asks nothing of the change.
    pub(super) fn skip(&mut self) {
        self.outcome = RuleOutcome::Skipped;
    }
}

impl Rule {
    /// Notes every place at which `reading` breaks the rule.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        (reading, bindings): (&Members<'_>, &Bindings<'_>),
        all: &mut dyn Collect,
    ) -> RuleOutcome {
        if !self.scope.covers(context.subject) {
            return RuleOutcome::NotInScope;
        }
        let mut findings = RuleFindings { rule: self, all, outcome: RuleOutcome::Satisfied };
        match &self.kind {
            RuleKind::Timezones(rule) => rule.check(context, reading, &mut findings),
            RuleKind::Metadata(rule) => rule.check(context, reading, &mut findings),
            RuleKind::Schedule(rule) => rule.check(context, reading, &mut findings),
            RuleKind::Freeze(rule) => rule.check(context, &mut findings),
            RuleKind::References(rule) => rule.check(context, reading, &mut findings),
            RuleKind::Name(rule) => rule.check(context, reading, &mut findings),
            RuleKind::Cel(rule) => rule.check(context, (reading, bindings), &mut findings),
        }
        findings.outcome
    }

    /// Notes every place at which the patch itself breaks the rule, whatever comes of it: what
    /// it sets where the provider computes is in no reading.
    pub(super) fn check_patch(&self, context: &Context<'_>, all: &mut dyn Collect) -> RuleOutcome {
        let mut findings = RuleFindings { rule: self, all, outcome: RuleOutcome::NotInScope };
        if !self.scope.covers(context.subject) {
            return findings.outcome;
        }
        match &self.kind {
            RuleKind::Metadata(rule) => rule.check_computed(context, &mut findings),
            RuleKind::Timezones(_)
            | RuleKind::Schedule(_)
            | RuleKind::Freeze(_)
            | RuleKind::References(_)
            | RuleKind::Name(_)
            | RuleKind::Cel(_) => {}
        }
        findings.outcome
    }

    /// The names that violations of this rule, or of a part of it, have.
    #[must_use]
    pub fn violation_names(&self) -> Vec<String> {
        match &self.kind {
            RuleKind::Timezones(_) | RuleKind::Freeze(_) | RuleKind::Name(_) | RuleKind::Cel(_) => {
                vec![self.named(None)]
            }
            RuleKind::Metadata(rule) => rule.parts().map(|part| self.named(Some(part))).collect(),
            RuleKind::Schedule(rule) => rule.parts().map(|part| self.named(Some(part))).collect(),
            RuleKind::References(rule) => rule.parts().map(|part| self.named(Some(part))).collect(),
        }
    }

    /// The meaning at a moment, in sentences: what must be, whom it is about, and what follows.
    #[must_use]
    pub fn words(&self, now: Timestamp) -> Vec<String> {
        let mut words = match &self.kind {
            RuleKind::Timezones(rule) => rule.words(),
            RuleKind::Metadata(rule) => rule.words(),
            RuleKind::Schedule(rule) => rule.words(),
            RuleKind::Freeze(rule) => rule.words(now),
            RuleKind::References(rule) => rule.words(),
            RuleKind::Name(rule) => rule.words(),
            RuleKind::Cel(rule) => rule.words(),
        };
        words.extend(self.scope.words());
        if !self.approvers.is_empty() {
            let persons: Vec<String> =
                self.approvers.iter().map(|person| format!("\"{person}\"")).collect();
            words.push(format!("Only these approve: {}.", persons.join(", ")));
        }
        words
    }

    /// Whether a violation of this rule, or of a part of it, has that name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.violation_names().iter().any(|own| own == name)
    }

    /// The name that violations of the rule, or of a part of it, have.
    fn named(&self, part: Option<&str>) -> String {
        part.map_or_else(|| self.name.to_string(), |part| format!("{}.{part}", self.name))
    }
}
