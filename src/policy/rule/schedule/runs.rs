//! The density of a timetable's runs.

use std::collections::VecDeque;
use std::time::Duration;

use super::reading::Timetables;
use crate::base::clock::Timestamp;

/// The runs that are looked at from now on, unless a day may have more.
const RUNS_MAX: usize = 400;

/// A day.
const DAY: Duration = Duration::from_hours(24);

/// How far ahead changes of the clocks are looked at beyond those runs.
const CLOCKS_AHEAD: Duration = Duration::from_hours(24 * 400);

/// The runs that are looked at, and for what.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// The first run that is looked at: until it has come, nothing that is said of them changes.
    pub(super) first: Timestamp,
    pub(super) minimum_interval: Option<Duration>,
    pub(super) per_day: Option<usize>,
}

/// The faults of a timetable, the first of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Density {
    pub(super) too_close: Option<TooClose>,
    pub(super) too_many: Option<TooMany>,
}

/// Two runs that are too close.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TooClose {
    pub(super) first: Timestamp,
    pub(super) second: Timestamp,
    /// Whether the clocks change between them.
    pub(super) clocks_change: bool,
}

/// The first of too many runs within a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TooMany {
    pub(super) first: Timestamp,
    /// Whether the clocks change within that day.
    pub(super) clocks_change: bool,
}

impl Span {
    /// Looks through the next runs, and through those around the clocks' next changes: of a
    /// schedule that runs often, the next ones may end before.
    pub(super) fn look_through(self, timetables: &Timetables) -> Density {
        let mut density = Density::default();
        if self.minimum_interval.is_none() && self.per_day.is_none() {
            return density;
        }
        let most = self.per_day.map_or(RUNS_MAX, |per_day| RUNS_MAX.max(per_day + 1));
        let before = self.first.millis().saturating_sub(1);
        let runs = timetables.after(Timestamp::from_millis(before));
        let last = self.look_at(runs.take(most), &mut density);
        let until = self.first.plus(CLOCKS_AHEAD);
        let around = self.minimum_interval.unwrap_or_default().max(DAY);
        for change in timetables.clock_changes(last.unwrap_or(self.first), until) {
            let start = change.millis().saturating_sub(millis(around) + 1);
            let start = Timestamp::from_millis(start.max(before));
            let runs = timetables.after(start).take_while(|run| *run <= change.plus(around));
            self.look_at(runs.take(2 * most), &mut density);
        }
        let clocks_change = |from: Timestamp, until: Timestamp| {
            !timetables.clock_changes(from, until.plus(Duration::from_millis(1))).is_empty()
        };
        if let Some(close) = &mut density.too_close {
            close.clocks_change = clocks_change(close.first, close.second);
        }
        if let Some(many) = &mut density.too_many {
            many.clocks_change = clocks_change(many.first, many.first.plus(DAY));
        }
        density
    }

    /// Looks at runs one after the other, until there is a fault of each kind that is asked for;
    /// the last one that was looked at.
    fn look_at(
        self,
        runs: impl Iterator<Item = Timestamp>,
        density: &mut Density,
    ) -> Option<Timestamp> {
        let mut within_day = VecDeque::new();
        let mut previous: Option<Timestamp> = None;
        for run in runs {
            if let (Some(least), Some(first), None) =
                (self.minimum_interval, previous, &density.too_close)
                && run < first.plus(least)
            {
                density.too_close = Some(TooClose { first, second: run, clocks_change: false });
            }
            if let (Some(most), None) = (self.per_day, &density.too_many) {
                within_day.push_back(run);
                let first = within_day.front().copied().filter(|_| within_day.len() > most);
                if let Some(first) = first {
                    within_day.pop_front();
                    if run < first.plus(DAY) {
                        density.too_many = Some(TooMany { first, clocks_change: false });
                    }
                }
            }
            previous = Some(run);
            let is_done = (self.minimum_interval.is_none() || density.too_close.is_some())
                && (self.per_day.is_none() || density.too_many.is_some());
            if is_done {
                break;
            }
        }
        previous
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
