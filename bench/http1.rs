//! Just enough of HTTP/1.1 to tell where a message ends: the harness's own ends meet nothing but
//! each other and the proxies between them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The longest message that is taken, so that a broken peer can't fill the memory.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Where a message's head ends, and where the message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) head: usize,
    pub(crate) total: usize,
}

/// How far the first message in the buffer goes, once it is there whole.
pub(crate) fn extent(buffer: &[u8]) -> Option<Extent> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let lines = buffer.get(..head).unwrap_or_default();
    let body = if field(lines, b"transfer-encoding").is_some() {
        chunked(buffer.get(head..)?)?
    } else {
        let length = field(lines, b"content-length").and_then(|text| text.parse().ok());
        length.unwrap_or(0)
    };
    let total = head + body;
    (buffer.len() >= total).then_some(Extent { head, total })
}

/// The value of a header field.
pub(crate) fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let lines = head.split(|byte| *byte == b'\n');
    let value = lines.skip(1).find_map(|line| {
        let (given, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        given.eq_ignore_ascii_case(name).then_some(value)
    })?;
    std::str::from_utf8(value).ok().map(str::trim)
}

/// The status of an answer.
pub(crate) fn status(answer: &[u8]) -> u16 {
    let digits = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A message's body without its transfer coding (RFC 9112, 7.1).
pub(crate) fn body(message: &[u8], extent: Extent) -> Vec<u8> {
    let head = message.get(..extent.head).unwrap_or_default();
    let mut rest = message.get(extent.head..extent.total).unwrap_or_default();
    if field(head, b"transfer-encoding").is_none() {
        return rest.to_vec();
    }
    let mut whole = Vec::with_capacity(rest.len());
    while let Some((size, start)) = chunk(rest).filter(|(size, _start)| *size > 0) {
        whole.extend_from_slice(rest.get(start..start + size).unwrap_or_default());
        rest = rest.get(start + size + 2..).unwrap_or_default();
    }
    whole
}

/// How long a chunked body is; without trailers, which nobody here sends.
fn chunked(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (size, start) = chunk(body.get(at..)?)?;
        at += start + size + 2;
        if size == 0 {
            return Some(at);
        }
    }
}

/// A chunk's size, and where its content starts.
fn chunk(body: &[u8]) -> Option<(usize, usize)> {
    let line = body.windows(2).position(|two| two == b"\r\n")?;
    let digits = std::str::from_utf8(body.get(..line)?).ok()?;
    let digits = digits.split(';').next().unwrap_or(digits).trim();
    Some((usize::from_str_radix(digits, 16).ok()?, line + 2))
}

/// Reads until the first message in the buffer is whole; none at the connection's end.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Extent>> {
    loop {
        if let Some(extent) = extent(buffer) {
            return Ok(Some(extent));
        }
        if buffer.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::other("a message without an end"));
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Answers every request of every connection by `answer`, which appends to what is sent. What
/// came in one read is answered in one write.
pub(crate) async fn serve<A>(address: SocketAddr, answer: A) -> io::Result<()>
where
    A: Fn(&[u8], Extent, &mut Vec<u8>) + Send + Sync + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let answer = Arc::new(answer);
    loop {
        let (stream, _peer) = listener.accept().await?;
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            // How a connection ends is of no interest: who called sees it too.
            drop(converse(stream, &*answer).await);
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    answer: &(impl Fn(&[u8], Extent, &mut Vec<u8>) + Sync),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    while let Some(first) = read(&mut stream, &mut received).await? {
        let mut at = 0;
        let mut next = Some(first);
        while let Some(extent) = next {
            let message = received.get(at..).unwrap_or_default();
            answer(message, extent, &mut sent);
            at += extent.total;
            next = self::extent(received.get(at..).unwrap_or_default());
        }
        received.drain(..at);
        stream.write_all(&sent).await?;
        sent.clear();
    }
    Ok(())
}
