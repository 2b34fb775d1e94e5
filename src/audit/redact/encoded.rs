//! Percent-encoded text (RFC 3986, 2.1), decoded in a way that tells where each byte came from.

use super::work::made;

/// A text with its escapes decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    /// Where, in `bytes`, those that were escaped are.
    escapes: Vec<usize>,
}

impl Decoded {
    /// The text with every escape decoded once; `None` where it has none.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let mut rest = text;
        let mut decoded = Self { bytes: Vec::new(), escapes: Vec::new() };
        while let Some(sign) = memchr::memchr(b'%', rest) {
            let (plain, escape) = rest.split_at(sign);
            decoded.bytes.extend_from_slice(plain);
            let (byte, bytes) = match escape {
                [_, high, low, ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 3),
                    _ => (b'%', 1),
                },
                _ => (b'%', 1),
            };
            if bytes == 3 {
                decoded.escapes.push(decoded.bytes.len());
            }
            decoded.bytes.push(byte);
            rest = escape.get(bytes..).unwrap_or_default();
        }
        if decoded.escapes.is_empty() {
            return None;
        }
        decoded.bytes.extend_from_slice(rest);
        made(text.len() + decoded.bytes.len());
        Some(decoded)
    }

    /// Where the byte at `at` began before it was decoded.
    pub(super) fn encoded(&self, at: usize) -> usize {
        at + 2 * self.escapes.partition_point(|escape| *escape < at)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
