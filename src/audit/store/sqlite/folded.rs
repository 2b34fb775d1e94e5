//! A text that is looked for in any case of any script. SQLite's LIKE knows the case of ASCII
//! alone: what it can't tell, it lets through, and the rows are looked at once more.

use caseless::default_case_fold_str;
use sqlx::{QueryBuilder, Sqlite};

/// A text to be found, folded (Unicode, 3.13).
#[derive(Clone, Debug)]
pub(super) struct Folded {
    folded: String,
    like: String,
}

impl Folded {
    pub(super) fn of(text: &str) -> Self {
        let folded = default_case_fold_str(text);
        let escaped = folded.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Self { folded, like: format!("%{escaped}%") }
    }

    /// Adds the condition that `column` may hold the text: it does, or it has more than ASCII.
    pub(super) fn push_may(&self, query: &mut QueryBuilder<Sqlite>, column: &str) {
        query.push("(").push(column).push(" LIKE ").push_bind(self.like.clone());
        query.push(" ESCAPE '\\' OR ").push(column).push(" GLOB '*[^ -~]*')");
    }

    /// Whether `text` holds it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        // Most texts are short and in one case; the folded form of ASCII is its small letters.
        if text.is_ascii() {
            return text.to_ascii_lowercase().contains(&self.folded);
        }
        default_case_fold_str(text).contains(&self.folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_any_case_of_any_script() {
        for (sought, text) in [
            ("gRÖßE", "Die GRÖSSE"),
            ("grösse", "Größe"),
            ("команда", "КОМАНДА А"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("夜间", "夜间任务"),
            ("mei", "MEI"),
        ] {
            assert!(Folded::of(sought).is_in(text), "{sought} in {text}");
        }
        assert!(!Folded::of("größe").is_in("grose"));
    }
}
