//! Which lines of the diagnostic log are said.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// The levels, by name.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
    ("off", LevelFilter::OFF),
];

/// The level from which on lines are said, in all and of parts of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verbosity {
    /// Where nothing else is said of a part.
    pub default: LevelFilter,
    /// Parts, as a line's `target` begins, and the level of each.
    pub targets: Vec<(String, LevelFilter)>,
}

/// Text that is no list of levels.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{part}` is not a level: write error, warn, info, debug, trace or off, for a part of the \
    program as in \"info,changegate::gateway=debug\""
)]
pub struct BadVerbosity {
    /// The part of it that says no level.
    pub part: String,
}

impl Verbosity {
    /// Lines from this level on.
    #[must_use]
    pub const fn from_level(default: LevelFilter) -> Self {
        Self { default, targets: Vec::new() }
    }
}

impl Default for Verbosity {
    fn default() -> Self {
        Self::from_level(LevelFilter::INFO)
    }
}

impl FromStr for Verbosity {
    type Err = BadVerbosity;

    /// Reads levels, each for itself or as `target=level`, with commas between them.
    fn from_str(text: &str) -> Result<Self, BadVerbosity> {
        let mut read = Self::default();
        for part in text.split(',').map(str::trim) {
            let (target, name) = part.rsplit_once('=').unwrap_or(("", part));
            let level = LEVELS.iter().find(|(level, _)| name.trim().eq_ignore_ascii_case(level));
            let is_target = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
            let target = target.trim();
            let (Some((_, level)), true) = (level, target.chars().all(is_target)) else {
                return Err(BadVerbosity { part: part.chars().take(64).collect() });
            };
            if target.is_empty() {
                read.default = *level;
            } else {
                read.targets.push((target.to_owned(), *level));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_everything_else_is_named() {
        let read = |text: &str| text.parse::<Verbosity>();
        assert_eq!(read("WARN").unwrap(), Verbosity::from_level(LevelFilter::WARN));
        let expected = Verbosity {
            default: LevelFilter::INFO,
            targets: vec![("changegate::gateway".to_owned(), LevelFilter::DEBUG)],
        };
        assert_eq!(read("changegate::gateway=debug").unwrap(), expected);
        assert_eq!(read("info, changegate::gateway=debug").unwrap(), expected);
        for (text, part) in [
            ("verbose", "verbose"),
            ("info,changegate=loud", "changegate=loud"),
            ("changegate", "changegate"),
            ("changegate[call]=info", "changegate[call]=info"),
            ("info,", ""),
            ("3", "3"),
        ] {
            assert_eq!(read(text).unwrap_err().part, part, "{text}");
        }
        assert!(read("verbose").unwrap_err().to_string().contains("debug, trace or off"));
    }
}
