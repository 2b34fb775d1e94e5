//! What was written to a receiver that acknowledges nothing, and that it may not have read.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long before a receiver closed a connection in order messages were written that it may have
/// missed: they were on their way.
const CLOSING: Duration = Duration::from_secs(10);

/// The bytes behind a message after which a receiver has read it: more than lies between two
/// programs by the largest buffers that Linux gives a connection by itself (4 MiB and 6 MiB).
const BETWEEN_BYTES_MAX: u64 = 16 << 20;

/// The most writes that are told apart; older ones are taken together.
const WRITES_MAX: usize = 4_096;

/// How often the same messages are sent once more: to a receiver that closes its connection each
/// time, and to one that breaks it.
const CLOSED_TIMES_MAX: u32 = 1;
const BROKEN_TIMES_MAX: u32 = 3;

/// The way in which a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The receiver has closed it, which it can't do in order before it has read what had come.
    Closed,
    /// It broke, or was given up.
    Broken,
}

/// The writes to a connection.
#[derive(Debug, Default)]
pub(super) struct Unread {
    writes: VecDeque<Write>,
    bytes: u64,
    /// What was sent once more lies before this position, and how often it was.
    again: (u64, u32),
}

#[derive(Debug)]
struct Write {
    at: Instant,
    first: u64,
    end: u64,
    bytes: u64,
}

/// What is to be done after the end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Back {
    /// The position to go on from.
    pub(super) to: Option<u64>,
    /// The first of those that may be lost, where they were sent often enough.
    pub(super) given_up: Option<u64>,
}

impl Unread {
    /// Takes down a write of the messages at these positions.
    pub(super) fn add(&mut self, positions: &[u64], bytes: usize, at: Instant) {
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else { return };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.writes.push_back(Write { at, first: *first, end: last + 1, bytes });
        self.bytes = self.bytes.saturating_add(bytes);
        // The oldest that is kept is one behind which less was written.
        while let Some(oldest) = self.writes.front()
            && self.bytes.saturating_sub(oldest.bytes) >= BETWEEN_BYTES_MAX
        {
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.writes.pop_front();
        }
        if self.writes.len() > WRITES_MAX
            && let Some(oldest) = self.writes.pop_front()
            && let Some(next) = self.writes.front_mut()
        {
            next.first = next.first.min(oldest.first);
            next.bytes = next.bytes.saturating_add(oldest.bytes);
        }
    }

    /// The way back after the end of the connection, at `now`; nothing of it is remembered then.
    pub(super) fn ended(&mut self, end: End, now: Instant) -> Back {
        self.bytes = 0;
        let mut writes = std::mem::take(&mut self.writes);
        let times_max = match end {
            End::Closed => {
                writes.retain(|write| now.duration_since(write.at) < CLOSING);
                CLOSED_TIMES_MAX
            }
            End::Broken => BROKEN_TIMES_MAX,
        };
        let (Some(first), Some(last)) = (writes.front(), writes.back()) else {
            return Back::default();
        };
        let (until, times) = self.again;
        let is_again = first.first < until;
        if !is_again || times < times_max {
            self.again = (last.end, if is_again { times + 1 } else { 1 });
            return Back { to: Some(first.first), given_up: None };
        }
        // Only what came since is sent once more.
        let since = writes.iter().find(|write| write.first >= until).map(|write| write.first);
        if since.is_some() {
            self.again = (last.end, 1);
        }
        let given_up = (end == End::Broken).then_some(first.first);
        Back { to: since, given_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unread: &mut Unread, positions: std::ops::Range<u64>, bytes: usize) {
        for position in positions {
            unread.add(&[position], bytes, Instant::now());
        }
    }

    fn to(position: u64) -> Back {
        Back { to: Some(position), given_up: None }
    }

    #[test]
    fn a_broken_connection_goes_back_as_far_as_buffers_reach() {
        let mut unread = Unread::default();
        written(&mut unread, 0..100, 1 << 20);
        let later = Instant::now() + Duration::from_hours(1);
        assert_eq!(unread.ended(End::Broken, later), to(84), "however long it was silent");
        assert_eq!(unread.ended(End::Broken, later), Back::default(), "once");
        written(&mut unread, 0..100_000, 100);
        assert!(unread.writes.len() <= WRITES_MAX);
        assert_eq!(unread.ended(End::Broken, later), to(0), "taken together, and still there");
    }

    #[test]
    fn a_closed_connection_goes_back_by_time() {
        let mut unread = Unread::default();
        let start = Instant::now();
        for position in 0..60_u32 {
            unread.add(&[position.into()], 1, start + Duration::from_secs(1) * position);
        }
        assert_eq!(unread.ended(End::Closed, start + Duration::from_secs(59)), to(50));
    }

    #[test]
    fn the_same_messages_are_sent_so_often_and_then_told() {
        let mut unread = Unread::default();
        for (end, times) in [(End::Closed, 1), (End::Broken, 3)] {
            unread.again = (0, 0);
            for _ in 0..times {
                written(&mut unread, 5..10, 1);
                assert_eq!(unread.ended(end, Instant::now()), to(5));
            }
            written(&mut unread, 5..10, 1);
            let given_up = (end == End::Broken).then_some(5);
            assert_eq!(unread.ended(end, Instant::now()), Back { to: None, given_up });
            written(&mut unread, 5..12, 1);
            assert_eq!(unread.ended(end, Instant::now()), Back { to: Some(10), given_up });
        }
    }
}
