//! HTTP/2 by hand: client libraries do not send what is malformed. Every field is a literal
//! without indexing (RFC 7541, 6.2.2) and without Huffman coding.

use tokio::io::{AsyncRead, AsyncReadExt as _};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The longest payload of a frame that every peer takes.
const PAYLOAD_MAX: usize = 16_384;

/// What a server says on a stream.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) reset: bool,
    ended: bool,
}

/// The preface and empty settings.
pub(super) fn preface() -> Vec<u8> {
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()
}

/// A whole request on a stream.
pub(super) fn request(stream: u8, fields: &super::case::Fields) -> Vec<u8> {
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

fn head(bytes: &mut Vec<u8>, stream: u8, fields: &[(Vec<u8>, Vec<u8>)], end: bool) {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
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

/// A length in a prefix of 7 bits (RFC 7541, 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
    bytes.extend_from_slice(payload);
}

/// What is said on streams 1 and 3 until both have ended, or the connection.
pub(super) async fn listen(wire: &mut (impl AsyncRead + Unpin)) -> [Said; 2] {
    let mut said = [Said::default(), Said::default()];
    while said.iter().any(|said| !said.ended) {
        let Some((kind, flags, stream, payload)) = next(wire).await else { break };
        let at = match (kind, stream) {
            (GOAWAY, _) => break,
            (_, 1) => 0,
            (_, 3) => 1,
            _ => continue,
        };
        let said = &mut said[at];
        match kind {
            HEADERS if said.status.is_none() => {
                said.status = status(&payload).filter(|s| *s >= 200);
            }
            DATA => said.body.extend_from_slice(&payload),
            RST_STREAM => said.reset = true,
            _ => {}
        }
        said.ended |=
            kind == RST_STREAM || (matches!(kind, DATA | HEADERS) && flags & END_STREAM > 0);
    }
    said
}

async fn next(wire: &mut (impl AsyncRead + Unpin)) -> Option<(u8, u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    wire.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, _, _, _, stream] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    wire.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, stream, payload))
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
