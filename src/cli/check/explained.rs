//! The rules in words, as `check` tells them.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::super::terminal::wrapped;
use crate::base::clock::Timestamp;
use crate::base::visible::plain;
use crate::policy::Policy;

/// The most columns of a line.
const COLUMNS_MAX: usize = 80;

/// The beginning of the first line of a sentence, and of the others.
const STARTS: [&str; 2] = ["  - ", "    "];

/// The rules in words, in lines of at most 80 columns.
pub(super) fn lines(policy: &Policy, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for (title, sentences) in policy.words(now) {
        lines.extend([String::new(), title]);
        for sentence in sentences {
            let [mut start, others] = STARTS;
            for line in wrapped(&plain(&sentence), COLUMNS_MAX - start.len()) {
                for piece in pieces(&line, COLUMNS_MAX - start.len()) {
                    lines.push(format!("{start}{piece}"));
                    start = others;
                }
            }
        }
    }
    lines
}

/// A line in pieces of so many columns: a pattern may be one long word.
fn pieces(line: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for letter in line.chars() {
        let is_full = |piece: &String| piece.width() + letter.width().unwrap_or(0) > width;
        if pieces.last().is_none_or(is_full) {
            pieces.push(String::new());
        }
        pieces.last_mut().into_iter().for_each(|piece| piece.push(letter));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load::load;
    use crate::provider::Provider;

    const POLICY: &str = r#"
[timezones]
allowed = ["Asia/Shanghai", "UTC"]
[metadata]
forbidden_keys = ["owner_override"]
protected_keys = ["cost_center"]
key_pattern = '[a-z_]+'
required = { team = "[a-z]+" }
enforcement = "warn"
except_teams = ["platform"]
[schedule]
minimum_interval = "15m"
runs_per_day = 48
[[schedule.freeze]]
starts = "0 18 * * 5"
lasts = "60h"
timezone = "Asia/Shanghai"
operations = ["create", "update"]
[references]
agents = ["agent_*"]
vaults = []
resource_urls = ["https://git.example.com/*"]
pinned_agent_version = true
[name]
pattern = "[a-z][a-z0-9-]*"
[[rule]]
name = "no-weekend-runs"
description = "Nobody is there at weekends."
when = "object.schedule != null"
require = "!object.schedule.expression.endsWith(' 6,0')"
actors = ["bot"]
enforcement = "audit"
"#;

    #[test]
    fn every_rule_is_told_in_words() {
        let policy = load(POLICY, Provider::ALL[0]).unwrap();
        let told = lines(&policy, Timestamp::parse("2026-11-28T00:00:00Z").unwrap());
        let expected = include_str!("../../../tests/data/check/explained.txt");
        assert_eq!(told.join("\n") + "\n", expected);
        assert!(told.iter().all(|line| line.width() <= COLUMNS_MAX));
    }

    #[test]
    fn no_word_is_wider_than_a_line() {
        let pattern = "(夜间任务|[a-z])".repeat(12);
        let text = format!("name.pattern = '{pattern}'");
        let policy = load(&text, Provider::ALL[0]).unwrap();
        let told = lines(&policy, Timestamp::from_millis(0));
        assert!(told.iter().all(|line| line.width() <= COLUMNS_MAX), "{told:#?}");
        let joined: String = told.iter().map(|line| line.trim_start()).collect();
        assert!(joined.contains(&pattern), "{told:#?}");
    }
}
