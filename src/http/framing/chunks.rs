//! A body in chunks (RFC 9112, 7.1).

use super::FramingError;
use super::head::{field, is_token};

/// The most digits of a chunk's size.
const DIGITS_MAX: usize = 15;

/// Fields that say where a message ends or whose it is: in a trailer they come too late.
const HEAD_ONLY: [&[u8]; 6] = [
    b"authorization",
    b"content-length",
    b"host",
    b"transfer-encoding",
    b"x-api-key",
    b"content-type",
];

/// The size that a chunk's first line tells. Extensions mean nothing, but have to be well-formed.
pub(super) fn size(line: &[u8]) -> Result<u64, FramingError> {
    let (digits, rest) = split(line, |byte: u8| byte.is_ascii_hexdigit());
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    let size = u64::from_str_radix(digits, 16).ok();
    size.filter(|_| are_extensions(rest) && digits.len() <= DIGITS_MAX).ok_or(FramingError::Chunk)
}

/// `;name`, `;name=token` or `;name="text"`, any number of them (RFC 9112, 7.1.1).
fn are_extensions(mut text: &[u8]) -> bool {
    while let [b';', rest @ ..] = text {
        let (name, rest) = split(rest.trim_ascii_start(), is_token);
        text = match rest.trim_ascii_start() {
            [b'=', value @ ..] => match after_value(value.trim_ascii_start()) {
                Some(rest) => rest,
                None => return false,
            },
            _ => rest,
        };
        if name.is_empty() {
            return false;
        }
    }
    text.is_empty()
}

/// The bytes behind a token or a text in quotes (RFC 9110, 5.6.4).
fn after_value(text: &[u8]) -> Option<&[u8]> {
    let [b'"', quoted @ ..] = text else {
        let (token, rest) = split(text, is_token);
        return (!token.is_empty()).then_some(rest);
    };
    let plain = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let mut bytes = quoted.iter();
    loop {
        let byte = match *bytes.next()? {
            b'"' => return Some(bytes.as_slice()),
            b'\\' => *bytes.next()?,
            byte => byte,
        };
        if !plain(byte) {
            return None;
        }
    }
}

/// The bytes up to the first that is none of those, and the rest.
fn split(text: &[u8], is: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !is(*byte)).unwrap_or(text.len()))
}

/// A field line of the trailer section.
pub(super) fn trailer(line: &[u8]) -> Result<(), FramingError> {
    let (name, _value) = field(line)?;
    let late = HEAD_ONLY.iter().any(|field| name.eq_ignore_ascii_case(field));
    if late { Err(FramingError::Trailer) } else { Ok(()) }
}
