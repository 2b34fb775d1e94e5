//! Properties of any bytes: one function per target of `fuzz/`, which throws bytes at it. The
//! tests below give each all that is kept in its corpus. No program holds any of this.
//!
//! A function panics where something does not hold; that it panics nowhere else is the first thing
//! that must hold.

mod config;
mod cursor;
mod json;
mod patch;
mod policy;
mod predict;
mod rule;
#[cfg(test)]
pub(crate) mod seeded;
pub(crate) mod source;

pub use self::config::config;
pub use self::cursor::cursor;
pub use self::patch::patch;
pub use self::policy::policy;
pub use self::predict::predict;
pub use self::rule::rule;
pub use crate::gateway::fuzzing::paths;

/// Holds that a message is one that can be shown: short, in one line, and steering no terminal.
fn assert_shown(message: &str) {
    assert!(!message.is_empty(), "a message says something");
    assert!(message.len() <= 2_000, "a message is short: {message:?}");
    assert!(!message.chars().any(char::is_control), "a message steers nothing: {message:?}");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 7] = [
        ("config", config),
        ("cursor", cursor),
        ("patch", patch),
        ("paths", paths),
        ("policy", policy),
        ("predict", predict),
        ("rule", rule),
    ];

    #[test]
    fn every_input_that_was_kept_holds() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, target) in TARGETS {
            let mut files: Vec<_> = fs::read_dir(fuzz.join("corpus").join(name))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            assert!(!files.is_empty(), "{name} has a corpus");
            for file in files {
                let bytes = fs::read(&file).unwrap();
                let held = std::panic::catch_unwind(|| target(&bytes));
                assert!(held.is_ok(), "{} does not hold", file.display());
            }
        }
    }

    #[test]
    fn every_target_has_its_program_and_its_replay() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, TARGETS.map(|(name, _)| name));
    }
}
