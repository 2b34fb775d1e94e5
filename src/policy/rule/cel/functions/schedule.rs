//! Functions on schedules: when they fire, in their own zone, changes of the clock counted.

use cel::ExecutionError;
use cel::common::types::{CelInt, CelList, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use jiff::SignedDuration;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::super::given::{Given, exactly, mismatch, whole};
use super::super::meter;
use super::super::time::{Length, Moment};
use crate::base::clock::Timestamp;
use crate::deployment::timetable::Timetable;

/// The runs that are looked at, unless a day has more.
const RUNS_MAX: usize = 400;

/// A day, in milliseconds.
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// What one run costs to compute.
const STEPS_PER_RUN: usize = 4;

/// `firesPerDay(schedule)`: the most runs within any 24 hours, over the next 400 runs or the next
/// day; none where there is no schedule.
pub(super) fn fires_per_day<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [schedule, now] = exactly(&args)?;
    let Some(timetable) = timetable(schedule.as_ref())? else {
        return Ok(whole(0));
    };
    let now = moment(now.as_ref())?;
    let (mut day, mut most, mut runs) = (std::collections::VecDeque::new(), 0, 0);
    for run in timetable.after(now) {
        meter::visit(STEPS_PER_RUN)?;
        runs += 1;
        if runs > RUNS_MAX && run.millis() - now.millis() > DAY_MILLIS {
            break;
        }
        day.push_back(run.millis());
        while day.front().is_some_and(|first| run.millis() - first >= DAY_MILLIS) {
            day.pop_front();
        }
        most = most.max(day.len());
    }
    Ok(whole(most))
}

/// `nextRuns(schedule, n)`: the next runs, at most so many; none where there is no schedule.
pub(super) fn next_runs<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [schedule, count, now] = exactly(&args)?;
    let count = count.downcast_ref::<CelInt>().map(|count| *count.inner());
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count <= RUNS_MAX).ok_or_else(|| {
        let message = format!("the number of runs is not between 0 and {RUNS_MAX}");
        ExecutionError::function_error("nextRuns", message)
    })?;
    let Some(timetable) = timetable(schedule.as_ref())? else {
        return Ok(CowVal::owned(CelList::default()));
    };
    let mut runs: Vec<Box<dyn Val + 'v>> = Vec::new();
    for run in timetable.after(moment(now.as_ref())?).take(count) {
        meter::visit(STEPS_PER_RUN)?;
        runs.push(Box::new(Moment::from(run)));
    }
    Ok(CowVal::owned(CelList::from(runs)))
}

/// `zoneOffset(zone, time)`: how far the zone's clocks are ahead of UTC at that time.
pub(super) fn zone_offset<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let [zone, at] = exactly(&args)?;
    let zone = zone.downcast_ref::<CelString>().ok_or_else(|| mismatch("zoneOffset"))?;
    let zone = named_zone(zone.inner())?;
    let at = at.downcast_ref::<Moment>().ok_or_else(|| mismatch("zoneOffset"))?;
    let seconds = i64::from(zone.to_offset(at.inner()).seconds());
    Ok(CowVal::owned(Length::from(SignedDuration::from_secs(seconds))))
}

fn named_zone(name: &str) -> Result<TimeZone, ExecutionError> {
    TimeZoneDatabase::bundled().get(name).map_err(|_unknown| {
        ExecutionError::function_error("zoneOffset", "there is no such time zone")
    })
}

fn moment(value: &dyn Val) -> Result<Timestamp, ExecutionError> {
    let moment = value.downcast_ref::<Moment>().ok_or_else(|| mismatch("nextRuns"))?;
    Ok(Timestamp::from_millis(moment.inner().as_millisecond()))
}

fn timetable(schedule: &dyn Val) -> Result<Option<Timetable>, ExecutionError> {
    if schedule.downcast_ref::<CelNull>().is_some() {
        return Ok(None);
    }
    let member = |name: &'static str| {
        let members = schedule.as_indexer().ok_or_else(|| mismatch("nextRuns"))?;
        let member = members.get(&CelString::from(name))?;
        let text = member.downcast_ref::<CelString>().map(|text| text.inner().to_owned());
        text.ok_or_else(|| mismatch("nextRuns"))
    };
    let (expression, zone) = (member("expression")?, member("timezone")?);
    meter::visit(RUNS_MAX / 8)?;
    Timetable::parse(&expression, &zone)
        .map(Some)
        .map_err(|error| ExecutionError::function_error("nextRuns", error))
}
