//! The timetables that a schedule may stand for, however a server reads it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::Finding;
use super::super::timezones::zones;
use super::unreadable;
use crate::base::clock::Timestamp;
use crate::base::excerpt::excerpt;
use crate::base::pointer::child;
use crate::deployment::Object;
use crate::deployment::diff::same;
use crate::deployment::name::{is_joined_as, is_taken_for};
use crate::deployment::timetable::{Timetable, TimetableError};

/// Other names of an expression, without the signs that join their words.
const OTHER_NAMES: [&str; 5] = ["cron", "crons", "crontab", "cronexpression", "expressions"];

/// The most expressions, and the most pairs of an expression and a zone, that are looked at.
const TIMETABLES_MAX: usize = 4;

/// The longest expression that is read, in bytes.
const EXPRESSION_BYTES_MAX: usize = 4_096;

/// The most characters of a schedule's text that a message shows.
const CHARS_SHOWN_MAX: usize = 64;

/// Timetables that hold together: whichever a server takes, its runs are among theirs.
pub(super) struct Timetables {
    all: Vec<Timetable>,
    texts: String,
}

impl Timetables {
    /// The texts that they stand for.
    pub(super) fn texts(&self) -> &str {
        &self.texts
    }

    /// Whether each of them fires at some time.
    pub(super) fn fire(&self) -> bool {
        self.all.iter().all(Timetable::fires)
    }

    /// The moments at which any fires, each once, from the first one after `after` on.
    pub(super) fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        let mut all: Vec<_> = self.all.iter().map(|one| one.after(after).peekable()).collect();
        std::iter::from_fn(move || {
            let next = all.iter_mut().filter_map(|one| one.peek().copied()).min()?;
            for one in &mut all {
                one.next_if_eq(&next);
            }
            Some(next)
        })
    }

    /// The moments within a time at which clocks change.
    pub(super) fn clock_changes(&self, from: Timestamp, until: Timestamp) -> BTreeSet<Timestamp> {
        self.all.iter().flat_map(|one| one.clock_changes(from, until)).collect()
    }

    /// A moment on the clocks of the zone.
    pub(super) fn local(&self, at: Timestamp) -> String {
        self.all.first().map_or_else(|| at.to_string(), |one| one.local(at))
    }
}

