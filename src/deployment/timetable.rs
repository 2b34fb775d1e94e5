//! When a schedule fires: a five-field cron expression, read in an IANA time zone.

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::clock::Timestamp;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A year that has every day that a month may have.
const LEAP_YEAR: i32 = 2028;

/// A schedule that is known to be readable.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

/// A fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimetableError {
    /// Another number of fields than five.
    #[error("cron expression must have exactly 5 fields")]
    Fields,
    /// More than POSIX knows: seconds, years, nicknames, `L`, `W`, `#`.
    #[error("cron expression holds what is not a POSIX cron field")]
    NotPosix,
    /// A field out of its bounds, say.
    #[error("invalid cron expression: {0}")]
    Invalid(String),
    /// A name that the time zone database does not have, letter by letter.
    #[error("the time zone is not an IANA time zone name")]
    Zone,
}

impl Timetable {
    /// Reads an expression and the name of its zone. Only the five POSIX fields are taken, with
    /// lists, ranges, steps and English names.
    pub(crate) fn parse(expression: &str, zone: &str) -> Result<Self, TimetableError> {
        Ok(Self { cron: cron(expression)?, zone: named_zone(zone)? })
    }

    /// Whether it ever fires: one for the 31st of February does not.
    pub(crate) fn fires(&self) -> bool {
        let pattern = &self.cron.pattern;
        // Every month has every weekday, and one of them suffices where a day is told too.
        !pattern.is_dow_wildcard()
            || (1..=12).any(|month| {
                pattern.month_match(month).unwrap_or(false)
                    && (1..=31).any(|day| {
                        let matches = pattern.day_match(LEAP_YEAR, month, day, Weekday::Sunday);
                        matches.unwrap_or(false)
                    })
            })
    }

    /// The moments within a time at which the zone's clocks change.
    pub(crate) fn clock_changes(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let from = jiff::Timestamp::from_millisecond(from.millis()).ok();
        let changes = from.into_iter().flat_map(|from| self.zone.following(from));
        changes
            .map(|change| Timestamp::from_millis(change.timestamp().as_millisecond()))
            .take_while(move |at| *at < until)
    }

    /// A moment on the clocks of the zone: `2026-11-29 10:00 +08:00`.
    pub(crate) fn local(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(at.millis()) {
            Ok(at) => at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string(),
            Err(_out_of_range) => at.to_string(),
        }
    }

    /// The moments at which the schedule fires, from the first one after `after` on.
    pub(crate) fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        // Looked at first: a day that never comes would be searched for through all years.
        let start = self.fires().then(|| jiff::Timestamp::from_millisecond(after.millis()));
        let start = start.and_then(Result::ok);
        let start = start.map(|at| at.to_zoned(self.zone.clone()));
        let step = |at: &jiff::Zoned| self.cron.find_next_occurrence(at, false).ok();
        std::iter::successors(start.and_then(|at| step(&at)), step)
            .map(|at| Timestamp::from_millis(at.timestamp().as_millisecond()))
    }
}

fn cron(expression: &str) -> Result<Cron, TimetableError> {
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(TimetableError::Fields);
    };
    let plain = [minute, hour, day].iter().all(|field| is_plain(field, &[]));
    if !(plain && is_plain(month, &MONTHS) && is_plain(weekday, &WEEKDAYS)) {
        return Err(TimetableError::NotPosix);
    }
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(&fields.join(" "))
        .map_err(|error| TimetableError::Invalid(error.to_string()))
}

fn is_plain(field: &str, names: &[&str]) -> bool {
    field.split([',', '-', '/']).all(|word| {
        word == "*"
            || (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
            || names.iter().any(|name| name.eq_ignore_ascii_case(word))
    })
}

/// The zone of exactly that name: the time zone database is looked up without regard to case.
fn named_zone(name: &str) -> Result<TimeZone, TimetableError> {
    let zone = TimeZoneDatabase::bundled().get(name).ok();
    zone.filter(|zone| zone.iana_name() == Some(name)).ok_or(TimetableError::Zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn what_never_fires_is_known_without_a_search() {
        let start = at("2026-11-29T00:00:00Z");
        for day in 1..=31 {
            for months in ["*", "2", "FEB", "4", "2,4,6,9,11", "*/2", "1"] {
                for weekday in ["*", "1", "*/2", "0-6"] {
                    let expression = format!("0 9 {day} {months} {weekday}");
                    let timetable = Timetable::parse(&expression, "UTC").unwrap();
                    let found = timetable.cron.find_next_occurrence(
                        &jiff::Timestamp::from_millisecond(start.millis())
                            .unwrap()
                            .to_zoned(TimeZone::UTC),
                        false,
                    );
                    assert_eq!(timetable.fires(), found.is_ok(), "{expression}");
                    assert_eq!(timetable.after(start).next().is_some(), found.is_ok());
                }
            }
        }
    }

    #[test]
    fn only_plain_fields_of_posix_are_read() {
        for expression in [
            "",
            "*",
            "* * * *",
            "* * * * * *",
            "0 0 9 * * *",
            "0 9 * * * 2027",
            "@daily",
            "@hourly",
            "@reboot",
            "@every 5m",
            "0 9 L * *",
            "0 9 15W * *",
            "0 9 LW * *",
            "0 9 * * 6#3",
            "0 9 * * 5L",
            "0 9 ? * *",
            "0 9 * * ?",
            "0 9 L-3 * *",
            "H 9 * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * 0 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "1,,2 * * * *",
            ",1 * * * *",
            "1- * * * *",
            "-1 * * * *",
            "1/ * * * *",
            "/5 * * * *",
            "JAN * * * *",
            "* * * MON *",
            "* * * * JAN",
            "* * * * MONDAY",
            "TZ=UTC 0 9 * * *",
            "0 9 * * 1 UTC",
            "\u{ff10} 9 * * *",
            "0\u{a0}9 * * *",
            "0\u{3000}9 * * * *",
            "0 9 * * \u{217}",
            "~ 9 * * *",
            "0 9 +1 * 1",
            "0 9 * * +1",
            "*,* * * * * *",
        ] {
            assert!(Timetable::parse(expression, "UTC").is_err(), "{expression:?}");
        }
        for expression in [
            "* * * * *",
            "0 9 * * *",
            " 0\t9 * * *\n",
            "0 9 * * MON-FRI",
            "0 9 * jan,feb sun",
            "*/15 0-6,18-23 1,15 * 0",
            "0 9 * * 7",
            "00 09 * * *",
            "0-59/10 * * * *",
        ] {
            assert!(Timetable::parse(expression, "UTC").is_ok(), "{expression:?}");
        }
        for zone in ["", "utc", "UTC ", "Mars/Phobos", "+08:00", "asia/shanghai", "GMT+25"] {
            let found = Timetable::parse("0 9 * * *", zone).unwrap_err();
            assert_eq!(found, TimetableError::Zone, "{zone}");
        }
    }
}
