//! How long a sink waits after attempts that failed.

use std::time::Duration;

use crate::base::ids::random;

/// The waits of webhooks (Standard Webhooks, 1.0.0): 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h,
/// 24 h. The last one goes on, since nothing is given up.
const WEBHOOK: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Those of the others, whose receivers are this side's own.
const OTHERS: [u64; 7] = [1, 2, 5, 10, 30, 60, 300];

/// The longest wait that a receiver may ask for.
const ASKED_MAX: Duration = Duration::from_hours(24);

/// The part of a wait by which it may be longer, in percent, so that many don't come together.
const JITTER: u32 = 10;

/// How long is waited after so many attempts that failed in a row; `asked` is the receiver's word.
pub(super) fn wait(is_webhook: bool, attempts: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.clamp(Duration::from_secs(1), ASKED_MAX);
    }
    let schedule: &[u64] = if is_webhook { &WEBHOOK } else { &OTHERS };
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = schedule.get(place).or(schedule.last()).copied().unwrap_or(1);
    let [chance] = random::<1>();
    let more = Duration::from_secs(seconds) * JITTER / 100 * u32::from(chance) / 255;
    Duration::from_secs(seconds) + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_day_and_stay_there() {
        let mut former = Duration::ZERO;
        for attempts in 1..=9 {
            let wait = wait(true, attempts, None);
            assert!(wait > former, "{attempts}: {wait:?}");
            former = wait;
        }
        for attempts in [10, 1_000, u32::MAX] {
            let wait = wait(true, attempts, None);
            assert!((Duration::from_hours(24)..Duration::from_hours(27)).contains(&wait));
        }
        assert!(wait(false, u32::MAX, None) < Duration::from_mins(6));
    }

    #[test]
    fn a_receiver_is_heard_within_a_bound() {
        let asked = |seconds| wait(true, 3, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(0), Duration::from_secs(1));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(u64::MAX), Duration::from_hours(24));
    }
}
