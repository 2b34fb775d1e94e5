//! Short documents from an issuer: one connection each, bounded in bytes and in time. Redirects are
//! not followed, for the issuer's documents name every place themselves.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::url::Url;
use crate::net::stream::{ALPN_HTTP_1_1, Wire};
use crate::upstream::trust::{TrustError, Trusted};

/// How long one document may take, from the look-up of the name to its last byte.
const FETCH_WAIT: Duration = Duration::from_secs(10);

/// The longest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("its certificates can't be verified")]
    Trust(#[from] TrustError),
    #[error("no connection to {host} comes about")]
    Connect { host: String, source: io::Error },
    #[error("the TLS handshake with {host} failed")]
    Tls { host: String, source: io::Error },
    #[error("it does not speak HTTP/1.1 as it should")]
    Http(#[from] hyper::Error),
    #[error("a request can't be made of its address")]
    Request(#[from] http::Error),
    #[error("its answer broke off, or is longer than {DOCUMENT_BYTES_MAX} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it answered with {0}, and a document was asked for")]
    Status(StatusCode),
    #[error("it did not answer within {} s", FETCH_WAIT.as_secs())]
    Late,
}

/// The client's side of these connections.
pub(super) struct Client {
    trusted: Mutex<Trusted>,
}

/// A form, and the credentials that come with it.
pub(super) struct Form {
    pub(super) authorization: Option<HeaderValue>,
    pub(super) body: String,
}

impl Client {
    pub(super) fn new(ca_file: Option<PathBuf>) -> Self {
        Self { trusted: Mutex::new(Trusted::new(ca_file)) }
    }

    /// The document at `url`.
    pub(super) async fn document(&self, url: &Url) -> Result<Bytes, FetchError> {
        match self.send(url, None).await? {
            (StatusCode::OK, bytes) => Ok(bytes),
            (status, _) => Err(FetchError::Status(status)),
        }
    }

    /// The answer to a form, whatever its status.
    pub(super) async fn post(
        &self,
        url: &Url,
        form: Form,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        self.send(url, Some(form)).await
    }

    async fn send(&self, url: &Url, form: Option<Form>) -> Result<(StatusCode, Bytes), FetchError> {
        let request = request(url, form)?;
        let fetched = timeout(FETCH_WAIT, Box::pin(self.exchange(url, request))).await;
        fetched.map_err(|_elapsed| FetchError::Late)?
    }

    async fn exchange(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let wire = self.connect(url).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await?;
        let answered = async {
            let answer = sender.send_request(request).await?;
            read(answer).await
        };
        tokio::pin!(connection, answered);
        tokio::select! {
            biased;
            answered = &mut answered => answered,
            // It has read all that will come; what of the answer is here already is read on.
            _ended = &mut connection => answered.await,
        }
    }

    async fn connect(&self, url: &Url) -> Result<Wire, FetchError> {
        let origin = &url.origin;
        let host = || origin.host.clone();
        let secure = origin.tls.then(|| {
            let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
            trusted.connector(origin, &[ALPN_HTTP_1_1])
        });
        let secure = secure.transpose()?;
        let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await;
        let stream = stream.map_err(|source| FetchError::Connect { host: host(), source })?;
        let wire = Wire::Plain(stream);
        let Some((connector, name)) = secure else { return Ok(wire) };
        let wire = wire.secure(&connector, &name).await;
        wire.map_err(|source| FetchError::Tls { host: host(), source })
    }
}

fn request(url: &Url, form: Option<Form>) -> Result<Request<Full<Bytes>>, FetchError> {
    let request = Request::builder()
        .uri(url.target.as_str())
        .header(header::HOST, url.origin.authority())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("changegate/", env!("CARGO_PKG_VERSION")));
    let Some(Form { authorization, body }) = form else {
        return Ok(request.body(Full::default())?);
    };
    let mut request = request
        .method(Method::POST)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    Ok(request.body(Full::from(body))?)
}

async fn read(answer: Response<Incoming>) -> Result<(StatusCode, Bytes), FetchError> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), DOCUMENT_BYTES_MAX).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(error) => FetchError::Body(error),
        Err(error) => FetchError::Body(error),
    })?;
    Ok((status, body.to_bytes()))
}
