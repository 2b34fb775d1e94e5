//! What looks like a credential inside a text.

use std::ops::Range;

use crate::scan::any_three;

/// How the tokens of the known providers begin.
const TOKEN_PREFIXES: [&str; 2] = ["pt-", "sk-ant-"];

/// The fewest characters, after a prefix or `Bearer`, that make a token.
pub(super) const TOKEN_BYTES_MIN: usize = 8;

/// The fewest bytes of a text that holds a token: the shortest prefix and the rest of it.
const SHORTEST: usize = 3 + TOKEN_BYTES_MIN;

/// Where the first credential in `text` lies.
pub(super) fn credential(text: &str) -> Option<Range<usize>> {
    if text.len() < SHORTEST || !may_hold_one(text) {
        return None;
    }
    let mut before = b' ';
    text.bytes().enumerate().find_map(|(at, byte)| {
        let fresh = !before.is_ascii_alphanumeric();
        before = byte;
        let likely = fresh && matches!(byte, b'p' | b's' | b'b' | b'B');
        let (start, bytes) = likely.then(|| text.get(at..).and_then(token)).flatten()?;
        Some(at + start..at + start + bytes)
    })
}

/// Whether a token's beginning stands anywhere in `text`, be it in the midst of a word: nearly
/// all texts are done with here.
fn may_hold_one(text: &str) -> bool {
    any_three(text.as_bytes(), |one, two, three| {
        let pt = one == b'p' && two == b't' && three == b'-';
        let sk = one == b's' && two == b'k' && three == b'-';
        let bea = one | 0x20 == b'b' && two | 0x20 == b'e' && three | 0x20 == b'a';
        pt || sk || bea
    })
}

/// Whether `text` holds the word that announces a token.
pub(super) fn announces(text: &str) -> bool {
    text.as_bytes().windows(6).any(|word| word.eq_ignore_ascii_case(b"bearer"))
}

/// Where the token is that `text` begins with or announces: its start and its length in bytes.
fn token(text: &str) -> Option<(usize, usize)> {
    let long = |token: &str| {
        // The characters of a token68 (RFC 9110, 11.2).
        let in_token = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        let bytes = token.bytes().take_while(in_token).count();
        (bytes >= TOKEN_BYTES_MIN).then_some(bytes)
    };
    if let Some(prefix) = TOKEN_PREFIXES.into_iter().find(|prefix| text.starts_with(prefix)) {
        return long(text.get(prefix.len()..)?).map(|bytes| (0, prefix.len() + bytes));
    }
    let announced = text.get(..6).filter(|word| word.eq_ignore_ascii_case("bearer"))?;
    let rest = text.get(announced.len()..)?;
    let token = rest.trim_start_matches([' ', ':', '\t']);
    let start = text.len() - token.len();
    (start > announced.len()).then(|| long(token)).flatten().map(|bytes| (start, bytes))
}
