//! Chance that can be repeated.

use std::time::Duration;

use changegate::base::clock::Clock;

use super::say;

/// Random enough to choose by, and the same for the same seed (xorshift64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice for one of the many things that a seed decides.
    pub(crate) fn of(seed: u64, what: &str) -> Self {
        // FNV-1a, then the finisher of splitmix64: similar texts give no similar dice.
        let folded = what.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mixed = (folded ^ (folded >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// From 0 to one less than `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        (self.0 >> 11) % sides
    }

    /// Whether it comes to pass, `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.roll(to - from))
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let sides = from.len().try_into().unwrap();
        from[usize::try_from(self.roll(sides)).unwrap()]
    }
}

/// The value of an environment variable as a number; `None` if it is not set.
pub(crate) fn given(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The seed that `CHANGEGATE_SEED` names, or a new one, which is told.
pub(crate) fn seed() -> u64 {
    let now = Clock::System.now().millis().cast_unsigned();
    let seed = given("CHANGEGATE_SEED").unwrap_or(now);
    say(&format!("to repeat: CHANGEGATE_SEED={seed}"));
    seed
}
