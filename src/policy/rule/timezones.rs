//! The built-in rule on time zones.

use std::borrow::Cow;

use jiff::tz::TimeZoneDatabase;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use super::{Context, Finding, RuleFindings};
use crate::base::excerpt::excerpt;
use crate::base::pointer::child;
use crate::deployment::Object;
use crate::deployment::diff::same;
use crate::deployment::members::Members;
use crate::deployment::name::{is_joined_as, is_taken_for, seen};

/// Other names of a zone, without the signs that join their words.
const OTHER_NAMES: [&str; 4] = ["timezone", "timezoneid", "tz", "tzid"];

/// The most allowed zones that a message lists.
const ZONES_SHOWN_MAX: usize = 10;

/// The most characters of a zone that a message shows.
const ZONE_CHARS_MAX: usize = 64;

/// The longest cron expression that is searched for zones, in bytes.
const EXPRESSION_BYTES_MAX: usize = 4_096;

/// `[timezones]`: a schedule's zone must be one of these, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct TimezoneRule {
    /// IANA zone names.
    pub allowed: Vec<String>,
}

impl TimezoneRule {
    /// Notes every zone of `reading` that is not allowed, and every schedule that has none.
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
            let touched = is_touched(context.before.get(name), schedule);
            for finding in self.judge(&child("", name), schedule) {
                found.add(touched, finding);
            }
        }
    }

    /// The meaning, in words.
    pub(super) fn words(&self) -> Vec<String> {
        let zones = self.allowed.join(", ");
        vec![format!("A schedule's time zone is one of these, letter by letter: {zones}.")]
    }

    fn judge(&self, path: &str, schedule: &Value) -> Vec<Finding> {
        let Value::Object(members) = schedule else {
            let fault = "the schedule is not an object, so its zone can't be told".to_owned();
            return vec![self.finding(path.to_owned(), &fault, Some(schedule))];
        };
        let mut found = Vec::new();
        if !members.contains_key("timezone") {
            let fault = "the schedule has no timezone";
            found.push(self.finding(child(path, "timezone"), fault, None));
        }
        for (name, zone) in zones(members) {
            if !zone.as_str().is_some_and(|zone| self.allows(zone)) {
                let place = format!("schedule.{}", excerpt(name, ZONE_CHARS_MAX));
                let fault = match zone {
                    Value::String(zone) => not_allowed(zone, &place),
                    _ => format!("{place} is not a string"),
                };
                found.push(self.finding(child(path, name), &fault, Some(zone)));
            }
        }
        for (name, expression) in named(members, "expression") {
            let path = child(path, name);
            let Value::String(text) = expression else {
                let fault = "schedule.expression is not a string, so its zone can't be told";
                found.push(self.finding(path, fault, Some(expression)));
                continue;
            };
            if text.len() > EXPRESSION_BYTES_MAX {
                let fault = format!(
                    "schedule.expression is longer than {EXPRESSION_BYTES_MAX} bytes, so its zone \
                     can't be told"
                );
                found.push(self.finding(path, &fault, Some(expression)));
                continue;
            }
            let text = in_plain_width(text);
            let mut zones = zones_within(&text).chain(zone_words(&text));
            if let Some(zone) = zones.find(|zone| !self.allows(zone)) {
                let fault = not_allowed(zone, "the zone inside schedule.expression");
                found.push(self.finding(path, &fault, Some(&zone.into())));
            }
        }
        found
    }

    fn allows(&self, zone: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == zone)
    }

    fn finding(&self, path: String, fault: &str, actual: Option<&Value>) -> Finding {
        let shown: Vec<&str> =
            self.allowed.iter().take(ZONES_SHOWN_MAX).map(String::as_str).collect();
        let more = match self.allowed.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" ({more} more are allowed)"),
        };
        let fault = format!("{fault}: use {}{more}", shown.join(" or "));
        Finding { part: None, path, fault, actual: actual.cloned() }
    }
}

/// The members that a server may take for `name`: some read names without regard to case or width.
/// A zone that only such a server sees must be allowed too.
fn named<'a>(
    object: &'a Object,
    name: &'static str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.iter().filter(move |(key, _)| is_taken_for(key, name))
}

/// The members of a schedule that some server may take for its zone. Those that are none of the
/// provider's own say nothing where they are null.
pub(super) fn zones(schedule: &Object) -> impl Iterator<Item = (&String, &Value)> {
    schedule.iter().filter(|(name, zone)| {
        is_taken_for(name, "timezone")
            || (!zone.is_null() && OTHER_NAMES.iter().any(|other| is_joined_as(name, other)))
    })
}

fn not_allowed(zone: &str, place: &str) -> String {
    format!("`{}` is not allowed as {place}", excerpt(zone, ZONE_CHARS_MAX))
}

/// Whether the change sets what the rule is about: the zone, the expression (which may carry a
/// zone), or the schedule as such.
fn is_touched(before: Option<&Value>, schedule: &Value) -> bool {
    let (Some(Value::Object(before)), Value::Object(after)) = (before, schedule) else {
        return before.is_none_or(|before| !same(before, schedule));
    };
    differ(zones(before), zones(after))
        || differ(named(before, "expression"), named(after, "expression"))
}

/// Whether members are not the same.
fn differ<'v>(
    mut before: impl Iterator<Item = (&'v String, &'v Value)>,
    mut after: impl Iterator<Item = (&'v String, &'v Value)>,
) -> bool {
    loop {
        match (before.next(), after.next()) {
            (None, None) => return false,
            (Some(one), Some(other)) if one.0 == other.0 && same(one.1, other.1) => {}
            _ => return true,
        }
    }
}

