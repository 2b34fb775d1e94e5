//! Changes counted over time: per decision, outcome, operation, rule, actor, team or deployment.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Timestamp;

/// The most hours or days of one answer.
const STEPS_MAX: i64 = 1_000;

/// The most values that an answer names; the others are counted together.
pub const VALUES_MAX: u16 = 50;

/// The property of changes that they are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CountedBy {
    /// How the policy decided.
    Decision,
    /// How they ended.
    Outcome,
    /// The operation that was asked for.
    Operation,
    /// A rule that they violated: a change that violated several counts for each.
    Rule,
    /// The name of who asked, or the fingerprint of the token where it has none.
    Actor,
    /// The team of who asked.
    Team,
    /// The id of the deployment.
    Deployment,
}

/// The length of time that is counted together, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

/// The counts that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    pub(crate) by: CountedBy,
    pub(crate) step: Step,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) values: u16,
}

/// Counts can't be had so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCounting {
    /// Only what has few values is counted by the hour.
    #[error(
        "hours are counted by decision, outcome or operation alone: ask for step=day, or by one of \
         these"
    )]
    NoHours,
    /// It would be a long answer.
    #[error("these are more than 1000 hours or days: ask for fewer, or for step=day")]
    TooMany,
}

/// Changes counted over time, by the moment at which they were received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// The property that they are counted by.
    pub by: CountedBy,
    /// The length of time that is counted together.
    pub step: Step,
    /// The begin of the first hour or day.
    pub since: Timestamp,
    /// The end of the last one.
    pub until: Timestamp,
    /// The values with the most changes, in this order.
    pub values: Vec<Count>,
    /// The changes with other values.
    pub others: i64,
    /// The hours or days with any changes, the oldest first.
    pub data: Vec<StepCounts>,
}

/// A value, and the changes that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Count {
    /// The value.
    pub value: String,
    /// How many changes have it.
    pub changes: i64,
}

/// The changes of one hour or day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepCounts {
    /// The begin of the hour or day.
    pub at: Timestamp,
    /// How many changes there were of each value that the answer names.
    pub counts: BTreeMap<String, i64>,
    /// How many there were with other values.
    pub others: i64,
}

/// A row that a store finds.
#[derive(Debug)]
pub(super) struct CountRow {
    pub(super) at: i64,
    /// `None` for the values that are counted together.
    pub(super) value: Option<String>,
    pub(super) changes: i64,
}

impl CountedBy {
    /// The word in queries and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Outcome => "outcome",
            Self::Operation => "operation",
            Self::Rule => "rule",
            Self::Actor => "actor",
            Self::Team => "team",
            Self::Deployment => "deployment",
        }
    }

    fn has_hours(self) -> bool {
        matches!(self, Self::Decision | Self::Outcome | Self::Operation)
    }
}

impl Step {
    /// Its length, in milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

impl Counting {
    /// The counts of the hours or days that any of the time from `since` to `until` lies in; of at
    /// most `values` values, 1 to 50 ([`VALUES_MAX`]), by name.
    pub fn new(
        by: CountedBy,
        step: Step,
        (since, until): (Timestamp, Timestamp),
        values: u16,
    ) -> Result<Self, BadCounting> {
        if step == Step::Hour && !by.has_hours() {
            return Err(BadCounting::NoHours);
        }
        let length = step.millis();
        let since = since.millis().div_euclid(length);
        let until = until.millis().saturating_add(length - 1).div_euclid(length);
        if until.saturating_sub(since) > STEPS_MAX {
            return Err(BadCounting::TooMany);
        }
        let at = |steps: i64| Timestamp::from_millis(steps.saturating_mul(length));
        let values = values.clamp(1, VALUES_MAX);
        Ok(Self { by, step, since: at(since), until: at(until), values })
    }

    /// The answer, of the rows that the store found, the oldest first.
    pub(super) fn counts(&self, rows: Vec<CountRow>) -> Counts {
        let Self { by, step, since, until, values: _ } = *self;
        let (mut totals, mut others) = (BTreeMap::<String, i64>::new(), 0);
        let mut data = Vec::<StepCounts>::new();
        for CountRow { at, value, changes } in rows {
            let at = Timestamp::from_millis(at);
            if data.last().is_none_or(|last| last.at != at) {
                data.push(StepCounts { at, counts: BTreeMap::new(), others: 0 });
            }
            let Some(counted) = data.last_mut() else { continue };
            if let Some(value) = value {
                *totals.entry(value.clone()).or_default() += changes;
                *counted.counts.entry(value).or_default() += changes;
            } else {
                others += changes;
                counted.others += changes;
            }
        }
        let count = |(value, changes)| Count { value, changes };
        let mut values: Vec<Count> = totals.into_iter().map(count).collect();
        // Stable: values of as many changes keep their order.
        values.sort_by_key(|count| Reverse(count.changes));
        Counts { by, step, since, until, values, others, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_hours_and_days_are_counted() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let span = (at("2026-06-14T08:58:11Z"), at("2026-06-15T00:00:00Z"));
        let counting = |by, step| Counting::new(by, step, span, 7);
        let hours = counting(CountedBy::Decision, Step::Hour).unwrap();
        assert_eq!((hours.since, hours.until), (at("2026-06-14T08:00:00Z"), span.1));
        let days = counting(CountedBy::Rule, Step::Day).unwrap();
        assert_eq!((days.since, days.until), (at("2026-06-14T00:00:00Z"), span.1));
        assert_eq!(counting(CountedBy::Rule, Step::Hour), Err(BadCounting::NoHours));
        let (begin, end) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let ever = Counting::new(CountedBy::Rule, Step::Day, (begin, end), 7);
        assert_eq!(ever, Err(BadCounting::TooMany));
        let thousand = (span.1, Timestamp::from_millis(span.1.millis() + 3_600_000_000));
        assert!(Counting::new(CountedBy::Outcome, Step::Hour, thousand, 7).is_ok());
    }
}
