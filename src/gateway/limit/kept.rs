//! How many bytes of bodies are kept for each token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::REMEMBERED_MAX;
use crate::base::ids::Fingerprint;

/// How long a token's bytes are added up.
const WINDOW: Duration = Duration::from_mins(1);

/// The bytes that were kept of each token's calls, minute by minute.
#[derive(Debug, Default)]
pub(in crate::gateway) struct KeptBytes {
    minutes: Mutex<HashMap<Fingerprint, Minute>>,
}

#[derive(Clone, Copy, Debug)]
struct Minute {
    began: Instant,
    bytes: usize,
}

impl KeptBytes {
    /// Whether so many bytes more of the token's calls may be kept, which are then counted.
    pub(in crate::gateway) fn draw(
        &self,
        token: Fingerprint,
        bytes: usize,
        bytes_max: usize,
        now: Instant,
    ) -> bool {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |minute: &Minute| now.saturating_duration_since(minute.began) >= WINDOW;
        if minutes.len() >= REMEMBERED_MAX && !minutes.contains_key(&token) {
            minutes.retain(|_, minute| !is_over(minute));
            if minutes.len() >= REMEMBERED_MAX {
                // Each of so many tokens was taken by upstream within the minute.
                return false;
            }
        }
        let minute = minutes.entry(token).or_insert(Minute { began: now, bytes: 0 });
        if is_over(minute) {
            *minute = Minute { began: now, bytes: 0 };
        }
        let held = minute.bytes.saturating_add(bytes);
        // The first of a minute is kept however long it is: some bodies are longer than all.
        let fits = held <= bytes_max || (minute.bytes == 0 && bytes_max > 0);
        if fits {
            minute.bytes = held;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, ManualClock, Timestamp};

    #[test]
    fn each_token_has_its_bytes_a_minute() {
        let manual = ManualClock::at(Timestamp::from_millis(0));
        let clock = Clock::Manual(manual.clone());
        let kept = KeptBytes::default();
        let [one, other] = [1, 2].map(|n| Fingerprint::from_bytes([n; 8]));
        let draw = |token, bytes| kept.draw(token, bytes, 100, clock.instant());
        assert!(draw(one, 60) && !draw(one, 41) && draw(one, 40) && !draw(one, 1));
        assert!(draw(other, 100));
        manual.advance(WINDOW);
        assert!(draw(one, 100));
    }
}
