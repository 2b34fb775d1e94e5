//! The wire of an HTTP/1.1 connection that remembers the head of a request without a body until a
//! byte of its answer has come. A server may close a kept connection just as the next request is
//! on its way; what is safe to repeat (RFC 9110, 9.2.2) is read back from here then, so that no
//! copy has to be made of every request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::request_body::RequestBody;
use crate::net::stream::Wire;

/// The room that is kept from one head to the next, in bytes.
const KEPT_BYTES_MAX: usize = 4096;

/// A connection's bytes, and the head that was sent last.
#[derive(Debug)]
pub(crate) struct RecallingWire {
    wire: Wire,
    /// Set by who asks: what is written next is a head to remember.
    wanted: Arc<AtomicBool>,
    /// The head; empty where none is remembered.
    head: Vec<u8>,
    /// Bytes that the last write was offered and left.
    left: usize,
}

impl RecallingWire {
    pub(crate) fn new(wire: Wire, wanted: Arc<AtomicBool>) -> Self {
        Self { wire, wanted, head: Vec::new(), left: 0 }
    }

    /// The request that was sent last, where it was to be remembered and not a byte has come since.
    pub(crate) fn unanswered(&self) -> Option<Request<RequestBody>> {
        read_head(&self.head)
    }

    /// Remembers a head that is written whole: the connection offers all that it holds at once.
    /// Bytes behind the rest of another message are no such head, and are not remembered.
    fn remember(&mut self, bytes: &[u8]) {
        self.forget();
        if self.left == 0 {
            self.head.extend_from_slice(bytes);
        }
    }

    fn forget(&mut self) {
        self.head.clear();
        self.head.shrink_to(KEPT_BYTES_MAX);
    }
}

/// Reads a head back, as the connection has printed it.
fn read_head(head: &[u8]) -> Option<Request<RequestBody>> {
    let mut lines = head.strip_suffix(b"\r\n\r\n")?.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.split(|byte| *byte == b' ');
    let (method, target) = (first.next()?, first.next()?);
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.get(1..)?.trim_ascii_start();
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        request.headers_mut().append(name.ok()?, value.ok()?);
    }
    Some(request)
}

impl AsyncRead for RecallingWire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.wire).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.forget();
        }
        polled
    }
}

impl AsyncWrite for RecallingWire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.wanted.load(Ordering::Relaxed) {
            this.wanted.store(false, Ordering::Relaxed);
            this.remember(bytes);
        }
        let polled = Pin::new(&mut this.wire).poll_write(cx, bytes);
        let taken = if let Poll::Ready(Ok(taken)) = &polled { *taken } else { 0 };
        this.left = bytes.len() - taken;
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_as_it_was_printed() {
        let head = b"GET /a?b=c HTTP/1.1\r\nhost: x\r\nx-text: \xfcber: all\r\ncookie: a=b\r\n\
                     accept: */*\r\naccept: text/html\r\nx-empty: \r\n\r\n";
        let request = read_head(head).unwrap();
        assert_eq!((request.method(), request.uri().to_string()), (&Method::GET, "/a?b=c".into()));
        let value = |name: &str| request.headers().get(name).unwrap().as_bytes();
        assert_eq!(value("x-text"), b"\xfcber: all");
        assert_eq!(value("x-empty"), b"");
        assert_eq!(request.headers().get_all("accept").iter().count(), 2);
        assert_eq!(request.headers().len(), 6);
    }

    #[test]
    fn what_is_no_whole_head_is_not_read() {
        for head in [&b""[..], b"GET /a HTTP/1.1\r\nhost: x\r\n", b"GET\r\n\r\n", b"a: b\r\n\r\n"] {
            assert!(read_head(head).is_none(), "{head:?}");
        }
    }
}
