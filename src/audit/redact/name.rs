//! Names of members, as they are held against those of secret ones.

/// Whether two names differ in case, `_` and `-` only: `api_key`, `API-Key` and `apiKey` do.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

/// What of a name is compared.
fn letters(name: &str) -> impl DoubleEndedIterator<Item = u8> {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
    letters.map(|byte| byte.to_ascii_lowercase())
}

/// A bit that names of the same letters share, and few others: by the first and the last of them.
pub(super) fn mark(name: &str) -> u64 {
    let last = letters(name).next_back().unwrap_or_default();
    let first = letters(name).next().unwrap_or_default();
    1 << ((first.wrapping_mul(5) ^ last) % 64)
}
