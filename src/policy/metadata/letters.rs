//! A pattern letter by letter, so that each letter of a key may be one that is meant by its fold or
//! by its look, whatever the others are: in `CAS_COΝFIG` the Greek `Ν` is an `n` by its look alone,
//! and the `I` an `i` by its fold alone.

use std::collections::BTreeSet;

use super::lookalike::Forms;

/// The longest key that is compared letter by letter, in letters. No provider takes one of more
/// than 64, and the comparison takes time.
pub(super) const LETTERS_MAX: usize = 128;

/// What a star stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Star {
    /// Any text.
    All,
    /// Any text without dots.
    WithinDots,
}

/// The ways through a pattern: places with the characters that lead from one to another. The first
/// place is its beginning, the last its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ways {
    places: Vec<Vec<Way>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    by: By,
    to: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    One(char),
    Star(Star),
}

impl Ways {
    /// The ways through a pattern's text.
    pub(super) fn through(text: &str, star: Star) -> Self {
        let mut ways = Self { places: vec![Vec::new()] };
        for (number, literal) in text.split('*').enumerate() {
            if number > 0 {
                let end = ways.end();
                ways.add(end, By::Star(star), end);
            }
            for forms in Forms::of_letters(literal) {
                ways.extend(&forms);
            }
        }
        ways
    }

    /// Whether a text goes all the way through, each of its letters in either form.
    pub(super) fn lead<'f>(&self, letters: impl Iterator<Item = &'f Forms>) -> bool {
        let mut at = BTreeSet::from([0]);
        for (number, forms) in letters.enumerate() {
            let ahead = forms.each().map(|form| self.after(&at, form));
            at = ahead.into_iter().flatten().collect();
            if at.is_empty() || number >= LETTERS_MAX {
                return false;
            }
        }
        at.contains(&self.end())
    }

    fn after(&self, at: &BTreeSet<usize>, form: &str) -> BTreeSet<usize> {
        form.chars().fold(at.clone(), |at, c| {
            let ways = at.iter().filter_map(|place| self.places.get(*place)).flatten();
            ways.filter(|way| way.by.takes(c)).map(|way| way.to).collect()
        })
    }

    fn end(&self) -> usize {
        self.places.len() - 1
    }

    /// Adds a letter at the end, in both its forms.
    fn extend(&mut self, forms: &Forms) {
        let start = self.end();
        let within: usize = forms.each().iter().map(|form| form.chars().count().max(1) - 1).sum();
        let end = start + within + 1;
        self.places.resize(end + 1, Vec::new());
        let mut free = start + 1;
        for form in forms.each() {
            let mut from = start;
            let mut chars = form.chars().peekable();
            while let Some(c) = chars.next() {
                let to = if chars.peek().is_some() { free } else { end };
                free += usize::from(to != end);
                self.add(from, By::One(c), to);
                from = to;
            }
        }
    }

    fn add(&mut self, from: usize, by: By, to: usize) {
        if let Some(ways) = self.places.get_mut(from) {
            ways.push(Way { by, to });
        }
    }
}

impl By {
    fn takes(self, c: char) -> bool {
        match self {
            Self::One(one) => one == c,
            Self::Star(Star::All) => true,
            Self::Star(Star::WithinDots) => c != '.',
        }
    }
}

#[cfg(test)]
mod tests {
    fn letters(text: &str) -> Vec<Forms> {
        Forms::of_letters(text).collect()
    }

    use super::*;

    fn leads(pattern: &str, key: &str) -> bool {
        Ways::through(pattern, Star::All).lead(letters(key).iter())
    }

    #[test]
    fn each_letter_is_taken_by_its_fold_or_its_look() {
        for key in [
            "cas_config",
            "CAS_CONFIG",
            "CAS_CO\u{39d}FIG",
            "ca\u{17f}_con\u{17f}ig",
            "cas_c\u{3f9}nfIg",
            "\u{3f9}as_\u{3f9}\u{3f9}nfig",
        ] {
            assert!(leads("cas_config", key), "{key}");
        }
        assert!(leads("INTERNAL_ID", "lnternal_id") && leads("list", "IIst"));
        for key in ["cas_conflg", "cas_conhig", "caf_config", "cas_confi", "cas_configs", ""] {
            assert!(!leads("cas_config", key), "{key}");
        }
    }

    #[test]
    fn stars_and_letters_of_several_characters_lead_on() {
        assert!(leads("m*m", "rnrn") && leads("m*", "m") && leads("*rn", "axm"));
        assert!(leads("a*b*c", "aXbXbXc") && !leads("a*b*c", "aXc") && !leads("m", "r"));
        let within = Ways::through("a*.b", Star::WithinDots);
        assert!(within.lead(letters("ax.b").iter()));
        assert!(!within.lead(letters("a.x.b").iter()));
    }

    #[test]
    fn a_letter_that_is_seen_has_both_forms() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32).step_by(7) {
            for forms in Forms::of_letters(c.encode_utf8(&mut [0; 4])) {
                assert_eq!(forms.folded.is_empty(), forms.looked.is_empty(), "{c:?}");
            }
        }
    }

    #[test]
    fn a_long_key_takes_a_bounded_time() {
        assert!(!leads("*\u{17f}", &"\u{17f}".repeat(200_000)));
    }
}
