//! The form of a key in which look-alikes are equal.
//!
//! NFKC (UAX #15), full case folding (Unicode 3.13), removal of white space and of what is
//! ignorable, and the confusable skeleton (UTS #39, section 4). Each step can bring back what an
//! earlier one took away (the skeleton of a digit zero is a capital O, say), so they are repeated
//! until nothing changes.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::skeleton;

use crate::base::work;
use crate::deployment::name::{folded, seen, seen_in, until_stable};

/// The forms of one text; texts that share one look alike. There are two since a character may
/// look like another one than it folds to: `I` is an `i` when folded first and an `l` by its look,
/// a long s (U+017F) is an `s` and an `f`, a capital lunate sigma (U+03F9) an `o` and a `c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forms {
    pub(super) folded: String,
    pub(super) looked: String,
}

impl Forms {
    pub(super) fn of(text: &str) -> Self {
        Self::of_ascii(text).unwrap_or_else(|| Self::of_any(text))
    }

    /// The forms of a text of ASCII alone, as nearly all keys are, by those of its characters:
    /// none of them moves or joins another.
    fn of_ascii(text: &str) -> Option<Self> {
        let table = &*ASCII;
        let room = || Vec::with_capacity(2 * text.len());
        let (mut folded, mut looked) = (room(), room());
        for byte in text.bytes() {
            let one = table.get(usize::from(byte))?.as_ref()?;
            one.folded.iter().flatten().for_each(|letter| folded.push(*letter));
            one.looked.iter().flatten().for_each(|letter| looked.push(*letter));
        }
        let [folded, looked] = [folded, looked].map(|form| String::from_utf8(form).ok());
        Some(Self { folded: folded?, looked: looked? })
    }

    fn of_any(text: &str) -> Self {
        work::count(text.len());
        let look: String = skeleton(&seen(text.chars())).collect();
        Self { folded: settled(text.to_owned()), looked: settled(look) }
    }

    pub(super) fn each(&self) -> [&str; 2] {
        [&self.folded, &self.looked]
    }

    /// Its forms, once where they are one.
    pub(super) fn different(&self) -> impl Iterator<Item = &str> {
        self.each().into_iter().take(if self.vary() { 2 } else { 1 })
    }

    /// Whether some letter has two forms.
    pub(super) fn vary(&self) -> bool {
        self.folded != self.looked
    }

    /// The forms of each letter by itself, in the order in which marks belong.
    pub(super) fn of_letters(text: &str) -> impl Iterator<Item = Self> {
        seen_in(text.nfd()).map(|letter| Self::of(letter.encode_utf8(&mut [0; 4])))
    }
}

/// The forms of a character where they are as short as nearly all of them are: an `m` looks like
/// two letters.
#[derive(Clone, Copy)]
struct Short {
    folded: [Option<u8>; 2],
    looked: [Option<u8>; 2],
}

/// The forms of every ASCII character whose forms are of ASCII too.
static ASCII: LazyLock<Vec<Option<Short>>> = LazyLock::new(|| {
    let forms = (0..128_u8).map(|byte| Forms::of_any(char::from(byte).encode_utf8(&mut [0; 4])));
    forms.map(|forms| Short::of(&forms)).collect()
});

impl Short {
    fn of(forms: &Forms) -> Option<Self> {
        let short = |form: &str| {
            let mut letters = form.bytes();
            let short = [letters.next(), letters.next()];
            (form.is_ascii() && letters.next().is_none()).then_some(short)
        };
        Some(Self { folded: short(&forms.folded)?, looked: short(&forms.looked)? })
    }
}

/// Folds and takes the skeleton, until it stays as it is.
fn settled(text: String) -> String {
    until_stable(text, |text| skeleton(&folded(text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_settles_and_stays_settled() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let once = settled(c.to_string());
            assert_eq!(settled(once.clone()), once, "{c:?}");
        }
    }

    #[test]
    fn ascii_is_compared_as_any_other_text() {
        let texts = ["owner_override", "mWI1l|O0", " a\u{7f}b\t", "\"'`", "rn.*-$", "CAS_Config"];
        let mut all: String = (0..128_u8).map(char::from).collect();
        for text in texts.map(str::to_owned).into_iter().chain([all.clone(), {
            all.extend('a'..='z');
            all
        }]) {
            assert_eq!(Forms::of(&text), Forms::of_any(&text), "{text:?}");
        }
        for one in (0..128_u8).map(char::from) {
            for other in (0..128_u8).map(char::from) {
                let pair = format!("{one}{other}");
                assert_eq!(Forms::of(&pair), Forms::of_any(&pair), "{pair:?}");
            }
        }
        assert!(Forms::of_ascii("owner_override-9.x MAX_CONCURRENT").is_some());
    }

    #[test]
    fn a_star_and_a_dot_survive_and_small_letters_stay_apart() {
        assert_eq!(settled("*".to_owned()), "*");
        assert_eq!(settled(".".to_owned()), ".");
        let forms: std::collections::HashSet<_> =
            ('a'..='z').flat_map(|c| [settled(c.to_string())]).collect();
        assert_eq!(forms.len(), 26);
    }
}
