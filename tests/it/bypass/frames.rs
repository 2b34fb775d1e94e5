//! A case as HTTP/2, and what is answered to it.

use tokio::io::AsyncRead;

use crate::world::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PAYLOAD_MAX, RST_STREAM, field,
    frame, next,
};

/// A server's answer on one stream.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) reset: bool,
    ended: bool,
}

/// A whole request on a stream.
pub(super) fn request(stream: u32, fields: &super::case::Fields) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (bare, last) = (fields.body.is_empty(), fields.trailers.is_empty());
    head(&mut bytes, stream, &fields.head, bare && last);
    let mut chunks = fields.body.chunks(PAYLOAD_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let end = last && chunks.peek().is_none();
        frame(&mut bytes, DATA, u8::from(end), stream, chunk);
    }
    if !last {
        head(&mut bytes, stream, &fields.trailers, true);
    }
    bytes
}

fn head(bytes: &mut Vec<u8>, stream: u32, fields: &[(Vec<u8>, Vec<u8>)], end: bool) {
    let mut block = Vec::new();
    for (name, value) in fields {
        field(&mut block, name, value);
    }
    let mut kind = HEADERS;
    let mut parts = block.chunks(PAYLOAD_MAX).peekable();
    while let Some(part) = parts.next() {
        let whole = if parts.peek().is_none() { END_HEADERS } else { 0 };
        let end = if end && kind == HEADERS { END_STREAM } else { 0 };
        frame(bytes, kind, whole | end, stream, part);
        kind = CONTINUATION;
    }
}

/// Reads the answers on streams 1 and 3 until both have ended, or the connection has.
pub(super) async fn listen(wire: &mut (impl AsyncRead + Unpin)) -> [Said; 2] {
    let mut said = [Said::default(), Said::default()];
    while said.iter().any(|said| !said.ended) {
        let Ok(Some(heard)) = next(wire).await else { break };
        let at = match (heard.kind, heard.stream) {
            (GOAWAY, _) => break,
            (_, 1) => 0,
            (_, 3) => 1,
            _ => continue,
        };
        let said = &mut said[at];
        match heard.kind {
            HEADERS if said.status.is_none() => {
                said.status = status(&heard.payload).filter(|s| *s >= 200);
            }
            DATA => said.body.extend_from_slice(&heard.payload),
            RST_STREAM => said.reset = true,
            _ => {}
        }
        said.ended |= heard.is(RST_STREAM) || heard.ends_stream();
    }
    said
}

/// The status that begins a block of fields: an entry of the static table, or three digits.
fn status(block: &[u8]) -> Option<u16> {
    // A change of the dynamic table's size may come first.
    let at = block.iter().position(|b| b & 0xe0 != 0x20 || *b == 0x3f)?;
    let known = [200, 204, 206, 304, 400, 404, 500];
    match block.get(at..)? {
        [first @ 0x88..=0x8e, ..] => known.get(usize::from(first - 0x88)).copied(),
        [0x48 | 0x08, 3, digits @ ..] => String::from_utf8_lossy(digits.get(..3)?).parse().ok(),
        [0x48 | 0x08, coded, digits @ ..] if coded & 0x80 > 0 => huffman(digits),
        _ => None,
    }
}

/// Three digits in Huffman code (RFC 7541, B): 0 to 2 have five bits, the others six.
fn huffman(bytes: &[u8]) -> Option<u16> {
    let mut bits = bytes.iter().take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    bits <<= 8 + 8 * (3_usize.saturating_sub(bytes.len()));
    let mut number = 0;
    for _ in 0..3 {
        let (digit, length) = match bits >> 27 {
            digit @ 0..=2 => (digit, 5),
            _ => ((bits >> 26).checked_sub(0x19)? + 3, 6),
        };
        number = number * 10 + u16::try_from(digit).ok()?;
        bits <<= length;
    }
    Some(number)
}

#[test]
fn statuses_are_read() {
    for (block, read) in [
        (&b"\x88"[..], 200),
        (b"\x8c", 400),
        (b"\x48\x03401", 401),
        // 403: 011010 00000 011001.
        (&[0x48, 0x83, 0b0110_1000, 0b0000_1100, 0b1111_1111], 403),
    ] {
        assert_eq!(status(block), Some(read));
    }
}
