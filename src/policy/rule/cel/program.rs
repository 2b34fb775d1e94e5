//! Expressions that are ready to run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use cel::{Context, ExecutionError, IdedExpr, Value};

use super::bindings::{Bindings, Scope};
use super::meter::{Budget, Overrun};
use super::parse::{ENV, on_a_large_stack};
use super::pattern::Pattern;
use super::rewrite::Rewrite;
use super::time;
use super::tree::depth;

/// The deepest expression, as it runs, that a worker's stack is surely enough for: a debug build
/// takes some thirty kilobytes for each level.
const DEPTH_MAX: usize = 32;

/// An expression that was checked and made ready.
#[derive(Debug)]
pub(super) struct Program {
    expression: IdedExpr,
    patterns: Vec<Pattern>,
    /// Whether it takes more of a stack than a worker has for sure.
    is_deep: bool,
}

/// The answer of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// A value.
    Is(T),
    /// An error, in words that repeat no value.
    Failed(String),
    /// A bound was passed.
    Over(Overrun),
}

impl Program {
    /// Makes an expression ready that was checked.
    pub(super) fn new(expression: IdedExpr) -> Self {
        let mut rewrite = Rewrite::default();
        let expression = rewrite.expression(expression);
        let is_deep = depth(&expression) > DEPTH_MAX;
        Self { expression, patterns: rewrite.patterns, is_deep }
    }

    /// Whether it holds.
    pub(super) fn holds(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> Answer<bool> {
        self.run(bindings, budget, |value| value.downcast_ref::<CelBool>().map(|b| *b.inner()))
    }

    /// Its text.
    pub(super) fn text(&self, bindings: &Bindings<'_>, budget: &mut Budget) -> Answer<String> {
        self.run(bindings, budget, shown)
    }

    /// Its value, as `read` reads it.
    pub(super) fn run<T: Send>(
        &self,
        bindings: &Bindings<'_>,
        budget: &mut Budget,
        read: impl FnOnce(&dyn Val) -> Option<T> + Send,
    ) -> Answer<T> {
        if !self.is_deep {
            return self.run_here(bindings, budget, read);
        }
        let done = on_a_large_stack(|| self.run_here(bindings, budget, read));
        done.unwrap_or_else(|| Answer::Failed("its evaluation broke off".to_owned()))
    }

    fn run_here<T>(
        &self,
        bindings: &Bindings<'_>,
        budget: &mut Budget,
        read: impl FnOnce(&dyn Val) -> Option<T>,
    ) -> Answer<T> {
        let scope = Scope { bindings, patterns: &self.patterns };
        let evaluate = || {
            let mut context = Context::with_env(Arc::clone(&ENV));
            context.set_variable_resolver(&scope);
            let value = Value::resolve_val(&self.expression, &context);
            match value {
                Ok(value) => {
                    read(value.as_ref()).ok_or_else(|| "its value has another type".into())
                }
                Err(error) => Err(words(&error)),
            }
        };
        // The interpreter is not ours: where it panics, the rule is broken, and the call goes on.
        let (done, overrun) = budget.spend(|| catch_unwind(AssertUnwindSafe(evaluate)));
        match (overrun, done) {
            (Some(overrun), _) => Answer::Over(overrun),
            (None, Ok(Ok(value))) => Answer::Is(value),
            (None, Ok(Err(error))) => Answer::Failed(error),
            (None, Err(_panic)) => Answer::Failed("its evaluation broke off".to_owned()),
        }
    }
}

/// A value as a message shows it.
pub(super) fn shown(value: &dyn Val) -> Option<String> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Some(text.inner().to_owned());
    }
    let number = value.downcast_ref::<CelInt>().map(|number| number.inner().to_string());
    let number = number.or_else(|| Some(value.downcast_ref::<CelUInt>()?.inner().to_string()));
    let number = number.or_else(|| Some(value.downcast_ref::<CelDouble>()?.inner().to_string()));
    let flag = || Some(value.downcast_ref::<CelBool>()?.inner().to_string());
    let null = || value.downcast_ref::<CelNull>().map(|_| "null".to_owned());
    number.or_else(flag).or_else(null).or_else(|| time::shown(value))
}

/// An error in words. Values that an error carries may be secret, and are left out.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => {
            let key: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
            format!("there is no member `{key}`")
        }
        ExecutionError::NoSuchOverload(overload) => {
            format!(
                "`{}` does not take ({})",
                overload.function(),
                overload.argument_types().join(", ")
            )
        }
        ExecutionError::IndexOutOfBounds(_) => "a list has no such element".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number is out of range".to_owned(),
        ExecutionError::FunctionError { function, message } if is_own(message) => {
            format!("`{function}`: {message}")
        }
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` can't take this value")
        }
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known"),
        _ => "a value has a type that does not fit".to_owned(),
    }
}

/// Whether a message is one of ours, which repeat no value.
fn is_own(message: &str) -> bool {
    ["the values ", "there is no ", "it is ", "no element ", "the number of ", "cron ", "the time "]
        .iter()
        .any(|start| message.starts_with(start))
}
