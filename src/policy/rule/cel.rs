//! Rules in CEL.
//!
//! An expression is parsed, typed (`check`) and made ready (`rewrite`) when the policy is loaded,
//! once; then it runs within a budget (`meter`) over documents that are borrowed (`value`). What
//! fails while it runs is a violation.

mod bind;
mod bindings;
mod change;
mod check;
#[cfg(test)]
mod conformance;
mod equal;
mod explain;
mod functions;
mod given;
mod message;
mod meter;
mod parse;
mod paths;
mod pattern;
mod program;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod types;
mod value;

use std::sync::Arc;

pub(in crate::policy) use self::bindings::Bindings;
pub use self::explain::ExplainedPart;
use self::message::Template;
pub(super) use self::meter::Budget;
use self::meter::Overrun;
pub(crate) use self::parse::on_a_large_stack;
use self::program::{Answer, Program};
pub(crate) use self::read::{CelError, CelSource};
use super::{Context, Finding, RuleFindings};
use crate::base::excerpt::excerpt;
use crate::deployment::members::Members;
use crate::policy::outcome::Breach;
use crate::policy::subject::Subject;
use crate::provider::Operation;

/// `[[rule]]`: what must hold of a change, as an expression.
#[derive(Clone, Debug)]
pub struct CelRule(Arc<Ready>);

/// A rule that is ready to run, and the texts that it was made of.
#[derive(Debug)]
struct Ready {
    source: CelSource,
    when: Option<Program>,
    require: Program,
    message: Option<Template>,
    /// JSON Pointers of what the rule is about.
    about: Vec<String>,
    /// A sentence on why it may not mean what it says.
    doubt: Option<String>,
}

/// What came of a rule on one reading.
enum Outcome {
    Skipped,
    Holds,
    Broken,
    /// An error, or a bound that was passed.
    Failed(Breach, String),
}

impl Outcome {
    fn over(overrun: Overrun) -> Self {
        let breach = match overrun {
            Overrun::Steps | Overrun::Length => Breach::OverBudget,
            Overrun::Time => Breach::OverTime,
        };
        Self::Failed(breach, overrun.what().to_owned())
    }
}

impl PartialEq for CelRule {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl CelRule {
    /// The rule that texts stand for, which are parsed and checked on this thread: it needs a
    /// [large stack](on_a_large_stack).
    pub(crate) fn of(source: CelSource) -> Result<Self, Vec<CelError>> {
        read::ready(source).map(|ready| Self(Arc::new(ready)))
    }

    /// The reason to doubt that it means what it says, with the fix.
    pub(crate) fn doubt(&self) -> Option<&str> {
        self.0.doubt.as_deref()
    }

    /// The meaning: what it is for, in the words of the policy file, and its expressions.
    pub(super) fn words(&self) -> Vec<String> {
        let CelSource { description, when, require, .. } = &self.0.source;
        let line =
            |text: &str| excerpt(&text.split_whitespace().collect::<Vec<_>>().join(" "), 400);
        let mut words: Vec<String> = description.iter().map(|text| line(text)).collect();
        let must = format!("this must hold: `{}`.", line(require));
        words.push(match when {
            Some(when) => format!("Where `{}`, {must}", line(when)),
            None => must.replacen('t', "T", 1),
        });
        words
    }

    /// Notes the rule where `reading` breaks it.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        (reading, bindings): (&Members<'_>, &Bindings<'_>),
        found: &mut RuleFindings<'_>,
    ) {
        let budget = &mut *context.budget.borrow_mut();
        let (breach, fault) = match self.ask(bindings, budget) {
            Outcome::Skipped => return found.skip(),
            Outcome::Holds => return,
            Outcome::Broken => (Breach::Broken, self.message(bindings, budget)),
            Outcome::Failed(breach, error) => {
                let message = self.message(bindings, budget);
                (breach, format!("{message}; it counts as broken, since {error}"))
            }
        };
        let touched =
            self.touches(bindings, context.subject, budget) || !self.was_broken(context, budget);
        let path = paths::around(&self.0.about);
        let actual = match self.0.about.as_slice() {
            [place] => reading.pointer(place).cloned(),
            _ => None,
        };
        found.add_as(breach, touched, Finding { part: None, path, fault, actual });
    }

    /// Whether `reading` breaks the rule.
    pub(in crate::policy) fn is_broken(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
    ) -> bool {
        let bindings = Bindings::of(context.subject, &context.before, reading);
        let budget = &mut *context.budget.borrow_mut();
        matches!(self.ask(&bindings, budget), Outcome::Broken | Outcome::Failed(..))
    }

    /// The values of the parts of its expressions on a reading.
    pub(in crate::policy) fn explain(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
    ) -> Vec<ExplainedPart> {
        let bindings = Bindings::of(context.subject, &context.before, reading);
        let clock = context.subject.clock;
        let Ready { source, .. } = &*self.0;
        let tell = || {
            let guard = source.when.as_deref();
            let mut parts = guard
                .map(|when| explain::explain("when", when, &bindings, clock))
                .unwrap_or_default();
            // Where the guard does not hold, nothing else is asked.
            if parts.first().is_none_or(|whole| whole.value != "false") {
                parts.extend(explain::explain("require", &source.require, &bindings, clock));
            }
            parts
        };
        on_a_large_stack(tell).unwrap_or_default()
    }

    fn ask(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> Outcome {
        if let Some(when) = &self.0.when {
            match when.holds(bindings, budget) {
                Answer::Is(true) => {}
                Answer::Is(false) => return Outcome::Skipped,
                Answer::Failed(error) => {
                    return Outcome::Failed(Breach::Error, format!("`when` fails: {error}"));
                }
                Answer::Over(overrun) => return Outcome::over(overrun),
            }
        }
        match self.0.require.holds(bindings, budget) {
            Answer::Is(true) => Outcome::Holds,
            Answer::Is(false) => Outcome::Broken,
            Answer::Failed(error) => Outcome::Failed(Breach::Error, error),
            Answer::Over(overrun) => Outcome::over(overrun),
        }
    }

    /// Whether the change has to do with what the rule is about. A create sets everything; an
    /// action, and a rule about the call alone, are no field's.
    fn touches(&self, bindings: &Bindings<'_>, subject: &Subject<'_>, budget: &mut Budget) -> bool {
        let about = &self.0.about;
        if subject.operation != Operation::Update || about.is_empty() {
            return true;
        }
        budget.look_at_body();
        let change = bindings.change();
        let touched = about.iter().find(|place| change.touches(place));
        if let Some(place) = touched {
            budget.look_at_comparison(change.before.pointer(place));
        }
        touched.is_some()
    }

    /// Whether it was broken before, too.
    fn was_broken(&self, context: &Context<'_>, budget: &mut Budget) -> bool {
        let before = Bindings::of(context.subject, &context.before, &context.before);
        matches!(self.ask(&before, budget), Outcome::Broken | Outcome::Failed(..))
    }

    fn message(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> String {
        match &self.0.message {
            Some(template) => budget.aside(|budget| template.tell(bindings, budget)),
            None => format!("this must hold: {}", excerpt(&self.0.source.require, 200,)),
        }
    }
}
