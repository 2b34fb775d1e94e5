//! A client of one receiver: HTTP/1.1, one request at a time, within bounds.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::dial::{Dial, DialError};
use crate::base::key::Token;
use crate::base::visible::chain;
use crate::config::Target;
use crate::upstream::trust::TrustError;

/// The most bytes of an answer's body that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The longest head of an answer, in bytes, and the most fields of it.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 100;

/// How long the body of an answer may take whose head has come.
const BODY_WAIT: Duration = Duration::from_secs(2);

/// A client, with the connection that it may use again.
pub(crate) struct Client {
    dial: Dial,
    host: HeaderValue,
    path: Token,
    kept: Option<Line>,
}

/// A connection that takes requests.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The type of its body.
    pub(crate) content_type: Option<HeaderValue>,
    /// How long it asks to wait.
    pub(crate) after: Option<Duration>,
    /// The body; empty where it was too long, or did not come.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("what is no HTTP/1.1 came in answer, or the connection broke")]
    Http(#[source] hyper::Error),
    #[error("the url can't be asked for")]
    Request(#[source] http::Error),
}

impl Client {
    pub(crate) fn new(to: &Target) -> Result<Self, TrustError> {
        let host = HeaderValue::try_from(to.origin.authority()).map_err(TrustError::Host)?;
        let path = to.path.clone();
        Ok(Self { dial: Dial::new(to, &[b"http/1.1"])?, host, path, kept: None })
    }

    /// Sends a body, and waits for the answer. Who drops this, drops the connection.
    pub(crate) async fn post(
        &mut self,
        fields: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, CallError> {
        if let Some(line) = self.kept.take().filter(|line| line.sender.is_ready()) {
            // One that has rested may be gone: another one is made then, and all is sent once more.
            if let Ok(answer) = self.ask(line, fields, body).await {
                return Ok(answer);
            }
        }
        let stream = TokioIo::new(self.dial.connect().await?);
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(FIELDS_MAX);
        let (sender, connection) = builder.handshake(stream).await.map_err(CallError::Http)?;
        let driver = tokio::spawn(async move {
            // Who sends is told.
            let _ended = connection.await;
        });
        let line = Line { sender, _driver: AbortOnDropHandle::new(driver) };
        self.ask(line, fields, body).await
    }

    async fn ask(
        &mut self,
        mut line: Line,
        fields: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, CallError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.path.expose())
            .body(Full::new(body.clone()))
            .map_err(CallError::Request)?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        let agent = concat!("changegate/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.extend(fields.clone());
        let answer = line.sender.send_request(request).await.map_err(CallError::Http)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let read = timeout(BODY_WAIT, body).await.ok().and_then(Result::ok);
        let mut body = Bytes::new();
        if let Some(read) = read {
            self.kept = Some(line);
            body = read.to_bytes();
        }
        let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
        let after = after(&head.headers);
        Ok(Answer { status: head.status, content_type, after, body })
    }
}

impl CallError {
    /// The error and its causes in a line.
    pub(crate) fn told(&self) -> String {
        let error: &(dyn Error + 'static) = self;
        chain(error)
    }
}

/// The seconds in `Retry-After` (RFC 9110, 10.2.3); a date there is not read.
fn after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}
