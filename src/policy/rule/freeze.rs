//! The built-in rule on freezes: times in which nothing begins.

use std::time::Duration;

use super::{Context, Finding, RuleFindings};
use crate::base::clock::Timestamp;
use crate::deployment::timetable::Timetable;
use crate::policy::words::duration;

/// The most windows that are followed from one into the next, to tell when a freeze ends.
const WINDOWS_FOLLOWED_MAX: usize = 64;

/// The most starts of a window before it is over.
const STARTS_WITHIN_MAX: usize = 64;

/// The starts of a window that are looked at to tell whether it can be used.
const STARTS_MAX: usize = 400;

/// The moment from which they are looked at: 2026-01-01T00:00:00Z, so that a policy is as valid
/// today as tomorrow.
const LOOKED_AT_FROM: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The windows that `check` tells.
const WINDOWS_TOLD: usize = 3;

/// `[[schedule.freeze]]`: windows in which no call begins that the rule's scope covers.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeRule {
    /// The windows, at least one.
    pub windows: Vec<Window>,
}

/// A time that comes again and again.
#[derive(Clone, Debug)]
pub struct Window {
    starts: String,
    zone: String,
    lasts: Duration,
    timetable: Timetable,
}

/// Why a window can't be used, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The expression can't be read.
    #[error("{0}: write five POSIX cron fields, such as \"0 18 * * 5\"")]
    Starts(String),
    /// No year has such a day.
    #[error("it never starts, since no year has such a day: name one that its months have")]
    Never,
    /// It begins anew before it is over, always.
    #[error("it lasts longer than its period, so that it never ends: shorten `lasts`")]
    Always,
    /// It begins anew too often before it is over.
    #[error("it begins more than 64 times before it is over: start it once")]
    Often,
}

/// A freeze that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frozen {
    since: Timestamp,
    until: Timestamp,
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        (&self.starts, &self.zone, self.lasts) == (&other.starts, &other.zone, other.lasts)
    }
}

impl Window {
    /// A window that starts by a cron expression, in a zone that exists.
    pub fn new(starts: &str, zone: &str, lasts: Duration) -> Result<Self, WindowError> {
        let timetable = Timetable::parse(starts, zone)
            .map_err(|error| WindowError::Starts(error.to_string()))?;
        if !timetable.fires() {
            return Err(WindowError::Never);
        }
        let (starts, zone) = (starts.to_owned(), zone.to_owned());
        let window = Self { starts, zone, lasts, timetable };
        let starts: Vec<_> = window.timetable.after(LOOKED_AT_FROM).take(STARTS_MAX).collect();
        let is_over_before = |one: &Timestamp, other: &Timestamp| one.plus(lasts) < *other;
        let mut pairs = starts.iter().zip(starts.iter().skip(1));
        let mut distant = starts.iter().zip(starts.iter().skip(STARTS_WITHIN_MAX));
        if distant.any(|(one, later)| !is_over_before(one, later)) {
            Err(WindowError::Often)
        } else if !pairs.any(|(one, next)| is_over_before(one, next)) {
            Err(WindowError::Always)
        } else {
            Ok(window)
        }
    }

    /// The window that is open at a moment, if any: the one that began last.
    fn open_at(&self, at: Timestamp) -> Option<Frozen> {
        // One that began before is over: its end is not within it.
        let lasts = i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX);
        let earliest = Timestamp::from_millis(at.millis().saturating_sub(lasts));
        let starts = self.timetable.after(earliest).take_while(|start| *start <= at);
        // Changes of the clocks may bring some more than were counted.
        let since = starts.take(2 * STARTS_WITHIN_MAX).last()?;
        Some(Frozen { since, until: since.plus(self.lasts) })
    }

    /// The next windows from a moment on, the one that is open included.
    fn next(&self, now: Timestamp) -> impl Iterator<Item = Frozen> {
        let coming = self.timetable.after(now);
        let coming = coming.map(|since| Frozen { since, until: since.plus(self.lasts) });
        self.open_at(now).into_iter().chain(coming)
    }
}

impl FreezeRule {
    /// Notes the rule where the call begins in a window, whatever it changes.
    pub(super) fn check(&self, context: &Context<'_>, found: &mut RuleFindings<'_>) {
        let subject = context.subject;
        let Some((window, frozen)) = self.frozen_at(subject.now) else { return };
        let fault = format!(
            "no {} begins in a freeze; this one ends at {} ({}), {} UTC: try again then",
            subject.operation,
            window.timetable.local(frozen.until),
            window.zone,
            utc(frozen.until),
        );
        found.add(true, Finding { part: None, path: String::new(), fault, actual: None });
    }

    /// The window that is open at a moment and the time for which nothing begins, one window into
    /// the next: the window is the one that ends it.
    fn frozen_at(&self, now: Timestamp) -> Option<(&Window, Frozen)> {
        let last_at = |at| {
            let open = self.windows.iter().filter_map(|w| Some((w, w.open_at(at)?)));
            open.max_by_key(|(_, frozen)| frozen.until)
        };
        let (mut window, mut frozen) = last_at(now)?;
        for _ in 0..WINDOWS_FOLLOWED_MAX {
            let Some((next, following)) = last_at(frozen.until) else { break };
            (window, frozen.until) = (next, following.until);
        }
        Some((window, frozen))
    }

    /// The meaning, in words.
    pub(super) fn words(&self, now: Timestamp) -> Vec<String> {
        let window = |window: &Window| {
            let told = |Frozen { since, until }| {
                format!("{} to {}", window.timetable.local(since), window.timetable.local(until))
            };
            let next: Vec<String> = window.next(now).take(WINDOWS_TOLD).map(told).collect();
            let Window { starts, zone, lasts, .. } = window;
            let lasts = duration(*lasts);
            format!(
                "Nothing begins for {lasts} from `{starts}` on in {zone}; next: {}.",
                next.join("; ")
            )
        };
        self.windows.iter().map(window).collect()
    }
}

/// A moment in UTC, as a person reads it.
fn utc(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).map_or_else(|| text.clone(), |minutes| minutes.replace('T', " "))
}

#[cfg(test)]
mod tests;
