//! Parts of a change that its record does not tell, and rules that look at them.

use serde_json::Value;

use crate::base::key::CONCEALED;

/// The parts of a change that its record does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Values stand there as digests.
    pub values: bool,
    /// A body was not kept, or can't be told.
    pub bodies: bool,
    /// The body is not concealed as the deployment before is: where a digest stands there, nothing
    /// tells whether the two are the same.
    pub comparisons: bool,
}

/// Why a rule can't be judged by a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// It looks at a value that was concealed.
    Concealed,
    /// It looks at a body that was not kept.
    NotKept,
}

impl Missing {
    /// The gap that a look at a text meets: a member's name too may be a digest.
    pub(super) fn in_text(self, text: &str) -> Option<Gap> {
        (self.values && text.contains(CONCEALED)).then_some(Gap::Concealed)
    }

    /// The gap that a comparison with a value from before meets.
    pub(super) fn in_comparison(self, before: Option<&Value>) -> Option<Gap> {
        (self.comparisons && before.is_some_and(conceals)).then_some(Gap::Concealed)
    }

    /// The gap that a look at a body meets.
    pub(super) fn in_body(self) -> Option<Gap> {
        self.bodies.then_some(Gap::NotKept)
    }
}

impl Gap {
    /// Every gap.
    pub const ALL: [Self; 2] = [Self::Concealed, Self::NotKept];

    /// The gap in words, as the reason of a rule.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Concealed => "reads a concealed value",
            Self::NotKept => "reads a body that was not kept",
        }
    }

    /// The word that stands for it in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Concealed => "concealed",
            Self::NotKept => "not_kept",
        }
    }
}

/// Whether a value is concealed, or something in it.
fn conceals(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(CONCEALED),
        Value::Array(items) => items.iter().any(conceals),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains(CONCEALED) || conceals(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
