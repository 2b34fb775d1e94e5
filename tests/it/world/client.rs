//! Clients: a plain one over hyper, and a raw one that sends bytes as they are.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The token that calls bring unless they say otherwise.
pub(crate) const TOKEN: &str = "pt-alice-0123456789";

/// A call to be.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let headers = HeaderMap::new();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let call = Self { method, target: target.to_owned(), headers, body: Bytes::new() };
        call.token(TOKEN)
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// The request for a connection that speaks HTTP/1.1.
    pub(crate) fn http1(self, host: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target.parse().unwrap();
        *request.headers_mut() = self.headers;
        request.headers_mut().insert("host", host.parse().unwrap());
        request
    }

    /// The request for a connection that speaks HTTP/2.
    pub(crate) fn http2(mut self, origin: &str) -> Request<Full<Bytes>> {
        self.target = format!("{origin}{}", self.target);
        let mut request = self.http1("x");
        request.headers_mut().remove("host");
        request
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }
}

/// Makes one call over a connection of its own.
pub(crate) async fn call(address: SocketAddr, call: Call) -> Answer {
    read(open(address, call).await).await
}

/// Reads an answer whole.
pub(crate) async fn read(answer: http::Response<Incoming>) -> Answer {
    let (head, mut incoming) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        body.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    Answer { status: head.status, headers: head.headers, body: body.into() }
}

/// Starts HTTP/1.1 on a connection, for many calls one after another.
pub(crate) async fn http1(
    wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http1::SendRequest<Full<Bytes>> {
    let (sender, connection) = http1::handshake(TokioIo::new(wire)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Starts HTTP/2 on a connection, for many calls at once.
pub(crate) async fn http2(
    wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http2::SendRequest<Full<Bytes>> {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(wire)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Makes one call by another host name than the address.
pub(crate) async fn call_as(address: SocketAddr, host: &str, call: Call) -> Answer {
    read(open_as(address, host, call).await).await
}

/// Makes one call and leaves the answer's body to be read.
pub(crate) async fn open(address: SocketAddr, call: Call) -> http::Response<Incoming> {
    open_as(address, &address.to_string(), call).await
}

async fn open_as(address: SocketAddr, host: &str, call: Call) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = call.http1(host);
    let waited = tokio::time::timeout(Duration::from_mins(1), sender.send_request(request)).await;
    waited.expect("an answer within a minute").unwrap()
}

/// Sends bytes as they are and reads until the server closes, or `patience` is over.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8], patience: Duration) -> String {
    raw_on(TcpStream::connect(address).await.unwrap(), bytes, patience).await
}

/// The same on a connection of any kind.
pub(crate) async fn raw_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
    patience: Duration,
) -> String {
    // A server that has heard enough may close before the last byte; what it said counts.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // Over time is as good as closed: what came is what counts.
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
