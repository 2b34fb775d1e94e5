//! Texts that look like credentials inside others, found in one pass: each byte is looked at a few
//! times, whatever the text.

use std::ops::Range;

pub(super) use self::beginning::may_hold_one;
use super::name::{NameMeaning, SecretNames};
use super::text::{Ahead, Text};
use crate::base::key::CONCEALED;

mod beginning;
mod pair;
mod shape;
mod url;

/// The fewest characters, after a prefix or `Bearer`, that make a token.
pub(super) const TOKEN_BYTES_MIN: usize = 8;

/// The most credentials that are told apart in one text; the rest of it is concealed as one.
pub(super) const CREDENTIALS_MAX: usize = 1_000;

/// The length of a digest in a secret's place.
const CONCEALED_BYTES: usize = CONCEALED.len() + 32;

/// The credentials in a text. They may overlap: within one, the beginning of another is looked for
/// that goes on behind it.
pub(super) struct Credentials<'t> {
    text: Text<'t>,
    names: &'t SecretNames,
    /// The place that is looked at next.
    next: usize,
    found: usize,
    token_end: Ahead,
    dot: Ahead,
    authority_end: Ahead,
    space: Ahead,
    at_sign: Ahead,
    value_end: Ahead,
    json_end: Ahead,
    line_end: Ahead,
    /// A line's end, and that of the text in it.
    line: (usize, usize),
    quotes: [Ahead; 3],
}

impl<'t> Credentials<'t> {
    /// The credentials in `text`, in which pairs are secret by `names`.
    pub(super) fn of(text: &'t [u8], names: &'t SecretNames) -> Self {
        Self {
            text: Text(text),
            names,
            next: 0,
            found: 0,
            token_end: Ahead::default(),
            dot: Ahead::default(),
            authority_end: Ahead::default(),
            space: Ahead::default(),
            at_sign: Ahead::default(),
            value_end: Ahead::default(),
            json_end: Ahead::default(),
            line_end: Ahead::default(),
            line: (0, 0),
            quotes: [Ahead::default(); 3],
        }
    }

    /// The credential that the byte at `at` begins or announces.
    fn announced(&mut self, at: usize, byte: u8) -> Option<Range<usize>> {
        match byte {
            b':' if self.text.has(at + 1, "//") => self.url(at + 3),
            b':' if self.text.has(at + 1, "\\/\\/") => self.url(at + 5),
            b':' | b'=' => self.pair(at),
            b'b' | b'B' => self.scheme(at).or_else(|| self.private_key(at)),
            b'p' | b's' | b'g' | b'x' | b'A' => self.prefixed(at, byte),
            b'e' => self.web_token(at),
            b'h' | b'H' => self.hook(at),
            _ => None,
        }
    }

    /// Whether a word begins at `at`.
    fn is_fresh(&self, at: usize) -> bool {
        !self.text.before(at).is_some_and(|byte| byte.is_ascii_alphanumeric())
    }

    /// Whether the range lies within a secret's digest already.
    fn is_concealed(&self, range: &Range<usize>) -> bool {
        let digits = range.start + CONCEALED.len();
        let digits = self.text.part(digits, range.start + CONCEALED_BYTES);
        range.len() <= CONCEALED_BYTES
            && self.text.has(range.start, CONCEALED)
            && digits.len() + CONCEALED.len() == CONCEALED_BYTES
            && digits.iter().all(u8::is_ascii_hexdigit)
    }
}

impl Iterator for Credentials<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while let Some(byte) = self.text.at(self.next) {
            let at = self.next;
            self.next += 1;
            let Some(found) = self.announced(at, byte) else { continue };
            if found.is_empty() || self.is_concealed(&found) {
                continue;
            }
            self.found += 1;
            if self.found < CREDENTIALS_MAX {
                return Some(found);
            }
            self.next = self.text.end();
            return Some(found.start..self.next);
        }
        None
    }
}

/// Whether a name in a text says that its value is secret.
fn is_secret(named: NameMeaning, value: &[u8]) -> bool {
    let is_amount = || value.iter().all(|byte| byte.is_ascii_digit() || b",.%".contains(byte));
    match named {
        NameMeaning::Secret => true,
        NameMeaning::Counted => !is_amount(),
        NameMeaning::Plain | NameMeaning::Variables | NameMeaning::Environment => false,
    }
}
