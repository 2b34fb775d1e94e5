//! Words on a terminal on how far a long work is.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use super::print;
use crate::base::clock::Clock;

/// How long a work is silent, and how long between two words.
const EVERY: Duration = Duration::from_secs(5);

/// Says on standard error, where that is a terminal, how far a work is.
pub(super) struct Progress {
    next: Option<Instant>,
}

impl Progress {
    pub(super) fn new(begun: Instant) -> Self {
        Self { next: io::stderr().is_terminal().then_some(begun + EVERY) }
    }

    /// Says `word` where it is time to.
    pub(super) fn tell(&mut self, clock: &Clock, word: impl FnOnce() -> String) {
        let now = clock.instant();
        if self.next.is_some_and(|next| now >= next) {
            self.next = Some(now + EVERY);
            print::error_line(&word());
        }
    }
}
