//! A body in chunks (RFC 9112, 7.1).

use super::Fault;
use super::head::field;

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
pub(super) fn size(line: &[u8]) -> Result<u64, Fault> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at(end);
    let plain = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let sound = match extensions {
        [] => true,
        [b';', _, ..] => extensions.iter().all(plain),
        _ => false,
    };
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    let size = u64::from_str_radix(digits, 16).ok();
    size.filter(|_| sound && digits.len() <= DIGITS_MAX).ok_or(Fault::Chunk)
}

/// A field line of the trailer section.
pub(super) fn trailer(line: &[u8]) -> Result<(), Fault> {
    let (name, _value) = field(line)?;
    let late = HEAD_ONLY.iter().any(|field| name.eq_ignore_ascii_case(field));
    if late { Err(Fault::Trailer) } else { Ok(()) }
}
