//! Moments and lengths of time, on the time zone database that everything else here uses.
//!
//! The interpreter has its own, which would bring a second database of another age.

use std::any::Any;
use std::cmp::Ordering;

use cel::ExecutionError;
use cel::common::traits::{Adder, Comparer, Negator, Subtractor, Zeroer};
use cel::common::types::{DURATION_TYPE, TIMESTAMP_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, Zoned};

use super::given::{Given, mismatch};

mod calls;
mod length_text;

pub(super) use self::calls::add_to;

static MOMENT: Type = TIMESTAMP_TYPE;
static LENGTH: Type = DURATION_TYPE;

/// The first second of a `timestamp`, of the year 1. The last one is the library's, near the end of
/// the year 9999.
const FIRST_SECOND: i128 = -62_135_596_800;

/// The longest `duration`, in seconds, either way.
const LENGTH_SECONDS_MAX: i64 = 315_576_000_000;

/// A `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(Timestamp);

/// A `duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length(SignedDuration);

impl Moment {
    pub(super) fn inner(self) -> Timestamp {
        self.0
    }

    fn new(at: Timestamp) -> Result<Self, ExecutionError> {
        let is_too_early = at.as_nanosecond() < FIRST_SECOND * 1_000_000_000;
        if is_too_early { Err(out_of_range("timestamp")) } else { Ok(Self(at)) }
    }

    fn moved(self, by: SignedDuration) -> Result<Self, ExecutionError> {
        let moved = self.0.checked_add(by).map_err(|_error| out_of_range("timestamp"))?;
        Self::new(moved)
    }

    fn parse(text: &str) -> Result<Self, ExecutionError> {
        let wrong = || ExecutionError::function_error("timestamp", "it is not an RFC 3339 time");
        let is_strict = text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T');
        let at = text.parse::<Timestamp>().map_err(|_error| wrong())?;
        if is_strict && !text.contains('[') { Self::new(at) } else { Err(wrong()) }
    }

    /// The moment on the clocks of a zone: a name, or an offset such as `-08:00`.
    fn within(self, zone: Option<&str>) -> Result<Zoned, ExecutionError> {
        let Some(zone) = zone.filter(|zone| !zone.is_empty()) else {
            return Ok(self.0.to_zoned(TimeZone::UTC));
        };
        let unknown = || ExecutionError::function_error("timestamp", "there is no such time zone");
        let zone = match zone.split_once(':') {
            None => TimeZoneDatabase::bundled().get(zone).map_err(|_error| unknown())?,
            Some((hours, minutes)) => {
                let sign = if hours.starts_with('-') { -1 } else { 1 };
                let hours: i32 = hours.parse().map_err(|_error| unknown())?;
                let minutes: i32 = minutes.parse().map_err(|_error| unknown())?;
                if hours.abs() > 23 || !(0..60).contains(&minutes) {
                    return Err(unknown());
                }
                let seconds = hours * 3_600 + sign * minutes * 60;
                Offset::from_seconds(seconds).map_err(|_error| unknown())?.to_time_zone()
            }
        };
        Ok(self.0.to_zoned(zone))
    }
}

impl From<crate::base::clock::Timestamp> for Moment {
    fn from(at: crate::base::clock::Timestamp) -> Self {
        Self(Timestamp::from_millisecond(at.millis()).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl From<SignedDuration> for Length {
    fn from(length: SignedDuration) -> Self {
        Self(length)
    }
}

impl Length {
    fn new(length: SignedDuration) -> Result<Self, ExecutionError> {
        let fits = length.as_secs().abs() <= LENGTH_SECONDS_MAX;
        if fits { Ok(Self(length)) } else { Err(out_of_range("duration")) }
    }
}

fn out_of_range(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "it is out of range")
}

impl Val for Moment {
    fn get_type(&self) -> &Type {
        &MOMENT
    }

    fn cel_type() -> &'static Type {
        &MOMENT
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Moment {}

impl Val for Length {
    fn get_type(&self) -> &Type {
        &LENGTH
    }

    fn cel_type() -> &'static Type {
        &LENGTH
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn as_negator<'b, 'v>(&'b self) -> Option<&'b (dyn Negator + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Length {}

impl Adder for Moment {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Given<'b, 'v>
    where
        Self: 'v,
    {
        let length = rhs.downcast_ref::<Length>().ok_or_else(|| mismatch("_+_"))?;
        self.moved(length.0).map(CowVal::owned)
    }
}

impl Subtractor for Moment {
    fn sub<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Given<'b, 'v>
    where
        Self: 'v,
    {
        if let Some(length) = rhs.downcast_ref::<Length>() {
            return self.moved(-length.0).map(CowVal::owned);
        }
        let other = rhs.downcast_ref::<Self>().ok_or_else(|| mismatch("_-_"))?;
        Length::new(self.0.duration_since(other.0)).map(CowVal::owned)
    }
}

impl Comparer for Moment {
    fn compare(&self, rhs: &dyn Val) -> Result<Ordering, ExecutionError> {
        let other = rhs.downcast_ref::<Self>().ok_or_else(|| mismatch("_<_"))?;
        Ok(self.0.cmp(&other.0))
    }
}

impl Zeroer for Moment {
    fn is_zero_value(&self) -> bool {
        self.0 == Timestamp::UNIX_EPOCH
    }
}

impl Adder for Length {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Given<'b, 'v>
    where
        Self: 'v,
    {
        if let Some(moment) = rhs.downcast_ref::<Moment>() {
            return moment.moved(self.0).map(CowVal::owned);
        }
        let other = rhs.downcast_ref::<Self>().ok_or_else(|| mismatch("_+_"))?;
        let sum = self.0.checked_add(other.0).ok_or_else(|| out_of_range("duration"))?;
        Self::new(sum).map(CowVal::owned)
    }
}

impl Subtractor for Length {
    fn sub<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Given<'b, 'v>
    where
        Self: 'v,
    {
        let other = rhs.downcast_ref::<Self>().ok_or_else(|| mismatch("_-_"))?;
        let difference = self.0.checked_sub(other.0).ok_or_else(|| out_of_range("duration"))?;
        Self::new(difference).map(CowVal::owned)
    }
}

impl Negator for Length {
    fn negate<'v>(&self) -> Result<Box<dyn Val + 'v>, ExecutionError> {
        let negated = self.0.checked_neg().ok_or_else(|| out_of_range("duration"))?;
        Ok(Box::new(Self::new(negated)?))
    }
}

impl Comparer for Length {
    fn compare(&self, rhs: &dyn Val) -> Result<Ordering, ExecutionError> {
        let other = rhs.downcast_ref::<Self>().ok_or_else(|| mismatch("_<_"))?;
        Ok(self.0.cmp(&other.0))
    }
}

impl Zeroer for Length {
    fn is_zero_value(&self) -> bool {
        self.0.is_zero()
    }
}

/// The text of a moment, or of a length.
pub(super) fn shown(value: &dyn Val) -> Option<String> {
    let moment = value.downcast_ref::<Moment>().map(|moment| moment.0.to_string());
    moment.or_else(|| value.downcast_ref::<Length>().map(|length| length_text::print(length.0)))
}