/// An expression as a server reads it that goes by no character's width, nor by what is not seen.
fn in_plain_width(expression: &str) -> Cow<'_, str> {
    if expression.is_ascii() {
        return Cow::Borrowed(expression);
    }
    let words = expression.split_whitespace().map(|word| seen(word.nfkc()));
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

/// The text behind every `TZ=` of a cron expression, `CRON_TZ=` and `TZID=` included, in any
/// case, with a colon for the sign and white space around it: the text up to the next white space.
fn zones_within(expression: &str) -> impl Iterator<Item = &str> {
    let bytes = expression.as_bytes();
    let names = bytes.windows(2).enumerate().filter(|(_, name)| name.eq_ignore_ascii_case(b"tz"));
    names.filter_map(|(at, name)| {
        let rest = expression.get(at + name.len()..)?;
        let id = rest.get(..2).filter(|id| id.eq_ignore_ascii_case("id"));
        let rest = rest.get(id.map_or(0, str::len)..)?;
        let value = rest.trim_start().strip_prefix(['=', ':'])?;
        Some(value.split_whitespace().next().unwrap_or_default())
    })
}

/// The words of a cron expression that name a zone by themselves, wherever they stand: some
/// schedulers take one behind the fields.
fn zone_words(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split_whitespace();
    let words = words.map(|word| word.trim_matches(['[', ']', '(', ')', '"', '\'', ',', ';']));
    words.filter(|word| is_zone(word))
}

/// Whether a word is a zone, or an offset from UTC, and no field of a cron expression.
fn is_zone(word: &str) -> bool {
    if word.starts_with(['+', '-']) {
        return word.contains(|c: char| c.is_ascii_digit());
    }
    if !word.starts_with(|c: char| c.is_alphabetic()) || word.contains('=') {
        return false;
    }
    let is_path = word.split_once('/').is_some_and(|(area, place)| {
        area.chars().count() > 2 && place.starts_with(|c: char| c.is_alphabetic())
    });
    let is_offset = ["utc", "gmt"].iter().any(|name| {
        let start = word.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    });
    is_path
        || is_offset
        || word.eq_ignore_ascii_case("z")
        || TimeZoneDatabase::bundled().get(word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_searched_within_bounds() {
        let rule = TimezoneRule { allowed: vec!["UTC".to_owned()] };
        let judged = |expression: String| {
            rule.judge(
                "/schedule",
                &serde_json::json!({"expression": expression, "timezone": "UTC"}),
            )
        };
        assert!(judged("TZ=UTC 0 2 * * *".to_owned()).is_empty());
        assert!(judged("tz=".repeat(1_000)).first().unwrap().fault.contains("zone inside"));
        let long = judged("\u{fdfa}".repeat(1 << 20));
        assert!(long.first().unwrap().fault.contains("longer than 4096 bytes"));
    }

    #[test]
    fn other_names_of_a_zone_are_known_however_they_are_joined() {
        for name in ["tz", "TZ", "T-z", "t.Z", " t_z ", "ｔｚ", "t\u{200b}z", "t________z"] {
            assert!(is_joined_as(name, "tz"), "{name}");
        }
        for name in ["", "_", "t", "tzs", "atz", "т_z"] {
            assert!(!is_joined_as(name, "tz"), "{name}");
        }
    }

    #[test]
    fn every_zone_inside_an_expression_is_found() {
        for (expression, zones) in [
            ("0 2 * * *", vec![]),
            ("TZ=UTC 0 2 * * *", vec!["UTC"]),
            ("CRON_TZ=Asia/Tokyo 0 2 * * *", vec!["Asia/Tokyo"]),
            ("cron_tz = Asia/Tokyo 0 2 * * *", vec!["Asia/Tokyo"]),
            ("\u{3000}Tz\t=\u{a0}UTC 0 2 * * * tZ=Mars", vec!["UTC", "Mars"]),
            ("TZ=UTC;TZ=Mars 0 2 * * *", vec!["UTC;TZ=Mars", "Mars"]),
            ("TZ==UTC", vec!["=UTC"]),
            ("0 2 * * * TZ=", vec![""]),
            ("ＴＺ＝Mars 0 2 * * *", vec!["Mars"]),
            ("cron_t\u{200b}z=Mars\u{3000}0 2 * * *", vec!["Mars"]),
            ("TZ \"x\"", vec![]),
            ("TZID=America/New_York:0 2 * * *", vec!["America/New_York:0"]),
            ("tzid : Mars 0 2 * * *", vec!["Mars"]),
            ("é TZ=é", vec!["é"]),
        ] {
            let text = in_plain_width(expression);
            assert_eq!(zones_within(&text).collect::<Vec<_>>(), zones, "{expression}");
        }
    }

    #[test]
    fn a_word_that_is_a_zone_is_one_wherever_it_stands() {
        for (expression, zones) in [
            ("0 2 * * *", vec![]),
            ("0 0/5 14,18 ? JAN,FEB MON-FRI 2026", vec![]),
            ("0 2 L * 6#3", vec![]),
            ("H H(0-7) LW * FRIL", vec![]),
            ("@daily", vec![]),
            ("0 2 * * MON/2", vec![]),
            ("0 2 * * * America/New_York", vec!["America/New_York"]),
            ("0 2 * * * america/new_york", vec!["america/new_york"]),
            ("0 2 * * * (UTC)", vec!["UTC"]),
            ("EST5EDT 0 2 * * *", vec!["EST5EDT"]),
            ("0 2 * * * +08:00", vec!["+08:00"]),
            ("0 2 * * * GMT-5 Japan", vec!["GMT-5", "Japan"]),
            ("0 2 * * * Mars/Phobos", vec!["Mars/Phobos"]),
        ] {
            assert_eq!(zone_words(expression).collect::<Vec<_>>(), zones, "{expression}");
        }
    }
}
