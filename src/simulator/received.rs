//! The upstream's memory of the calls that reached it.

use bytes::Bytes;
use http::request::Parts;

use crate::base::clock::Timestamp;

/// How many calls, and the writes of how many deployments, are remembered.
pub(super) const RECEIVED_MAX: usize = 10_000;

/// How many bytes of each body are remembered.
pub(super) const BODY_BYTES_MAX: usize = 4096;

/// One call that reached the upstream, whether or not it was let in.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its head was read.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// The HTTP version.
    pub version: http::Version,
    /// Header names in lower case and values, in order; the credential too: this is for tests.
    pub headers: Vec<(String, String)>,
    /// The first 4096 bytes of the body.
    pub body: Bytes,
    /// The length of the whole body; none until it is read.
    pub body_bytes: Option<u64>,
    /// The status that the call came to, if it was carried out: the client may have been told else.
    pub status: Option<u16>,
}

/// The calls other than GET and HEAD that named one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// How many came.
    pub received: u64,
    /// How many were carried out, with 200.
    pub applied: u64,
}

/// Names one remembered call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(pub(super) u64);

impl Received {
    /// The value of that header, named in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The facts of a call that its head tells.
    pub(super) fn of(head: &Parts, at: Timestamp) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        Self {
            at,
            method: head.method.to_string(),
            target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            version: head.version,
            headers: headers.collect(),
            body: Bytes::new(),
            body_bytes: None,
            status: None,
        }
    }
}
