//! HTTP/2 by hand: client libraries do not send what is malformed. Every field is a literal
//! without indexing (RFC 7541, 6.2.2) and without Huffman coding.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// The types of frames, by number (RFC 9113, 6).
pub(crate) const TYPES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];

/// The codes of errors, by number (RFC 9113, 7).
pub(crate) const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The connection preface that a client sends before any frame (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest payload of a frame that every peer takes.
pub(crate) const PAYLOAD_MAX: usize = 16_384;

/// How long an answer is waited for: a server that is this slow says nothing more.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The next thing that a server does on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Frame(Frame),
    /// The connection is closed, in order.
    Closed,
    /// It is broken off, in the midst of a frame or by a reset.
    Broken,
    /// Nothing for a long time.
    Silence,
}

/// The preface and empty settings.
pub(crate) fn preface() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    bytes
}

pub(crate) fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// A field as a literal.
pub(crate) fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text);
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

/// The next frame; none at the end.
pub(crate) async fn next(wire: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Frame>> {
    let mut head = [0; 9];
    if wire.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    wire.read_exact(&mut head[1..]).await?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    wire.read_exact(&mut payload).await?;
    Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload }))
}

impl Frame {
    pub(crate) fn is(&self, kind: u8) -> bool {
        self.kind == kind
    }

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM > 0
    }

    /// The error that a reset or GOAWAY tells.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        self.payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().unwrap()))
    }
}

/// A client.
pub(crate) struct Peer<W>(pub(crate) W);

impl<W: AsyncRead + AsyncWrite + Unpin> Peer<W> {
    /// Sends bytes; a server that has heard enough may have closed, which is heard next.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.0.write_all(bytes)).await;
        let _ = timeout(PATIENCE, self.0.flush()).await;
    }

    pub(crate) async fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame(&mut bytes, kind, flags, stream, payload);
        self.send(&bytes).await;
    }

    pub(crate) async fn hear(&mut self) -> Heard {
        match timeout(PATIENCE, next(&mut self.0)).await {
            Ok(Ok(Some(frame))) => Heard::Frame(frame),
            Ok(Ok(None)) => Heard::Closed,
            // Who ends TLS without a word of farewell between two records has closed all the same.
            Ok(Err(error)) if error.to_string().contains("close_notify") => Heard::Closed,
            Ok(Err(_)) => Heard::Broken,
            Err(_) => Heard::Silence,
        }
    }

    /// Exchanges settings, as every connection begins: the server's settings, by number.
    pub(crate) async fn shake_hands(&mut self, settings: &[u8]) -> Vec<(u16, u32)> {
        let mut bytes = PREFACE.to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, settings);
        self.send(&bytes).await;
        let (mut theirs, mut acknowledged) = (None, false);
        while theirs.is_none() || !acknowledged {
            let Heard::Frame(heard) = self.hear().await else { panic!("no handshake") };
            match (heard.kind, heard.flags & ACK) {
                (SETTINGS, 0) => {
                    let pairs = heard.payload.chunks(6).map(|pair| {
                        let (id, value) = pair.split_at(2);
                        let id = u16::from_be_bytes(id.try_into().unwrap());
                        (id, u32::from_be_bytes(value.try_into().unwrap()))
                    });
                    theirs = Some(pairs.collect());
                    self.say(SETTINGS, ACK, 0, &[]).await;
                }
                (SETTINGS, _) => acknowledged = true,
                _ => {}
            }
        }
        theirs.unwrap()
    }

    /// Sends a frame and hears the server out until it falls silent, closes, or says what is
    /// looked for.
    pub(crate) async fn hear_until(&mut self, found: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.hear().await;
            if found(&heard) || !matches!(heard, Heard::Frame(_)) {
                return heard;
            }
        }
    }
}
