//! What a sink still needs stays, for a bounded time.

use std::time::Duration;

/// How long what a stuck sink needs is kept beyond its time.
pub(super) const WAIT_MAX: Duration = Duration::from_hours(7 * 24);

/// The first position of a leaf that stays for a sink that has come as far as `needed`, where what
/// it needs has been due for so long. `None` where nothing stays for one any more.
pub(super) fn spared(needed: Option<u64>, due_for: Duration) -> Option<u64> {
    needed.filter(|_position| due_for < WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_sink_is_waited_for_and_then_passed() {
        assert_eq!(spared(None, Duration::ZERO), None);
        assert_eq!(spared(Some(7), WAIT_MAX / 2), Some(7));
        assert_eq!(spared(Some(7), WAIT_MAX), None);
    }
}
