//! When a schedule fires: a five-field cron expression, read in an IANA time zone.

use serde_json::Value;

use super::problem::Problem;
use crate::base::clock::Timestamp;
use crate::deployment::timetable::{self, TimetableError};

/// A schedule that is known to be readable, and to fire.
#[derive(Clone, Debug)]
pub(super) struct Timetable(timetable::Timetable);

impl Timetable {
    /// Reads a schedule, which must carry `type`, `expression` and `timezone`.
    pub(super) fn read(schedule: &Value) -> Result<Self, Problem> {
        if text(schedule, "type")? != "cron" {
            return Err(Problem::field("schedule.type", "schedule.type must be \"cron\""));
        }
        let (expression, zone) = (text(schedule, "expression")?, text(schedule, "timezone")?);
        let timetable = timetable::Timetable::parse(expression, zone).map_err(|error| {
            if error == TimetableError::Zone {
                let message = "schedule.timezone must be an IANA time zone name";
                return Problem::field("schedule.timezone", message);
            }
            Problem::field("schedule.expression", error.to_string())
        })?;
        if !timetable.fires() {
            return Err(Problem::field("schedule.expression", "the schedule never fires"));
        }
        Ok(Self(timetable))
    }

    /// The moments at which the schedule fires, from the first one after `after` on.
    pub(super) fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.0.after(after)
    }
}

/// A moment as the API prints it: RFC 3339 in UTC with whole seconds.
pub(super) fn seconds(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.unix_seconds())
        .map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn text<'a>(schedule: &'a Value, member: &str) -> Result<&'a str, Problem> {
    schedule.get(member).and_then(Value::as_str).ok_or_else(|| {
        let message = "schedule must carry type, expression and timezone as strings";
        Problem::field(format!("schedule.{member}"), message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(expression: &str, zone: &str) -> Result<Timetable, Problem> {
        Timetable::read(&serde_json::json!(
            {"type": "cron", "expression": expression, "timezone": zone}
        ))
    }

    #[test]
    fn a_schedule_fires_by_its_zone_across_a_clock_change() {
        let berlin = timetable("30 9 * * mon-fri", "Europe/Berlin").unwrap();
        let friday = Timestamp::parse("2026-03-27T08:30:00Z").unwrap();
        let fires: Vec<String> = berlin.after(friday).take(2).map(seconds).collect();
        assert_eq!(fires, ["2026-03-30T07:30:00Z", "2026-03-31T07:30:00Z"]);
    }

    #[test]
    fn only_five_posix_fields_and_exact_zone_names_are_read() {
        for good in ["* * * * *", "*/5 0-23/2 1,15 jan-MAR SUN", "0 0 * * 7"] {
            assert!(timetable(good, "UTC").is_ok(), "{good}");
        }
        let bad = ["", "* * * *", "0 * * * * *", "@daily", "0 0 L * *", "0 0 * * 1#2", "? * * * *"]
            .into_iter()
            .chain([
                "60 * * * *",
                "0 0 30 2 *",
                "TZ=UTC * * * * *",
                "0 0 * * +1",
                "0 0 * MON *",
                "5-1 * * * *",
            ]);
        for bad in bad {
            assert_eq!(
                timetable(bad, "UTC").unwrap_err().param.as_deref(),
                Some("schedule.expression"),
                "{bad}"
            );
        }
        for bad in ["", "asia/shanghai", "Mars/Olympus", "+08:00", "CST-8"] {
            assert!(timetable("* * * * *", bad).is_err(), "{bad}");
        }
    }
}
