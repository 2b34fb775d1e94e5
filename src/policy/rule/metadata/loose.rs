//! Keys as careless stores compare them: without regard to accents, nor to how words are joined, so
//! that `owner-override`, `ownerOverride`, `owner_override[]` and `ówner_override` are one key.

use std::iter;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::letters::{Item, Star, Ways};
use super::lookalike::Forms;
use crate::base::scan::any;
use crate::deployment::name::seen_in;

/// How metadata keys are compared with forbidden and protected ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compare {
    /// By their look alone: case, width, look-alikes and what is not seen.
    Strict,
    /// Without regard to accents and separators of words too.
    #[default]
    Loose,
}

/// The letters of a key, and the edges of its words.
pub(super) fn items_of(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut letters = seen_in(text.nfd()).filter(|c| !is_combining_mark(*c)).peekable();
    let mut former = None;
    while let Some(letter) = letters.next() {
        let forms = without_marks(&Forms::of(letter.encode_utf8(&mut [0; 4])));
        let is_separator = forms.folded.chars().all(separates);
        let next = letters.peek();
        let begins = former.is_some_and(|former: char| {
            letter.is_uppercase()
                && (!former.is_uppercase() || next.is_some_and(|next| next.is_lowercase()))
        });
        if (is_separator || begins) && items.last() != Some(&Item::Edge) {
            items.push(Item::Edge);
        }
        if !is_separator {
            items.push(Item::Letter(forms));
        }
        former = Some(letter);
    }
    items
}

/// The ways through one part of a pattern for keys that are compared loosely: its separators
/// are none of its letters, but beside a star there must be an edge of a word.
pub(super) fn ways_through(text: &str) -> Ways {
    let mut ways = Ways::none();
    let parts = text.split('*').count();
    for (number, literal) in text.split('*').enumerate() {
        if number > 0 {
            ways.add_star(Star::All);
        }
        let items = items_of(literal);
        let last = items.len().saturating_sub(1);
        for (place, item) in items.iter().enumerate() {
            match item {
                Item::Letter(forms) => ways.extend(forms),
                Item::Edge if place == 0 && number > 0 => ways.add_edge(),
                Item::Edge if place == last && number + 1 < parts => ways.add_edge(),
                Item::Edge => {}
            }
        }
    }
    ways
}

/// The parts of a key that some servers read as a path, in order.
pub(super) fn parts_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| leads_on(c))
        .filter(|part| !part.chars().all(|c| c.is_ascii() && separates(c)))
}

/// Whether a key may be read as a path, or ends as one does.
pub(super) fn is_path(text: &str) -> bool {
    if text.is_ascii() {
        return any(text.as_bytes(), |byte| matches!(byte, b'.' | b'[' | b']'));
    }
    text.chars().any(leads_on)
}

/// Whether a character leads from one part of a path to the next, in any width.
fn leads_on(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, '.' | '[' | ']');
    }
    let folded = iter::once(c).nfkc();
    folded.clone().count() == 1 && folded.into_iter().all(|c| matches!(c, '.' | '[' | ']'))
}

fn separates(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | '[' | ']' | '\'' | '"')
}

fn without_marks(forms: &Forms) -> Forms {
    let strip = |form: &str| -> String {
        if form.is_ascii() {
            return form.to_owned();
        }
        form.nfd().filter(|c| !is_combining_mark(*c)).collect()
    };
    Forms { folded: strip(&forms.folded), looked: strip(&forms.looked) }
}
