//! Random input for tests, the same again under the same seed.

use super::source::Source;

/// The variable that repeats a run: the seed that a failure printed.
const SEED: &str = "TEST_SEED";

/// Names the seed where a test fails under it.
struct Told(u64);

impl Drop for Told {
    #[expect(clippy::print_stderr, reason = "what a failed test says")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this failed under {SEED}={}", self.0);
        }
    }
}

/// Runs a test on random bytes, so many of them so many times; once where the seed is given.
pub(crate) fn each(runs: u32, bytes: usize, mut test: impl FnMut(&mut Source<'_>)) {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse::<u64>().unwrap());
    for _ in 0..given.map_or(runs, |_once| 1) {
        let seed = given.unwrap_or_else(|| u64::from_be_bytes(crate::base::ids::random()));
        let _told = Told(seed);
        test(&mut Source::new(&random(seed, bytes)));
    }
}

/// The bytes of `SplitMix64`.
fn random(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count.div_ceil(8)).flat_map(|_| next().to_be_bytes()).collect()
}
