//! A pattern letter by letter, so that each letter of a key may be one that is meant by its fold or
//! by its look, whatever the others are: in `CAS_COΝFIG` the Greek `Ν` is an `n` by its look alone,
//! and the `I` an `i` by its fold alone.

use super::lookalike::Forms;
use crate::base::work;

/// The longest key that is compared letter by letter, in letters as they are taken apart: four of
/// each of the 128 that a body's keys may have.
pub(super) const LETTERS_MAX: usize = 512;

/// The texts that a star stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Star {
    /// Any text.
    All,
    /// Any text without dots.
    WithinDots,
}

/// One step through a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Letter(Forms),
    /// The edge of a word, where keys are compared loosely.
    Edge,
}

/// A set of characters, not quite told apart: it may hold more than were put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chars(u64);

impl Chars {
    pub(super) fn add(&mut self, text: &str) {
        for c in text.chars() {
            self.0 |= 1 << (u32::from(c).wrapping_mul(0x9E37_79B1) >> 26);
        }
    }

    pub(super) fn unite(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The characters that both hold.
    pub(super) fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn may_hold(self, all: Self) -> bool {
        all.0 & !self.0 == 0
    }
}

/// A set of places.
#[derive(Clone, Debug)]
struct Places(Vec<u64>);

impl Places {
    fn of(places: usize) -> Self {
        Self(vec![0; places.div_ceil(64)])
    }

    fn none(&self) -> Self {
        Self(vec![0; self.0.len()])
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn insert(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn contains(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(number, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let place = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(number * 64 + place)
            })
        })
    }
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
    /// The edge of a word.
    Edge,
}

impl Ways {
    /// No way yet: a beginning that is the end.
    pub(super) fn none() -> Self {
        Self { places: vec![Vec::new()] }
    }

    /// The ways through a pattern's text.
    pub(super) fn through(text: &str, star: Star) -> Self {
        let mut ways = Self::none();
        for (number, literal) in text.split('*').enumerate() {
            if number > 0 {
                ways.add_star(star);
            }
            for forms in Forms::of_letters(literal) {
                ways.extend(&forms);
            }
        }
        ways
    }

    /// Whether a text goes all the way through, each of its letters in either form.
    pub(super) fn lead<'f>(&self, items: impl Iterator<Item = &'f Item>) -> bool {
        let mut at = Places::of(self.places.len());
        at.insert(0);
        let (mut ahead, mut next, mut by) = (at.none(), at.none(), at.none());
        let mut letters = 0;
        for item in items {
            match item {
                Item::Edge => {
                    self.step(&at, &mut ahead, |way| way.by == By::Edge);
                    at.unite(&ahead);
                }
                Item::Letter(forms) => {
                    letters += 1;
                    next.clear();
                    for form in forms.different() {
                        by.clone_from(&at);
                        for c in form.chars() {
                            self.step(&by, &mut ahead, |way| way.by.takes(c));
                            std::mem::swap(&mut by, &mut ahead);
                        }
                        next.unite(&by);
                    }
                    std::mem::swap(&mut at, &mut next);
                    if at.is_empty() || letters > LETTERS_MAX {
                        return false;
                    }
                }
            }
        }
        at.contains(self.end())
    }

    fn step(&self, at: &Places, ahead: &mut Places, takes: impl Fn(&Way) -> bool) {
        ahead.clear();
        for place in at.iter() {
            let ways = self.places.get(place).map(Vec::as_slice).unwrap_or_default();
            work::count(1 + ways.len());
            ways.iter().filter(|way| takes(way)).for_each(|way| ahead.insert(way.to));
        }
    }

    /// The characters without which no text gets through.
    pub(super) fn needs(items: impl Iterator<Item = Item>) -> Chars {
        let mut needs = Chars::default();
        for item in items {
            match item {
                Item::Letter(forms) if !forms.vary() => needs.add(&forms.folded),
                _ => {}
            }
        }
        needs
    }

    pub(super) fn add_star(&mut self, star: Star) {
        let end = self.end();
        self.add(end, By::Star(star), end);
    }

    pub(super) fn add_edge(&mut self) {
        let end = self.end();
        self.places.push(Vec::new());
        self.add(end, By::Edge, end + 1);
    }

    fn end(&self) -> usize {
        self.places.len() - 1
    }

    /// Adds a letter at the end, in both its forms.
    pub(super) fn extend(&mut self, forms: &Forms) {
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
            Self::Edge => false,
        }
    }
}

#[cfg(test)]
mod tests {
    fn letters(text: &str) -> Vec<Item> {
        Forms::of_letters(text).map(Item::Letter).collect()
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
