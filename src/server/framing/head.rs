//! A request's head, line by line.

use super::Fault;

/// What a head has told of its message so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    is_http_10: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    None,
    Bytes(u64),
    Chunked,
}

impl Head {
    /// The head that begins with this request line (RFC 9112, 3).
    pub(super) fn begin(line: &[u8]) -> Result<Self, Fault> {
        if line.contains(&b'\r') {
            return Err(Fault::LineEnd);
        }
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), version, None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Fault::RequestLine);
        };
        let is_http_10 = match version {
            Some(b"HTTP/1.1") => false,
            Some(b"HTTP/1.0") => true,
            Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Fault::Version);
            }
            Some(version @ [_, ..]) if !version.to_ascii_uppercase().starts_with(b"HTTP") => {
                return Err(Fault::Foreign);
            }
            _ => return Err(Fault::RequestLine),
        };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) || target.is_empty() {
            return Err(Fault::RequestLine);
        }
        if !target.iter().all(u8::is_ascii_graphic) {
            return Err(Fault::Target);
        }
        if target.contains(&b'#') {
            return Err(Fault::Fragment);
        }
        Ok(Self { is_http_10, length: None, is_chunked: false })
    }

    /// A field line (RFC 9112, 5).
    pub(super) fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let (name, value) = field(line)?;
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(Fault::Length)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let only = value.eq_ignore_ascii_case(b"chunked");
                if self.is_chunked || self.is_http_10 || !only {
                    return Err(Fault::Coding);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// How long the body is, now that the head is whole (RFC 9112, 6.3).
    pub(super) const fn length(&self) -> Result<Length, Fault> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Fault::LengthAndCoding),
            (true, None) => Ok(Length::Chunked),
            (false, Some(bytes)) => Ok(Length::Bytes(bytes)),
            (false, None) => Ok(Length::None),
        }
    }
}

/// A field's name, and its value without white space around it.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Fault::Folded);
    }
    let end = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let ([_, ..], [b':', value @ ..]) = (name, rest) else { return Err(Fault::FieldName) };
    // In numbers and to the end, without a branch, so that many bytes are looked at at once.
    let is = |found: bool| u8::from(found);
    let controls = value
        .iter()
        .fold(0, |found, byte| found | is(*byte < b' ') & is(*byte != b'\t') | is(*byte == 0x7f));
    if controls > 0 {
        return Err(if value.contains(&b'\r') { Fault::LineEnd } else { Fault::FieldValue });
    }
    Ok((name, value.trim_ascii()))
}

/// Digits and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Whether a byte may stand in a method or a field's name (RFC 9110, 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || SYMBOLS & (1_u128 << (byte & 0x7f)) != 0 && byte < 0x80
}

/// The bits of the symbols that a token may have.
const SYMBOLS: u128 = {
    let (mut symbols, mut bits) = (b"!#$%&'*+-.^_`|~".as_slice(), 0);
    while let [first, rest @ ..] = symbols {
        bits |= 1_u128 << *first;
        symbols = rest;
    }
    bits
};
