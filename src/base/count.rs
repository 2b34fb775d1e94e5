//! Counts with their nouns.

use std::fmt::Display;

/// A count with its noun, such as `1 change` or `3 changes`.
pub(crate) fn counted(count: impl Display, noun: &str) -> String {
    numbered(count, noun, &format!("{noun}s"))
}

/// A count with the words that go with one and with another number, such as `1 record is` or
/// `3 records are`.
pub(crate) fn numbered(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let words = if count == "1" { one } else { many };
    format!("{count} {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([counted(0, "change"), counted(1, "change")], ["0 changes", "1 change"]);
        assert_eq!(counted(21, "change"), "21 changes");
        assert_eq!(numbered(1, "record is", "records are"), "1 record is");
    }
}