/// Reads a schedule, or says what of it can't be read.
pub(super) fn read(path: &str, schedule: &Value) -> Result<Timetables, Vec<Finding>> {
    let Value::Object(members) = schedule else {
        let fault = "the schedule is not an object, so it can't be read: send `type`, `expression` \
            and `timezone`";
        return Err(vec![unreadable(path.to_owned(), fault.to_owned(), Some(schedule))]);
    };
    let mut faults: Vec<Finding> = types(path, members).collect();
    let (mut expressions, mut named) = (BTreeSet::new(), BTreeSet::new());
    for (name, value) in self::expressions(members) {
        let items = if let Value::Array(items) = value {
            items.as_slice()
        } else {
            std::slice::from_ref(value)
        };
        let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        if texts.len() != items.len() || texts.is_empty() || texts.len() > TIMETABLES_MAX {
            let fault = "schedule.expression is not a text, so it can't be read: write five POSIX \
                cron fields, such as `0 9 * * 1-5`";
            faults.push(unreadable(child(path, name), fault.to_owned(), Some(value)));
        }
        expressions.extend(texts.into_iter().take(TIMETABLES_MAX));
    }
    for (name, value) in zones(members) {
        if let Some(zone) = value.as_str() {
            named.insert(zone);
            continue;
        }
        let fault = "schedule.timezone is not a text: write an IANA name, such as `Asia/Shanghai`";
        faults.push(unreadable(child(path, name), fault.to_owned(), Some(value)));
    }
    for (name, is_missing) in
        [("expression", expressions.is_empty()), ("timezone", named.is_empty())]
    {
        if is_missing && faults.is_empty() {
            let fault = format!(
                "the schedule has no {name}, so its runs can't be told: send `type`, `expression` \
                 and `timezone` together"
            );
            faults.push(unreadable(child(path, name), fault, None));
        }
    }
    let timetables = pairs(path, &expressions, &named, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let texts = format!("{expressions:?}{named:?}");
    Ok(Timetables { all: timetables, texts })
}

/// Whether two schedules are not the same to this rule: what runs when is said by some members.
pub(super) fn is_other(before: &Value, after: &Value) -> bool {
    let (Value::Object(one), Value::Object(other)) = (before, after) else {
        return !same(before, after);
    };
    let of = |members: &Object| -> BTreeSet<String> {
        // Under whatever name: a server may show an expression under its own one as well.
        let expressions = expressions(members).map(|(_, value)| format!("expression {value}"));
        let zones = zones(members).map(|(_, value)| format!("zone {value}"));
        let types = members.iter().filter(|(name, _)| is_taken_for(name, "type"));
        let types = types.map(|(_, value)| format!("type {value}"));
        expressions.chain(zones).chain(types).collect()
    };
    of(one) != of(other)
}

/// The members that some server may take for the expression.
fn expressions(members: &Object) -> impl Iterator<Item = (&String, &Value)> {
    members.iter().filter(|(name, value)| {
        is_taken_for(name, "expression")
            || (!value.is_null() && OTHER_NAMES.iter().any(|other| is_joined_as(name, other)))
    })
}

/// The types that are not `cron`: a schedule that runs once, say, is not read.
fn types<'s>(path: &'s str, members: &'s Object) -> impl Iterator<Item = Finding> + 's {
    let types = members.iter().filter(|(name, _)| is_taken_for(name, "type"));
    types.filter(|(_, kind)| kind.as_str() != Some("cron") && !kind.is_null()).map(
        move |(name, kind)| {
            let shown = excerpt(kind.as_str().unwrap_or("?"), CHARS_SHOWN_MAX);
            let fault = format!(
                "a schedule of the type `{shown}` can't be read, so its runs can't be told: use \
                 \"cron\""
            );
            unreadable(child(path, name), fault, Some(kind))
        },
    )
}

/// Every expression in every zone.
fn pairs(
    path: &str,
    expressions: &BTreeSet<&str>,
    zones: &BTreeSet<&str>,
    faults: &mut Vec<Finding>,
) -> Vec<Timetable> {
    if expressions.len() * zones.len() > TIMETABLES_MAX {
        let fault = "the schedule has more than one expression or zone, of which servers may take \
            any: send one of each";
        faults.push(unreadable(path.to_owned(), fault.to_owned(), None));
        return Vec::new();
    }
    let mut timetables = Vec::new();
    for expression in expressions {
        for zone in zones {
            let read = if expression.len() > EXPRESSION_BYTES_MAX {
                Err(TimetableError::Invalid(format!("longer than {EXPRESSION_BYTES_MAX} bytes")))
            } else {
                Timetable::parse(expression, zone)
            };
            match read {
                Ok(timetable) => timetables.push(timetable),
                Err(TimetableError::Zone) => {
                    let shown = excerpt(zone, CHARS_SHOWN_MAX);
                    let fault = format!(
                        "schedule.timezone `{shown}` is not an IANA time zone: write its name \
                         letter by letter, such as `Asia/Shanghai`"
                    );
                    let actual = Value::from(*zone);
                    faults.push(unreadable(child(path, "timezone"), fault, Some(&actual)));
                }
                Err(error) => {
                    let shown = excerpt(expression, CHARS_SHOWN_MAX);
                    let error = excerpt(&error.to_string(), 2 * CHARS_SHOWN_MAX);
                    let fault = format!(
                        "schedule.expression `{shown}` can't be read ({error}): write five POSIX \
                         cron fields, such as `0 9 * * 1-5`, without nicknames and L, W, #, ?"
                    );
                    let actual = Value::from(*expression);
                    faults.push(unreadable(child(path, "expression"), fault, Some(&actual)));
                }
            }
        }
    }
    timetables
}
