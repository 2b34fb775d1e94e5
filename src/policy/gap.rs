//! Parts of a change that its record does not tell, and rules that look at them.

use crate::base::key::CONCEALED;

/// The parts of a change that its record does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Values stand there as digests.
    pub values: bool,
    /// A body was not kept, or can't be told.
    pub bodies: bool,
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
