//! The outcome of one rule on one change.

/// The outcome of one rule on one change, over all readings of it, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleOutcome {
    /// The rule is not asked about such a call.
    #[default]
    NotInScope,
    /// The rule's `when` does not hold.
    Skipped,
    /// The change keeps the rule.
    Satisfied,
    /// The rule is broken, and the change has nothing to do with it.
    Standing(Breach),
    /// The change breaks the rule.
    Violated(Breach),
}

/// The way in which a rule came to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// The rule is not kept.
    Broken,
    /// An error came up while it was evaluated.
    Error,
    /// The evaluation went past its steps, or past the length of what it may make: it will whenever
    /// the same change is judged.
    OverBudget,
    /// The evaluation took too long on this machine, at this time: it may not another time.
    OverTime,
}

impl RuleOutcome {
    /// Every name but that of rules that are not asked.
    pub const NAMES: [&str; 7] =
        ["skipped", "satisfied", "standing", "violated", "error", "over_budget", "over_time"];

    /// The name that counters use. What could not be evaluated is told apart, whether the change
    /// has to do with it or not.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotInScope => "not_in_scope",
            Self::Skipped => "skipped",
            Self::Satisfied => "satisfied",
            Self::Standing(Breach::Broken) => "standing",
            Self::Violated(Breach::Broken) => "violated",
            Self::Standing(Breach::Error) | Self::Violated(Breach::Error) => "error",
            Self::Standing(Breach::OverBudget) | Self::Violated(Breach::OverBudget) => {
                "over_budget"
            }
            Self::Standing(Breach::OverTime) | Self::Violated(Breach::OverTime) => "over_time",
        }
    }

    /// The way in which the rule is broken, if it is.
    #[must_use]
    pub const fn breach(self) -> Option<Breach> {
        match self {
            Self::Standing(breach) | Self::Violated(breach) => Some(breach),
            Self::NotInScope | Self::Skipped | Self::Satisfied => None,
        }
    }

    /// Remembers the worse of two outcomes.
    pub(super) fn worsen(&mut self, other: Self) {
        *self = other.max(*self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_outcome_stays() {
        let mut outcome = RuleOutcome::default();
        let all = [
            RuleOutcome::Skipped,
            RuleOutcome::Satisfied,
            RuleOutcome::Standing(Breach::OverTime),
            RuleOutcome::Violated(Breach::Broken),
            RuleOutcome::Violated(Breach::Error),
        ];
        for worse in all {
            outcome.worsen(worse);
            outcome.worsen(RuleOutcome::Skipped);
            assert_eq!(outcome, worse);
        }
        assert_eq!(outcome.breach(), Some(Breach::Error));
    }
}
