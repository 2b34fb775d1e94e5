//! Credentials that are known by how they look.

use std::ops::Range;

use memchr::memmem;

use super::{Credentials, TOKEN_BYTES_MIN};
use crate::audit::redact::work::looked;

/// How far ahead a word is looked at to tell whether it may be random.
const JUDGED_BYTES_MAX: usize = 32;

/// The longest row of letters that a word of a language has.
const WORD_BYTES_MAX: usize = 16;

/// The fewest bytes of a token that is found in the midst of a word, too.
const LONG_BYTES_MIN: usize = 30;

/// The most bytes of a line that begins or ends a private key.
const LABEL_BYTES_MAX: usize = 64;

/// The prefixes of published tokens that a word can't begin with by chance.
const PREFIXES: [&str; 9] =
    ["pt-", "sk-ant-", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-"];

/// The prefixes of AWS access keys, and how many capitals and digits follow at least.
const ACCESS_KEYS: [(&str, usize); 2] = [("AKIA", 12), ("ASIA", 16)];

impl Credentials<'_> {
    /// A token whose prefix begins at `at`.
    pub(super) fn prefixed(&mut self, at: usize, first: u8) -> Option<Range<usize>> {
        if first == b'A' {
            return self.access_key(at);
        }
        let known = PREFIXES.iter().find(|prefix| self.text.has(at, prefix));
        let slack = || self.text.has(at, "xox") && self.text.at(at + 4) == Some(b'-');
        let (prefix_bytes, is_chance) = match known {
            Some(prefix) => (prefix.len(), false),
            None if slack() => (5, false),
            None if self.text.has(at, "sk-") => (3, true),
            None => return None,
        };
        let end = self.token_end(at);
        let is_glued = !self.is_fresh(at);
        let needed = if is_glued { LONG_BYTES_MIN } else { TOKEN_BYTES_MIN };
        let is_short = end < at + prefix_bytes + needed;
        // `desk-…` and `opt-…` end words of a language, so that a prefix of theirs is chance.
        let is_word = is_glued && prefix_bytes == 3;
        let is_likely = || !is_chance || self.is_random(at + prefix_bytes);
        (!is_short && !is_word && is_likely()).then_some(at..end)
    }

    /// The end of the token (a token68 of RFC 9110, 11.2) that `at` lies in; a full stop behind it
    /// is not its.
    pub(super) fn token_end(&mut self, at: usize) -> usize {
        let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let end = self.token_end.find(self.text, at, |byte| !in_token(byte));
        end - usize::from(self.text.before(end) == Some(b'.')).min(end - at)
    }

    /// Whether the word at `at` looks as if chance had made it.
    fn is_random(&self, at: usize) -> bool {
        let end = self.text.end().min(at + JUDGED_BYTES_MAX);
        let part = self.text.part(at, end);
        let in_word = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let bytes = part.iter().take_while(in_word).count();
        looked(3 * bytes);
        let word = part.get(..bytes).unwrap_or_default();
        let has = |is: fn(&u8) -> bool| word.iter().any(is);
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let mut parts = word.split(|byte| matches!(byte, b'-' | b'_'));
        bytes >= TOKEN_BYTES_MIN
            && (has(u8::is_ascii_digit)
                || is_mixed
                || parts.any(|part| part.len() >= WORD_BYTES_MAX))
    }

    fn access_key(&self, at: usize) -> Option<Range<usize>> {
        let (prefix, needed) = ACCESS_KEYS.iter().find(|(prefix, _)| self.text.has(at, prefix))?;
        let start = at + prefix.len();
        let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        // Longer than any of them, it is something else.
        let part = self.text.part(start, self.text.end().min(start + JUDGED_BYTES_MAX));
        let bytes = part.iter().take_while(|byte| plain(byte)).count();
        looked(bytes);
        (bytes >= *needed && self.is_fresh(at)).then_some(at..start + bytes)
    }

    /// A JSON Web Token (RFC 7519): parts in base64url, the first of which begins as `{"` does.
    pub(super) fn web_token(&mut self, at: usize) -> Option<Range<usize>> {
        if !self.text.has(at, "eyJ") || !self.is_fresh(at) {
            return None;
        }
        let end = self.token_end(at);
        let dot = self.dot.find(self.text, at, |byte| byte == b'.');
        let is_one = dot >= at + TOKEN_BYTES_MIN && end > dot + TOKEN_BYTES_MIN;
        is_one.then_some(at..end)
    }

    /// The token behind the word `Bearer` or `Basic` at `at`.
    pub(super) fn scheme(&mut self, at: usize) -> Option<Range<usize>> {
        let is_bearer = self.text.has_in_any_case(at, "bearer");
        if !self.is_fresh(at) || !is_bearer && !self.text.has_in_any_case(at, "basic") {
            return None;
        }
        let behind = at + if is_bearer { 6 } else { 5 };
        let start = self.text.find(behind, |byte| !b" :\t".contains(&byte));
        let end = self.token_end(start);
        let is_long = start > behind && end >= start + TOKEN_BYTES_MIN;
        (is_long && (is_bearer || self.is_basic(start, end))).then_some(start..end)
    }

    /// Whether the token is a user and a password in base64, and not a word.
    fn is_basic(&self, start: usize, end: usize) -> bool {
        let word = self.text.part(start, end.min(start + JUDGED_BYTES_MAX));
        looked(4 * word.len());
        let has = |is: fn(&u8) -> bool| word.iter().any(is);
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let is_padded = self.text.before(end) == Some(b'=');
        is_padded || is_mixed && has(u8::is_ascii_digit) || has_colon(word)
    }

    /// A private key in PEM (RFC 7468) whose first line holds the `BEGIN` at `at`: to the end of
    /// its last line, or of the text.
    pub(super) fn private_key(&mut self, at: usize) -> Option<Range<usize>> {
        let text = self.text;
        if !text.has(at, "BEGIN ") {
            return None;
        }
        let label = text.part(at, text.end().min(at + LABEL_BYTES_MAX));
        looked(2 * label.len());
        memmem::find(label, b"PRIVATE KEY")?;
        let floor = at.saturating_sub(LABEL_BYTES_MAX);
        let spaced = text.back(at, floor, |byte| byte == b' ');
        let dashed = text.back(spaced, floor, |byte| byte == b'-');
        let start = if dashed < spaced { dashed } else { at };
        let rest = text.part(at, text.end());
        let last = memmem::find(rest, b"END ").map_or(rest.len(), |last| last + 4);
        looked(last);
        let last = at + last;
        let line_end = text.end().min(last + LABEL_BYTES_MAX);
        let label = text.part(last, line_end);
        looked(label.len());
        let end = memmem::find(label, b"KEY").map_or(text.end(), |name| {
            let name = last + name + 3;
            let name = if text.has(name, " BLOCK") { name + 6 } else { name };
            text.find(name, |byte| byte != b'-')
        });
        self.next = end;
        Some(start..end)
    }
}

/// Whether a text in base64 holds a colon between characters that can be typed.
fn has_colon(word: &[u8]) -> bool {
    let sextet = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let mut colon = false;
    for four in word.chunks_exact(4) {
        let mut bits = 0_u32;
        for byte in four {
            let Some(sextet) = sextet(*byte) else { return colon && *byte == b'=' };
            bits = bits << 6 | u32::from(sextet);
        }
        let [_, three @ ..] = bits.to_be_bytes();
        if three.iter().any(|byte| !(b' '..=b'~').contains(byte)) {
            return false;
        }
        colon |= three.contains(&b':');
    }
    colon
}
