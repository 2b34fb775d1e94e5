//! The built-in rule on schedules: how often they run, and that they do.

mod memo;
mod reading;
mod runs;

use std::time::Duration;

use serde_json::Value;

use self::memo::Memo;
use self::reading::read;
use self::runs::{Span, TooClose, TooMany};
use super::{Context, Finding, RuleFindings};
use crate::base::clock::Timestamp;
use crate::base::pointer::child;
use crate::deployment::members::Members;
use crate::policy::words::duration;

/// The part of the rule that schedules are readable: what can't be read can't be judged.
const READABLE: &str = "readable";

/// The part of the rule that says how far apart runs are.
const MINIMUM_INTERVAL: &str = "minimum_interval";

/// The part of the rule that says how many runs a day has.
const RUNS_PER_DAY: &str = "runs_per_day";

/// The part of the rule that a schedule fires.
const MUST_FIRE: &str = "must_fire";

/// `[schedule]`: what a schedule that is set must keep.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleRule {
    /// The least time between two runs.
    pub minimum_interval: Option<Duration>,
    /// The most runs within any 24 hours.
    pub runs_per_day: Option<usize>,
    /// Whether it must fire at some time.
    pub must_fire: bool,
    memo: Memo,
}

/// A schedule that was judged, and what was found.
pub(super) struct JudgedSchedule {
    schedule: Value,
    found: Vec<Finding>,
}

impl ScheduleRule {
    /// A rule that remembers nothing yet.
    #[must_use]
    pub fn new(
        minimum_interval: Option<Duration>,
        runs_per_day: Option<usize>,
        must_fire: bool,
    ) -> Self {
        Self { minimum_interval, runs_per_day, must_fire, memo: Memo::default() }
    }

    /// Whether it looks through the runs of schedules.
    pub(in crate::policy) fn looks_through_runs(&self) -> bool {
        self.minimum_interval.is_some() || self.runs_per_day.is_some()
    }

    /// The parts that the policy has, by the names of their keys in its file.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> {
        let parts = [
            (READABLE, true),
            (MINIMUM_INTERVAL, self.minimum_interval.is_some()),
            (RUNS_PER_DAY, self.runs_per_day.is_some()),
            (MUST_FIRE, self.must_fire),
        ];
        parts.into_iter().filter_map(|(part, is_there)| is_there.then_some(part))
    }

    /// Notes what the schedule of `reading` breaks. Null is no schedule: it runs by hand only.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
        found: &mut RuleFindings<'_>,
    ) {
        for (name, schedule) in reading.taken_for("schedule") {
            if schedule.is_null() {
                continue;
            }
            let findings = self.judged(context, name, schedule);
            if findings.is_empty() {
                continue;
            }
            let touched =
                context.before.get(name).is_none_or(|before| reading::is_other(before, schedule));
            for finding in findings {
                found.add(touched, finding);
            }
        }
    }

    /// As [`judge`](Self::judge), once for all readings with this schedule.
    fn judged(&self, context: &Context<'_>, name: &str, schedule: &Value) -> Vec<Finding> {
        let known = &mut *context.schedules.borrow_mut();
        if let Some(known) = known.iter().find(|known| known.schedule == *schedule) {
            return known.found.clone();
        }
        let found = self.judge(&child("", name), schedule, context.subject.now);
        known.push(JudgedSchedule { schedule: schedule.clone(), found: found.clone() });
        found
    }

    fn judge(&self, path: &str, schedule: &Value, now: Timestamp) -> Vec<Finding> {
        let timetables = match read(path, schedule) {
            Ok(timetables) => timetables,
            Err(unreadable) => return unreadable,
        };
        let expression = || child(path, "expression");
        let finding = |part, fault| {
            let actual = schedule.get("expression").cloned();
            Finding { part: Some(part), path: expression(), fault, actual }
        };
        let mut found = Vec::new();
        if self.must_fire && !timetables.fire() {
            let fault = "the schedule never fires, since no year has such a day: name one that \
                its months have, or set `schedule` to null to run it by hand only";
            found.push(finding(MUST_FIRE, fault.to_owned()));
        }
        let Some(first) = timetables.after(now).next() else { return found };
        let (minimum_interval, per_day) = (self.minimum_interval, self.runs_per_day);
        let density = self.memo.density(&timetables, Span { first, minimum_interval, per_day });
        if let (Some(least), Some(close)) = (self.minimum_interval, density.too_close) {
            let TooClose { first, second, clocks_change } = close;
            let apart = second.millis().saturating_sub(first.millis()).unsigned_abs();
            let fault = format!(
                "two runs are {} apart, at {} and at {}{}: leave {} or more between two runs",
                duration(Duration::from_millis(apart)),
                timetables.local(first),
                timetables.local(second),
                if clocks_change { ", where the clocks change" } else { "" },
                duration(least),
            );
            found.push(finding(MINIMUM_INTERVAL, fault));
        }
        if let (Some(most), Some(many)) = (self.runs_per_day, density.too_many) {
            let TooMany { first, clocks_change } = many;
            let fault = format!(
                "it runs more than {most} {} within the 24 hours from {} on{}: plan fewer runs",
                if most == 1 { "time" } else { "times" },
                timetables.local(first),
                if clocks_change { ", in which the clocks change" } else { "" },
            );
            found.push(finding(RUNS_PER_DAY, fault));
        }
        found
    }

    /// The meaning, in words.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec![
            "A schedule that is set has five POSIX cron fields and an IANA time zone.".to_owned(),
        ];
        if let Some(least) = self.minimum_interval {
            let least = duration(least);
            words.push(format!(
                "Its next 400 runs are {least} or more apart, also where clocks change."
            ));
        }
        if let Some(most) = self.runs_per_day {
            let times = if most == 1 { "once" } else { "times" };
            let most = if most == 1 { String::new() } else { format!("{most} ") };
            words.push(format!("It runs at most {most}{times} within any 24 hours."));
        }
        if self.must_fire {
            words.push("It fires at some time.".to_owned());
        }
        words
    }
}

/// A schedule that can't be read at a place.
fn unreadable(path: String, fault: String, actual: Option<&Value>) -> Finding {
    Finding { part: Some(READABLE), path, fault, actual: actual.cloned() }
}

#[cfg(test)]
mod tests;
