//! The only reader of time. Everything else is handed a [`Clock`] or a [`Timestamp`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use utoipa::ToSchema;

/// A moment: whole milliseconds since the Unix epoch, UTC. Prints as RFC 3339 with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime)]
#[schema(description = "A moment in UTC: RFC 3339 with milliseconds.")]
pub struct Timestamp(i64);

/// Text that is not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time such as 2026-06-14T08:58:11Z")]
pub struct BadTimestamp {
    /// The text that was given, cut to 64 characters.
    pub text: String,
}

impl Timestamp {
    /// The moment `millis` after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads an RFC 3339 time with any offset; digits past the millisecond are dropped.
    pub fn parse(text: &str) -> Result<Self, BadTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|at| Self(at.as_millisecond()))
            .map_err(|_source| BadTimestamp { text: text.chars().take(64).collect() })
    }

    /// The same, where a time beyond the last that can be told, such as the end of 9999, is that
    /// last one.
    pub fn parse_clamped(text: &str) -> Result<Self, BadTimestamp> {
        let is_beyond = || {
            let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
            (pieces.offset().is_some() && pieces.time().is_some() && pieces.date().year() == 9999)
                .then_some(Self(jiff::Timestamp::MAX.as_second() * 1_000))
        };
        Self::parse(text).or_else(|bad| is_beyond().ok_or(bad))
    }

    /// This moment moved by `duration` into the future.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// That long before.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_out_of_range) => write!(f, "{}ms", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The same moment on both of a clock's faces.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time that is recorded and told.
    pub at: Timestamp,
    /// The instant that durations are measured from.
    pub instant: Instant,
}

/// Where time comes from: the machine, or a test's hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until a test moves it.
    Manual(ManualClock),
}

impl Clock {
    /// The wall clock's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this is the one place that reads it"
                )]
                let now = SystemTime::now();
                let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(manual) => Timestamp(manual.wall.load(Ordering::SeqCst)),
        }
    }

    /// This moment.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { at: self.now(), instant: self.instant() }
    }

    /// Time that never runs backwards, for measuring durations.
    #[must_use]
    pub fn instant(&self) -> Instant {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
            Self::System => Instant::now(),
            Self::Manual(manual) => {
                manual.started + Duration::from_millis(manual.passed.load(Ordering::SeqCst))
            }
        }
    }

    /// The processor's time that this thread has taken: a busy machine lets none of it pass.
    pub(crate) fn thread_time(&self) -> Duration {
        match self {
            Self::System => {
                let taken = clock_gettime(ClockId::ThreadCPUTime);
                let seconds = u64::try_from(taken.tv_sec).unwrap_or(0);
                Duration::new(seconds, u32::try_from(taken.tv_nsec).unwrap_or(0))
            }
            Self::Manual(manual) => Duration::from_millis(manual.passed.load(Ordering::SeqCst)),
        }
    }
}

/// A clock for tests; its clones move together.
#[derive(Clone, Debug)]
pub struct ManualClock {
    /// Milliseconds since the Unix epoch, as the wall clock shows them.
    wall: Arc<AtomicI64>,
    /// Milliseconds that have passed since `started`, whatever the wall clock shows.
    passed: Arc<AtomicU64>,
    started: Instant,
}

impl ManualClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        let (wall, passed) = (Arc::new(AtomicI64::new(at.0)), Arc::default());
        Self { wall, passed, started: Clock::System.instant() }
    }

    /// Moves this clock and its clones forward.
    pub fn advance(&self, by: Duration) {
        let millis = u32::try_from(by.as_millis()).unwrap_or(u32::MAX);
        self.wall.fetch_add(millis.into(), Ordering::SeqCst);
        self.passed.fetch_add(millis.into(), Ordering::SeqCst);
    }

    /// Sets the wall clock of this clock and its clones, forward or back: no time passes.
    pub fn set(&self, at: Timestamp) {
        self.wall.store(at.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_milliseconds_and_reads_any_offset() {
        let at = Timestamp::parse("2026-06-14T16:58:11.1239+08:00").unwrap();
        assert_eq!(at.to_string(), "2026-06-14T08:58:11.123Z");
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_no_instant() {
        let manual = ManualClock::at(Timestamp::from_millis(1_000_000));
        let clock = Clock::Manual(manual.clone());
        let before = clock.instant();
        manual.set(Timestamp::from_millis(5));
        assert_eq!((clock.now().millis(), clock.instant()), (5, before));
        manual.advance(Duration::from_millis(300));
        assert_eq!(clock.now().millis(), 305);
        assert_eq!(clock.instant().duration_since(before), Duration::from_millis(300));
    }
}
