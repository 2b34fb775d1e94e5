//! The upstreams of the measurements: one that always says the same, and one that keeps
//! deployments. Both do as little as can be, for they share the cores with what is measured.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use changegate::base::clock::Clock;
use serde_json::{Map, Value};

use super::document;
use super::http1::{self, Extent};

/// The size of the fixed upstream's answer, in bytes.
const ANSWER_BYTES: usize = 2048;

/// Answers every request with the same 2 KB.
pub(crate) async fn fixed(listen: SocketAddr) -> anyhow::Result<()> {
    let filling = "x".repeat(ANSWER_BYTES - r#"{"data":""}"#.len());
    let mut answer = Vec::new();
    reply(&mut answer, 200, format!("{{\"data\":\"{filling}\"}}").as_bytes());
    let same = move |_request: &[u8], _extent: Extent, sent: &mut Vec<u8>| {
        sent.extend_from_slice(&answer);
    };
    http1::serve(listen, same).await.context("the fixed upstream can't serve")
}

/// A deployment, and its text, which is made anew by writes only.
struct Kept {
    document: Map<String, Value>,
    text: Vec<u8>,
}

/// Keeps `count` deployments: `GET` shows one, `POST` patches it.
pub(crate) async fn deployments(listen: SocketAddr, count: usize) -> anyhow::Result<()> {
    let kept: Vec<_> = (0..count).map(|n| Mutex::new(Kept::new(document::deployment(n)))).collect();
    let answer = move |request: &[u8], extent: Extent, sent: &mut Vec<u8>| {
        let named = number(request).and_then(|n| kept.get(n));
        let Some(named) = named else { return reply(sent, 404, b"{}") };
        let mut kept = named.lock().unwrap_or_else(PoisonError::into_inner);
        if request.starts_with(b"POST ") {
            let Ok(patch) = serde_json::from_slice(&http1::body(request, extent)) else {
                return reply(sent, 400, b"{}");
            };
            kept.patch(patch);
        }
        reply(sent, 200, &kept.text);
    };
    http1::serve(listen, answer).await.context("the upstream of deployments can't serve")
}

impl Kept {
    fn new(document: Map<String, Value>) -> Self {
        let mut kept = Self { document, text: Vec::new() };
        kept.print();
        kept
    }

    /// Applies a patch: omitted fields stay, metadata is patched key by key, all else is replaced.
    fn patch(&mut self, patch: Map<String, Value>) {
        for (name, value) in patch {
            match (self.document.get_mut(&name), value) {
                (Some(Value::Object(metadata)), Value::Object(patch)) if name == "metadata" => {
                    for (key, value) in patch {
                        if value.is_null() {
                            metadata.remove(&key);
                        } else {
                            metadata.insert(key, value);
                        }
                    }
                }
                (_before, value) => {
                    self.document.insert(name, value);
                }
            }
        }
        let now = Clock::System.now().to_string();
        self.document.insert("updated_at".to_owned(), now.into());
        self.print();
    }

    fn print(&mut self) {
        self.text.clear();
        // Writing JSON into memory does not fail.
        drop(serde_json::to_writer(&mut self.text, &self.document));
    }
}

/// Which deployment a request is about.
fn number(request: &[u8]) -> Option<usize> {
    let target = request.split(|byte| *byte == b' ').nth(1)?;
    let id = target.split(|byte| *byte == b'/').next_back()?;
    document::number(std::str::from_utf8(id).ok()?)
}

fn reply(sent: &mut Vec<u8>, status: u16, body: &[u8]) {
    let reason = if status == 200 { "OK" } else { "No" };
    let head = write!(
        sent,
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-request-id: req_0123456789abcdef\r\n\r\n",
        body.len()
    );
    // Writing into memory does not fail.
    drop(head);
    sent.extend_from_slice(body);
}
