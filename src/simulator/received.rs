//! What the upstream remembers of the calls that reached it.

use bytes::Bytes;
use http::request::Parts;

use super::world::World;
use crate::clock::Timestamp;

/// How many calls, and the writes of how many deployments, are remembered.
const CAPACITY: usize = 10_000;

/// How many bytes of each body are remembered.
const BODY_BYTES_MAX: usize = 4096;

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
    /// What the call came to, where it was carried out: a fault may have told the client else.
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
pub(super) struct Ticket(u64);

impl Received {
    /// The value of that header, named in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What can be known of a call by its head.
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

impl World {
    /// Remembers that a call came; `deployment_id` is the one that it would write to.
    pub(super) fn remember_call(&mut self, call: Received, deployment_id: Option<&str>) -> Ticket {
        if self.received.len() >= CAPACITY && self.received.pop_front().is_some() {
            self.forgotten += 1;
        }
        self.received.push_back(call);
        if let Some(id) = deployment_id
            && (self.writes.len() < CAPACITY || self.writes.contains_key(id))
        {
            self.writes.entry(id.to_owned()).or_default().received += 1;
        }
        Ticket(self.forgotten + self.received.len() as u64 - 1)
    }

    /// Remembers the body of a call.
    pub(super) fn remember_body(&mut self, ticket: Ticket, body: &[u8], body_bytes: u64) {
        if let Some(call) = self.remembered(ticket) {
            call.body = Bytes::copy_from_slice(body.get(..BODY_BYTES_MAX).unwrap_or(body));
            call.body_bytes = Some(body_bytes);
        }
    }

    /// Remembers what a call came to.
    pub(super) fn remember_end(
        &mut self,
        ticket: Ticket,
        deployment_id: Option<&str>,
        status: u16,
    ) {
        if let Some(call) = self.remembered(ticket) {
            call.status = Some(status);
        }
        if status == 200
            && let Some(writes) = deployment_id.and_then(|id| self.writes.get_mut(id))
        {
            writes.applied += 1;
        }
    }

    fn remembered(&mut self, ticket: Ticket) -> Option<&mut Received> {
        let index = usize::try_from(ticket.0.checked_sub(self.forgotten)?).ok()?;
        self.received.get_mut(index)
    }
}
