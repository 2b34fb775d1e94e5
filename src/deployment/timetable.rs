//! When a schedule fires: a five-field cron expression, read in an IANA time zone.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::clock::Timestamp;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

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

    /// The moments at which the schedule fires, from the first one after `after` on.
    pub(crate) fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        let start = jiff::Timestamp::from_millisecond(after.millis()).ok();
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
