//! Names as a careless server may compare them: without regard to case, width and what is not seen.

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

use super::ignorable::is_ignorable;

/// How often a text is taken through the same steps at most. Real text settles within three rounds.
const ROUNDS_MAX: usize = 8;

/// Whether such a server may take `name` for `known`, which is of small letters of ASCII.
pub(crate) fn is_taken_for(name: &str, known: &str) -> bool {
    spells(name, known, |_letter| false)
        .unwrap_or_else(|| folded_within(name, known.len()).is_some_and(|folded| folded == known))
}

/// Whether a name is `known`, however its words are joined.
pub(crate) fn is_joined_as(name: &str, known: &str) -> bool {
    spells(name, known, |byte| matches!(byte, b'_' | b'-' | b'.')).unwrap_or_else(|| {
        let (start, is_whole) = folded_start(name, 2 * known.len());
        is_whole && start.chars().filter(|c| !matches!(c, '_' | '-' | '.')).eq(known.chars())
    })
}

/// Whether a name of ASCII spells `known` without the letters that are `left_out`; `None` where it
/// is not ASCII, as few names are. Of ASCII nothing but case and what is not seen is folded.
pub(crate) fn spells(name: &str, known: &str, left_out: impl Fn(u8) -> bool) -> Option<bool> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= known.len() {
        return Some(name.eq_ignore_ascii_case(known));
    }
    let is_seen = |byte: &u8| !char::from(*byte).is_whitespace() && !left_out(*byte);
    let letters = name.bytes().filter(is_seen).map(|byte| byte.to_ascii_lowercase());
    Some(letters.eq(known.bytes()))
}

/// A name folded; `None` where that has more than so many characters. However long a name is, no
/// more of it than that is folded: no character that is seen folds to nothing.
pub(crate) fn folded_within(name: &str, chars_max: usize) -> Option<String> {
    let short: String = seen_in(name.chars()).take(chars_max + 1).collect();
    Some(folded(&short)).filter(|folded| folded.chars().nth(chars_max).is_none())
}

/// The first letters of a name, folded, no more than so many characters; and whether they are the
/// whole name.
pub(crate) fn folded_start(name: &str, chars_max: usize) -> (String, bool) {
    let mut letters = seen_in(name.chars());
    let short: String = letters.by_ref().take(chars_max).collect();
    let mut start = folded(&short);
    let beyond = start.char_indices().nth(chars_max).map(|(beyond, _)| beyond);
    start.truncate(beyond.unwrap_or(start.len()));
    (start, beyond.is_none() && letters.next().is_none())
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
    seen_in(text).collect()
}

/// As [`seen`], one after the other.
pub(crate) fn seen_in(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.filter(|c| !c.is_whitespace() && !is_ignorable(*c))
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
        for name in [
            "meta",
            "metadatum",
            "me tadat",
            "xmetadata",
            "metadata2",
            "m\u{435}tadata",
            "meta_data",
            "",
        ] {
            assert!(!is_taken_for(name, "metadata"), "{name:?}");
        }
        assert_eq!(folded("\u{17f}chedule"), "schedule");
        assert_eq!(folded_within("S\u{200b}ched", 5).as_deref(), Some("sched"));
        assert_eq!(folded_within("schedu", 5), None);
        // One character that is eighteen of them.
        assert_eq!(folded_within("\u{fdfa}", 5), None);
        assert_eq!(folded_within(&"\u{fdfa}".repeat(1 << 20), 64), None);
    }
}
