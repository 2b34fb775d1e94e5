//! Writes to other resources than deployments, each an event once it has ended.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::json;

use super::context::{ConnectionContext, Gateway, RequestContext};
use super::identify::{Caller, RefusalSource};
use super::limit::RequestKind;
use crate::audit::record::{Event, EventKind};
use crate::base::clock::Timestamp;
use crate::base::key::Token;
use crate::upstream::request_body::Progress;

/// The most of a path or message that an event tells, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// A write to another resource than deployments, noted when it is dropped: however it ends.
#[derive(Debug)]
pub(crate) struct OtherWrite {
    gateway: Arc<Gateway>,
    /// Under whose name it is counted, where it is not noted.
    subject: RefusalSource,
    /// Whether upstream has answered well to a call with this token on this connection.
    is_taken: bool,
    started: Instant,
    progress: Option<Arc<Progress>>,
    /// Upstream's answer, once it is there.
    pub(super) status: Option<StatusCode>,
    answer_bytes: u64,
    method: Method,
    path: String,
    event: Event,
    token: Token,
}

/// A path or message as events tell it: without credentials where it has to be cut.
pub(super) fn text_shown(connection: &ConnectionContext, caller: &Caller, text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let caller = (caller.actor.fingerprint, &caller.token);
    connection.gateway.audit.scrub_and_cut(text, TEXT_BYTES_MAX, caller)
}

impl OtherWrite {
    /// The write that a call is; `None` where it reads, or where writes are not recorded.
    pub(super) fn of(
        connection: &ConnectionContext,
        context: &RequestContext,
        caller: &Caller,
        head: &Parts,
        progress: Option<Arc<Progress>>,
    ) -> Option<Box<Self>> {
        if RequestKind::of(&head.method) == RequestKind::Read
            || !connection.live.config.audit.other_writes
        {
            return None;
        }
        let gateway = Arc::clone(&connection.gateway);
        let path = text_shown(connection, caller, head.uri.path());
        Some(Box::new(Self {
            subject: connection.subject(context, caller),
            is_taken: caller.was_taken(),
            started: gateway.clock.instant(),
            gateway,
            progress,
            status: None,
            answer_bytes: 0,
            method: head.method.clone(),
            path,
            event: context.event(caller, EventKind::OtherWrite, context.received_at),
            token: caller.token.clone(),
        }))
    }

    /// So many bytes of the answer were passed on.
    pub(super) fn answered(&mut self, bytes: usize) {
        self.answer_bytes += bytes as u64;
    }
}

impl OtherWrite {
    fn is_unclear(&self) -> bool {
        self.status.is_none_or(|status| status.is_server_error())
    }

    /// Whether it leaves an event. Anybody can send writes with made-up tokens: those that upstream
    /// does not take are counted, and so are those that it refuses to a caller who is not known.
    fn is_noted(&self) -> bool {
        match self.status {
            Some(StatusCode::UNAUTHORIZED) => false,
            Some(status) if status.is_success() => true,
            // It may have been done. A caller whom upstream has answered well lately is noted.
            Some(_) | None if self.is_unclear() && self.is_taken => true,
            Some(_) | None => matches!(self.subject, RefusalSource::Actor(_)),
        }
    }
}

impl Drop for OtherWrite {
    fn drop(&mut self) {
        if !self.is_noted() {
            if let Some(status) = self.status {
                self.gateway.refuse(status, self.subject);
            }
            return;
        }
        let now = self.gateway.clock.instant();
        let duration = now.saturating_duration_since(self.started);
        self.event.detail = json!({
            "method": self.method.as_str(),
            "path": self.path,
            "status": self.status.map(|status| status.as_u16()),
            "request_bytes": self.progress.as_ref().map_or(0, |upload| upload.bytes()),
            "response_bytes": self.answer_bytes,
            "duration_ms": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        });
        self.gateway.audit.note_of(self.event.clone(), &self.token);
    }
}

impl RequestContext {
    /// An event of this request, its detail still empty.
    pub(super) fn event(&self, caller: &Caller, kind: EventKind, at: Timestamp) -> Event {
        Event {
            at,
            kind,
            actor: Some(caller.actor.clone()),
            client_ip: Some(self.address.0.to_string()),
            request_id: Some(self.request_id.as_str().to_owned()),
            detail: serde_json::Value::Null,
        }
    }
}
