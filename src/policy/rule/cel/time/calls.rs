//! The functions on time.

use cel::common::types::{CelInt, CelString, DURATION_TYPE, TIMESTAMP_TYPE};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};
use jiff::{SignedDuration, Timestamp, Zoned};

use super::super::given::{Given, first, mismatch, whole as int};
use super::{Length, Moment, length_text, out_of_range, shown};

/// A part of a moment on the clocks of a zone.
type Part = fn(&Zoned) -> i64;

/// A whole part of a length.
type Whole = fn(&SignedDuration) -> i64;

/// Defines the functions `name()` and `name(zone)` on moments.
macro_rules! parts {
    ($($rust:ident $name:literal $part:expr;)*) => {
        $(
            fn $rust<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
                part(&args, $part)
            }
        )*

        const PARTS: &[(&str, cel::common::functions::Function)] = &[$(($name, $rust),)*];
    };
}

parts! {
    full_year "getFullYear" |at| i64::from(at.year());
    month "getMonth" |at| i64::from(at.month()) - 1;
    date "getDate" |at| i64::from(at.day());
    day_of_month "getDayOfMonth" |at| i64::from(at.day()) - 1;
    day_of_week "getDayOfWeek" |at| i64::from(at.weekday().to_sunday_zero_offset());
    day_of_year "getDayOfYear" |at| i64::from(at.day_of_year()) - 1;
    hours "getHours" |at| i64::from(at.hour());
    minutes "getMinutes" |at| i64::from(at.minute());
    seconds "getSeconds" |at| i64::from(at.second());
    milliseconds "getMilliseconds" |at| i64::from(at.millisecond());
}

fn part<'b, 'v>(args: &[CowVal<'b, 'v>], part: Part) -> Given<'b, 'v> {
    let moment = args.first().and_then(|at| at.downcast_ref::<Moment>());
    let moment = moment.ok_or_else(|| mismatch("timestamp"))?;
    let zone = args.get(1).and_then(|zone| zone.downcast_ref::<CelString>());
    Ok(int(part(&moment.within(zone.map(CelString::inner))?)))
}

/// Defines the functions on lengths.
macro_rules! wholes {
    ($($rust:ident $name:literal $whole:expr;)*) => {
        $(
            fn $rust<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
                whole(&args, $whole)
            }
        )*

        const WHOLES: &[(&str, cel::common::functions::Function)] = &[$(($name, $rust),)*];
    };
}

wholes! {
    length_hours "getHours" SignedDuration::as_hours;
    length_minutes "getMinutes" SignedDuration::as_mins;
    length_seconds "getSeconds" SignedDuration::as_secs;
    length_milliseconds "getMilliseconds" |length| i64::from(length.subsec_millis());
}

fn whole<'b, 'v>(args: &[CowVal<'b, 'v>], whole: Whole) -> Given<'b, 'v> {
    let length = args.first().and_then(|length| length.downcast_ref::<Length>());
    let length = length.ok_or_else(|| mismatch("duration"))?;
    Ok(int(whole(&length.0)))
}

/// Makes the functions on time known.
pub(in super::super) fn add_to(env: &mut Env) -> Result<(), cel::DeclarationError> {
    use cel::common::types::{INT_TYPE, STRING_TYPE};
    env.add_type(TIMESTAMP_TYPE)?;
    env.add_type(DURATION_TYPE)?;
    for (name, function) in PARTS {
        let id = format!("timestamp.{name}");
        env.add_member_overload(name, &id, TIMESTAMP_TYPE, vec![], *function)?;
        let id = format!("timestamp.{name}.zone");
        env.add_member_overload(name, &id, TIMESTAMP_TYPE, vec![STRING_TYPE], *function)?;
    }
    for (name, function) in WHOLES {
        let id = format!("duration.{name}");
        env.add_member_overload(name, &id, DURATION_TYPE, vec![], *function)?;
    }
    for (argument, id) in [(STRING_TYPE, "text"), (INT_TYPE, "int"), (TIMESTAMP_TYPE, "same")] {
        env.add_overload("timestamp", &format!("timestamp.{id}"), vec![argument], to_moment)?;
    }
    for (argument, id) in [(STRING_TYPE, "text"), (INT_TYPE, "int"), (DURATION_TYPE, "same")] {
        env.add_overload("duration", &format!("duration.{id}"), vec![argument], to_length)?;
    }
    for (argument, id) in [(TIMESTAMP_TYPE, "timestamp"), (DURATION_TYPE, "duration")] {
        env.add_overload("string", &format!("string.{id}"), vec![argument], to_text)?;
    }
    env.add_overload("int", "int.timestamp", vec![TIMESTAMP_TYPE], to_int)
}

fn to_moment<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let value = first(args)?;
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Moment::parse(text.inner()).map(CowVal::owned);
    }
    let Some(seconds) = value.downcast_ref::<CelInt>() else { return Ok(value) };
    let at = Timestamp::from_second(*seconds.inner());
    Moment::new(at.map_err(|_error| out_of_range("timestamp"))?).map(CowVal::owned)
}

fn to_length<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let value = first(args)?;
    if let Some(text) = value.downcast_ref::<CelString>() {
        let length = length_text::parse(text.inner()).ok_or_else(|| {
            ExecutionError::function_error("duration", "it is not a length of time such as 1h30m")
        })?;
        return Length::new(length).map(CowVal::owned);
    }
    let Some(seconds) = value.downcast_ref::<CelInt>() else { return Ok(value) };
    Length::new(SignedDuration::from_secs(*seconds.inner())).map(CowVal::owned)
}

fn to_text<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let text = shown(first(args)?.as_ref()).ok_or_else(|| mismatch("string"))?;
    Ok(CowVal::owned(CelString::from(text)))
}

fn to_int<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Given<'b, 'v> {
    let value = first(args)?;
    let moment = value.downcast_ref::<Moment>().ok_or_else(|| mismatch("int"))?;
    Ok(int(moment.0.as_second()))
}
