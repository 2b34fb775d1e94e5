//! Names as a careless server may compare them: without regard to case, width and what is not seen.

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

use super::ignorable::is_ignorable;

/// How often a text is taken through the same steps at most. Real text settles within three rounds.
const ROUNDS_MAX: usize = 8;

/// Whether such a server may take `name` for `known`, which is of small letters.
pub(crate) fn is_taken_for(name: &str, known: &str) -> bool {
    name == known || folded(name) == known
}

/// Compatibility forms (NFKC) in their full case folding (Unicode 3.13), without white space and
/// what is ignorable.
pub(crate) fn folded(text: &str) -> String {
    // Nearly all names are ASCII, and then there is less to do.
    if text.is_ascii() {
        let seen = text.bytes().filter(|byte| !char::from(*byte).is_whitespace());
        return seen.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    }
    until_stable(text.to_owned(), |text| seen(text.nfkc().default_case_fold().nfkc()))
}

/// The characters that are seen: neither white space nor ignorable.
pub(crate) fn seen(text: impl Iterator<Item = char>) -> String {
    text.filter(|c| !c.is_whitespace() && !is_ignorable(*c)).collect()
}

/// Takes a step until nothing changes, a bounded number of times.
pub(crate) fn until_stable(mut text: String, step: impl Fn(&str) -> String) -> String {
    for _ in 0..ROUNDS_MAX {
        let next = step(&text);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_alike_however_they_are_written() {
        for name in [
            "metadata",
            "Metadata",
            "METADATA",
            "ｍｅｔａｄａｔａ",
            " meta\u{200b}data\t",
            "meta\u{ad}data",
            "\u{feff}metadata",
            "𝐦etadata",
        ] {
            assert!(is_taken_for(name, "metadata"), "{name:?}");
        }
        for name in ["meta", "metadatum", "metadata2", "m\u{435}tadata", "meta_data", ""] {
            assert!(!is_taken_for(name, "metadata"), "{name:?}");
        }
        assert_eq!(folded("\u{17f}chedule"), "schedule");
    }
}
