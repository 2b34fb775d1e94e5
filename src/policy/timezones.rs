//! The built-in rule on time zones.

use std::borrow::Cow;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use super::decide::Found;
use super::{Enforcement, Violation};
use crate::deployment::Object;
use crate::deployment::diff::same;
use crate::deployment::excerpt::excerpt;
use crate::deployment::members::Members;
use crate::deployment::name::{is_taken_for, seen};
use crate::deployment::pointer::child;

/// The rule's name in violations.
const RULE: &str = "timezones";

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
    /// What a violation does.
    pub enforcement: Enforcement,
}

impl TimezoneRule {
    /// Notes every zone of `reading` that is not allowed, and every schedule that has none.
    pub(super) fn check(&self, before: &Members<'_>, reading: &Members<'_>, found: &mut dyn Found) {
        for (name, schedule) in reading.taken_for("schedule") {
            if schedule.is_null() {
                continue;
            }
            let touched = is_touched(before.get(name), schedule);
            for violation in self.judge(&child("", name), schedule) {
                found.add(touched, violation);
            }
        }
    }

    fn judge(&self, path: &str, schedule: &Value) -> Vec<Violation> {
        let Value::Object(members) = schedule else {
            let fault = "the schedule is no object, so its zone can't be told".to_owned();
            return vec![self.violation(path.to_owned(), &fault, Some(schedule))];
        };
        let mut found = Vec::new();
        if !members.contains_key("timezone") {
            let fault = "the schedule has no timezone";
            found.push(self.violation(child(path, "timezone"), fault, None));
        }
        for (name, zone) in named(members, "timezone") {
            if !zone.as_str().is_some_and(|zone| self.allows(zone)) {
                let fault = match zone {
                    Value::String(zone) => not_allowed(zone, "schedule.timezone"),
                    _ => "schedule.timezone is no text".to_owned(),
                };
                found.push(self.violation(child(path, name), &fault, Some(zone)));
            }
        }
        for (name, expression) in named(members, "expression") {
            let path = child(path, name);
            let Value::String(text) = expression else {
                let fault = "schedule.expression is no text, so its zone can't be told";
                found.push(self.violation(path, fault, Some(expression)));
                continue;
            };
            if text.len() > EXPRESSION_BYTES_MAX {
                let fault = format!(
                    "schedule.expression is longer than {EXPRESSION_BYTES_MAX} bytes, so its zone \
                     can't be told"
                );
                found.push(self.violation(path, &fault, Some(expression)));
                continue;
            }
            let text = in_plain_width(text);
            if let Some(zone) = zones_within(&text).find(|zone| !self.allows(zone)) {
                let fault = not_allowed(zone, "the zone inside schedule.expression");
                found.push(self.violation(path, &fault, Some(&zone.into())));
            }
        }
        found
    }

    fn allows(&self, zone: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == zone)
    }

    fn violation(&self, path: String, fault: &str, actual: Option<&Value>) -> Violation {
        let shown: Vec<&str> =
            self.allowed.iter().take(ZONES_SHOWN_MAX).map(String::as_str).collect();
        let more = match self.allowed.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" ({more} more are allowed)"),
        };
        Violation {
            rule: RULE.to_owned(),
            enforcement: self.enforcement,
            path,
            message: format!("{RULE}: {fault}: use {}{more}", shown.join(" or ")),
            actual: actual.cloned(),
        }
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

fn not_allowed(zone: &str, place: &str) -> String {
    format!("`{}` is not allowed as {place}", excerpt(zone, ZONE_CHARS_MAX))
}

/// Whether the change sets what the rule is about: the zone, the expression (which may carry a
/// zone), or the schedule as such.
fn is_touched(before: Option<&Value>, schedule: &Value) -> bool {
    let (Some(Value::Object(before)), Value::Object(after)) = (before, schedule) else {
        return before.is_none_or(|before| !same(before, schedule));
    };
    ["timezone", "expression"].iter().any(|name| {
        let mut after = named(after, name);
        let mut before = named(before, name);
        loop {
            match (before.next(), after.next()) {
                (None, None) => return false,
                (Some(one), Some(other)) if one.0 == other.0 && same(one.1, other.1) => {}
                _ => return true,
            }
        }
    })
}

/// An expression as a server reads it that goes by no character's width, nor by what is not seen.
fn in_plain_width(expression: &str) -> Cow<'_, str> {
    if expression.is_ascii() {
        return Cow::Borrowed(expression);
    }
    let words = expression.split_whitespace().map(|word| seen(word.nfkc()));
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

/// What stands behind every `TZ=` of a cron expression, `CRON_TZ=` included, in any case and with
/// white space around the sign: the text up to the next white space.
fn zones_within(expression: &str) -> impl Iterator<Item = &str> {
    let bytes = expression.as_bytes();
    let names = bytes.windows(2).enumerate().filter(|(_, name)| name.eq_ignore_ascii_case(b"tz"));
    names.filter_map(|(at, name)| {
        let value = expression.get(at + name.len()..)?.trim_start().strip_prefix('=')?;
        Some(value.split_whitespace().next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_searched_within_bounds() {
        let rule = TimezoneRule { allowed: vec!["UTC".to_owned()], enforcement: Enforcement::Deny };
        let judged = |expression: String| {
            rule.judge(
                "/schedule",
                &serde_json::json!({"expression": expression, "timezone": "UTC"}),
            )
        };
        assert!(judged("TZ=UTC 0 2 * * *".to_owned()).is_empty());
        assert!(judged("tz=".repeat(1_000)).first().unwrap().message.contains("zone inside"));
        let long = judged("\u{fdfa}".repeat(1 << 20));
        assert!(long.first().unwrap().message.contains("longer than 4096 bytes"), "{long:?}");
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
            ("é TZ=é", vec!["é"]),
        ] {
            let text = in_plain_width(expression);
            assert_eq!(zones_within(&text).collect::<Vec<_>>(), zones, "{expression}");
        }
    }
}
