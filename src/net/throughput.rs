//! A client's pace: who sends or takes a byte now and then is never silent, and would never end.
//!
//! A silence has a bound of its own. Here the waits for one client are added up until it has moved
//! its share. Only time in which the gateway waits for the client counts: what upstream takes long
//! for is nobody's slowness.

use std::time::Duration;

use tokio::time::Instant;

/// The bytes that a client moves within `limits.pace_timeout` of being waited for. With its default
/// of 20 s that is some 200 bytes a second, which the slowest of modems and satellites carry.
pub(crate) const SHARE_BYTES: usize = 4 * 1024;

/// How long a client has been waited for since it last moved its share.
#[derive(Debug, Default)]
pub(crate) struct StallMeter {
    /// In the waits that are over.
    waited: Duration,
    /// Since when, in the wait that goes on.
    since: Option<Instant>,
    bytes: usize,
}

/// The client moves something, but too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl StallMeter {
    /// The client is waited for: since when, this time.
    pub(crate) fn wait(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }

    /// The client has moved so many bytes. One long silence is not a slow pace: it counts for half
    /// of the patience at most, so that a client that wakes up has time to go on.
    pub(crate) fn advance(&mut self, bytes: usize, patience: Duration) -> Result<(), TooSlow> {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed().min(patience / 2);
        } else if self.waited.is_zero() {
            return Ok(());
        }
        self.bytes += bytes;
        if self.bytes >= SHARE_BYTES {
            *self = Self::default();
            return Ok(());
        }
        if self.waited >= patience { Err(TooSlow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// When a client that moves `bytes` after each silence of `seconds` is found too slow, in
    /// seconds; `None` where it may go on for an hour.
    fn cut_after(bytes: usize, seconds: u64) -> Option<u64> {
        let mut waits = StallMeter::default();
        (1..=3600 / seconds).find_map(|times| {
            waits.since = Instant::now().checked_sub(Duration::from_secs(seconds));
            assert!(waits.since.is_some(), "the machine runs for long enough");
            waits.advance(bytes, PATIENCE).is_err().then_some(times * seconds)
        })
    }

    #[test]
    fn who_moves_too_little_is_cut_and_who_is_only_slow_is_not() {
        for (bytes, seconds, expected) in [
            (1, 1, Some(20)),
            (1, 10, Some(20)),
            (1, 15, Some(30)),
            (200, 1, Some(20)),
            (250, 1, None),
            (SHARE_BYTES, 29, None),
        ] {
            assert_eq!(cut_after(bytes, seconds), expected, "{bytes} every {seconds} s");
        }
    }

    #[test]
    fn one_long_silence_leaves_time_to_go_on() {
        let since = Instant::now().checked_sub(Duration::from_secs(29));
        let mut waits = StallMeter { since, ..StallMeter::default() };
        assert_eq!(waits.advance(1460, PATIENCE), Ok(()));
        assert_eq!(waits.waited, PATIENCE / 2);
    }

    #[test]
    fn who_is_never_waited_for_is_not_counted() {
        let mut waits = StallMeter::default();
        for _ in 0..100 {
            assert_eq!(waits.advance(1, Duration::ZERO), Ok(()));
        }
        assert_eq!(waits.bytes, 0);
    }
}
