//! Patterns of ids: texts in which `*` stands for any text.

use std::fmt;

/// The longest pattern, and the longest id that fits one with a star, in bytes.
const BYTES_MAX: usize = 256;

/// An id, or a glob of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern(Glob);

/// Literals with any text between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    text: String,
    literals: Vec<String>,
}

impl IdPattern {
    /// Reads a pattern, or says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > BYTES_MAX {
            return Err("write 1 to 256 characters");
        }
        if !text.bytes().all(|byte| is_of_id(byte) || byte == b'*') {
            return Err("write letters, digits, `_`, `-`, `.` and `:` alone, and `*` for any text");
        }
        Ok(Self(Glob::of(text)))
    }

    /// Whether it names an id. A star stands for letters that ids have: `agent_a/../agent_b` is
    /// no id, whatever it begins with.
    pub(super) fn names(&self, id: &str) -> bool {
        let is_id = id.len() <= BYTES_MAX && id.bytes().all(is_of_id);
        is_id && self.0.fits(id)
    }
}

impl Glob {
    pub(super) fn of(text: &str) -> Self {
        let literals = text.split('*').map(str::to_owned).collect();
        Self { text: text.to_owned(), literals }
    }

    /// Whether a text is the literals in their order, with any text between them.
    pub(super) fn fits(&self, text: &str) -> bool {
        let [first, between @ .., last] = self.literals.as_slice() else {
            return self.text == text;
        };
        let inner = text.strip_prefix(first.as_str());
        let inner = inner.and_then(|rest| rest.strip_suffix(last.as_str()));
        let Some(mut rest) = inner else { return false };
        between.iter().all(|literal| match rest.split_once(literal.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }

    pub(super) fn ends_open(&self) -> bool {
        self.text.ends_with('*')
    }
}

fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_names_ids_as_a_whole() {
        let names = |pattern, id| IdPattern::parse(pattern).unwrap().names(id);
        for (pattern, id) in [
            ("agent_1", "agent_1"),
            ("agent_*", "agent_"),
            ("agent_*", "agent_1"),
            ("*", "x"),
            ("*_prod_*", "env_prod_1"),
            ("a*b*c", "a-b-b-c"),
        ] {
            assert!(names(pattern, id), "{pattern} {id}");
        }
        for (pattern, id) in [
            ("agent_1", "agent_12"),
            ("agent_1", "Agent_1"),
            ("agent_1", " agent_1"),
            ("agent_*", "my_agent_1"),
            ("agent_*", "AGENT_1"),
            ("agent_*", "agent_1\n"),
            ("agent_*", "agent_\u{430}"),
            ("agent_*", "agent_1 "),
            ("agent_*", "agent_1/../env"),
            ("agent_*", "agent_1?x"),
            ("agent_*", "agent_1%2f"),
            ("agent_*", "agent_1\0"),
            ("agent_*", ""),
            ("*", "\u{ff41}"),
            ("a*a", "a"),
        ] {
            assert!(!names(pattern, id), "{pattern} {id}");
        }
        assert!(!names("agent_*", &format!("agent_{}", "1".repeat(256))));
        for bad in ["", "agent_?", "agent_[a]", "a b", "\u{4e2d}", "a/b"] {
            assert!(IdPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
