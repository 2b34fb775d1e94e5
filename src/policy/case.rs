//! Tests of a policy: cases, each a change and what the policy is expected to say of it. Pure.

pub mod coverage;
mod document;
mod each;
pub(crate) mod keys;
mod read;
pub mod verdict;
mod words;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

pub use self::read::CaseFile;
use super::subject::Subject;
use super::{Actor, Decision};
use crate::base::clock::{Clock, Timestamp};
use crate::deployment::patch::Patch;
use crate::deployment::predict::Omitted;
use crate::provider::{Operation, Provider};

/// A change, and what the policy is expected to say of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; of a variant, with what varies.
    pub name: String,
    /// The line of the file at which it begins.
    pub line: usize,
    /// The operation that is asked for.
    pub operation: Operation,
    /// How the call's method reads what the patch omits.
    pub omitted: Omitted,
    /// The deployment before; `None` on create.
    pub before: Option<Arc<Value>>,
    /// The patch that the call asks for.
    pub patch: Arc<Patch>,
    /// The actor that asks.
    pub actor: Actor,
    /// When the call comes.
    pub at: Timestamp,
    /// The expectation.
    pub expected: Expected,
}

/// The expectation of a case, which looks at nothing that it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The decision.
    pub decision: Option<Decision>,
    /// The rules that are violated, and no others.
    pub rules: Option<BTreeSet<String>>,
    /// The rules that were violated before and still are, and no others.
    pub standing: Option<BTreeSet<String>>,
    /// Parts of the violations' messages.
    pub messages: Vec<String>,
}

/// The text of a file that a case names, or why it can't be had.
pub type ReadFile<'r> = dyn FnMut(&PathBuf) -> Result<String, String> + 'r;

impl Case {
    /// The change, as a deployment of that provider. The clock is for the rules' time alone.
    #[must_use]
    pub fn subject<'a>(&'a self, provider: &'static Provider, clock: &'a Clock) -> Subject<'a> {
        Subject {
            provider,
            operation: self.operation,
            omitted: self.omitted,
            before: self.before.as_deref(),
            patch: &self.patch,
            actor: &self.actor,
            now: self.at,
            clock,
        }
    }
}
