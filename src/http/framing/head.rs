//! A request's head, line by line.

use memchr::{memchr, memrchr};

use super::FramingError;
use crate::base::scan::any;

/// The longest method, in bytes: no one that is known has a tenth of it.
pub(super) const METHOD_BYTES_MAX: usize = 256;

/// The facts of a message that its head has told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    pub(super) fn begin(line: &[u8]) -> Result<Self, FramingError> {
        let read = Self::of_request_line(line);
        read.map_err(|fault| if line.contains(&b'\r') { FramingError::LineEnd } else { fault })
    }

    fn of_request_line(line: &[u8]) -> Result<Self, FramingError> {
        let (first, last) =
            memchr(b' ', line).zip(memrchr(b' ', line)).ok_or(FramingError::RequestLine)?;
        let method = line.get(..first).unwrap_or_default();
        let target = line.get(first + 1..last).ok_or(FramingError::RequestLine)?;
        let is_http_10 = match line.get(last + 1..).unwrap_or_default() {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(FramingError::Version);
            }
            version @ [_, ..]
                if !version.to_ascii_uppercase().starts_with(b"HTTP")
                    && !target.contains(&b' ') =>
            {
                return Err(FramingError::Foreign);
            }
            _ => return Err(FramingError::RequestLine),
        };
        let is_method = (1..=METHOD_BYTES_MAX).contains(&method.len());
        if !is_method || !method.iter().all(|byte| is_token(*byte)) || target.is_empty() {
            return Err(FramingError::RequestLine);
        }
        if any(target, |byte| !(b'!'..=b'~').contains(&byte)) {
            return Err(if target.contains(&b' ') {
                FramingError::RequestLine
            } else {
                FramingError::Target
            });
        }
        if any(target, |byte| byte == b'#') {
            return Err(FramingError::Fragment);
        }
        Ok(Self { is_http_10, length: None, is_chunked: false })
    }

    /// Whether both are of the same version of HTTP.
    pub(super) const fn has_version_of(self, other: Self) -> bool {
        self.is_http_10 == other.is_http_10
    }

    /// A field line (RFC 9112, 5).
    pub(super) fn field(&mut self, line: &[u8]) -> Result<(), FramingError> {
        let (name, value) = field(line)?;
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(FramingError::Length)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let only = value.eq_ignore_ascii_case(b"chunked");
                if self.is_chunked || self.is_http_10 || !only {
                    return Err(FramingError::Coding);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// How long the body is, now that the head is whole (RFC 9112, 6.3).
    pub(super) const fn length(&self) -> Result<Length, FramingError> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(FramingError::LengthAndCoding),
            (true, None) => Ok(Length::Chunked),
            (false, Some(bytes)) => Ok(Length::Bytes(bytes)),
            (false, None) => Ok(Length::None),
        }
    }
}

/// A field's name, and its value without white space around it.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), FramingError> {
    if let [b' ' | b'\t', ..] = line {
        return Err(FramingError::Folded);
    }
    let end = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let ([_, ..], [b':', value @ ..]) = (name, rest) else { return Err(FramingError::FieldName) };
    if any(value, |byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        return Err(if value.contains(&b'\r') {
            FramingError::LineEnd
        } else {
            FramingError::FieldValue
        });
    }
    Ok((name, value.trim_ascii()))
}

/// Digits and nothing else; none in front that some would take for a sign of octal ones.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit) && !matches!(text, [] | [b'0', _, ..]);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Whether a byte may stand in a method or a field's name (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut places = token.as_mut_slice();
    let mut byte = 0_u8;
    while let [place, rest @ ..] = places {
        let symbols = b"!#$%&'*+-.^_`|~";
        let mut left = symbols.as_slice();
        while let [symbol, rest @ ..] = left {
            if byte == *symbol {
                *place = true;
            }
            left = rest;
        }
        if byte.is_ascii_alphanumeric() {
            *place = true;
        }
        byte = byte.wrapping_add(1);
        places = rest;
    }
    token
};
