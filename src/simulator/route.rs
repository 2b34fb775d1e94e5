//! Which call is which: from method and path to what is done.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::catalog::Kind;
use super::fault::{BadFault, Fault};
use super::problem::Problem;
use super::query::Query;
use super::state::FAULTS_MAX;
use super::stream::Events;
use super::timetable::seconds;
use super::world::{World, new_id};
use crate::deployment::Object;
use crate::provider::Operation;

/// Where the simulator's own switches are; no call to the upstream starts so.
const SWITCHES: &str = "/_simulator/";

/// A call's request, read whole.
#[derive(Debug)]
pub(super) struct Call {
    /// The head.
    pub(super) head: Parts,
    /// As much of the body as the server keeps.
    pub(super) body: Bytes,
    /// The length of the whole body.
    pub(super) body_bytes: u64,
}

/// The content of the answer to a call that went well.
#[derive(Debug)]
pub(super) enum Content {
    /// A JSON document.
    Document(Value),
    /// A stream of events.
    Events(Events),
}

/// Whether the path is one of the simulator's own switches.
pub(super) fn is_switch(path: &str) -> bool {
    path.starts_with(SWITCHES)
}

/// Whether the call only reads.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

impl World {
    /// The path's segments below the provider's base.
    pub(super) fn segments<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let below = path.strip_prefix(self.dialect.provider.base_path)?.strip_prefix('/')?;
        Some(below.split('/').collect())
    }

    /// The deployment that a call names, if it is one that writes.
    pub(super) fn written_deployment<'a>(&self, head: &'a Parts) -> Option<&'a str> {
        match self.segments(head.uri.path())?.as_slice() {
            ["deployments", id, ..] if !is_read(&head.method) => Some(id),
            _ => None,
        }
    }

    /// Carries a call out.
    pub(super) fn carry_out(&mut self, call: &Call) -> Result<Content, Problem> {
        let path = call.head.uri.path();
        if is_switch(path) {
            return self.switch(call).map(Content::Document);
        }
        let unknown = || Problem::not_found("path");
        let segments = self.segments(path).ok_or_else(unknown)?;
        self.dialect.admit(&call.head.headers, !is_read(&call.head.method))?;
        let query = Query::read(call.head.uri.query().unwrap_or_default());
        if let ["sessions", _id, "events", "stream"] = segments.as_slice()
            && is_read(&call.head.method)
        {
            return Events::read(&query, &call.head.headers).map(Content::Events);
        }
        let document = match segments.as_slice() {
            ["deployments" | "deployment_runs", ..] => self.deployments(&segments, &query, call)?,
            [collection, rest @ ..] => match Kind::of_segment(collection) {
                Some(kind) => self.entries(kind, rest, &query, call)?,
                None if *collection == "files" && rest.is_empty() => self.file(call)?,
                None => return Err(unknown()),
            },
            [] => return Err(unknown()),
        };
        Ok(Content::Document(document))
    }

    fn deployments(
        &mut self,
        segments: &[&str],
        query: &Query,
        call: &Call,
    ) -> Result<Value, Problem> {
        match (effective(&call.head.method), segments) {
            (Method::GET, ["deployments"]) => self.list(query),
            (Method::POST, ["deployments"]) => self.create(&self.object(call)?),
            (Method::GET, ["deployments", id]) => self.show(id),
            (Method::POST, ["deployments", id]) => self.update(id, &self.object(call)?),
            (_, ["deployments"] | ["deployments", _]) => {
                Err(Problem::new(405, "this method is not allowed here: use GET or POST"))
            }
            (Method::GET, ["deployments", id, "runs"]) => self.list_runs(query, Some(id)),
            (Method::POST, ["deployments", id, verb]) => {
                let operation = Operation::of_verb(verb);
                let operation = operation.ok_or_else(|| Problem::not_found("path"))?;
                if !call.body.is_empty() {
                    self.object(call)?;
                }
                self.act(id, operation)
            }
            (Method::GET, ["deployment_runs"]) => self.list_runs(query, None),
            (Method::GET, ["deployment_runs", id]) => self.show_run(id),
            _ => Err(Problem::not_found("path")),
        }
    }

    fn entries(
        &mut self,
        kind: Kind,
        segments: &[&str],
        query: &Query,
        call: &Call,
    ) -> Result<Value, Problem> {
        let now = self.clock.now();
        match (effective(&call.head.method), segments) {
            (Method::GET, []) => self.list_entries(kind, query),
            (Method::POST, []) => self.create_entry(kind, self.object(call)?),
            (Method::GET, [id]) => self.catalog.entry_mut(kind, id).map(|entry| entry.show()),
            (Method::POST, [id]) => {
                let body = self.object(call)?;
                let entry = self.catalog.entry_mut(kind, id)?;
                entry.update(body, now)?;
                Ok(entry.show())
            }
            (Method::POST, [id, "archive"]) => {
                let entry = self.catalog.entry_mut(kind, id)?;
                entry.archive(now);
                Ok(entry.show())
            }
            _ => Err(Problem::not_found("path")),
        }
    }

    fn file(&self, call: &Call) -> Result<Value, Problem> {
        if call.head.method != Method::POST {
            return Err(Problem::not_found("path"));
        }
        Ok(json!({
            "bytes": call.body_bytes,
            "created_at": seconds(self.clock.now()),
            "id": new_id("file"),
            "type": "file",
        }))
    }

    /// The body as an object; a body that is longer than the server keeps was cut or is refused.
    fn object(&self, call: &Call) -> Result<Object, Problem> {
        let is_cut = call.body_bytes > call.body.len() as u64;
        if is_cut && !self.dialect.truncates {
            return Err(Problem::new(400, "the request body is too large"));
        }
        serde_json::from_slice(&call.body)
            .map_err(|_error| Problem::new(400, "the request body must be one JSON object"))
    }

    /// The switches: faults, and what was received.
    fn switch(&mut self, call: &Call) -> Result<Value, Problem> {
        match (effective(&call.head.method), call.head.uri.path()) {
            (Method::GET, "/_simulator/requests") => Ok(json!({"data": self.requests()})),
            (method, "/_simulator/faults") => {
                match method {
                    Method::GET => {}
                    Method::POST => {
                        let fault = read_fault(&call.body)?;
                        self.add_fault(fault)?;
                    }
                    Method::DELETE => self.faults.clear(),
                    _ => return Err(Problem::new(405, "use GET, POST or DELETE")),
                }
                Ok(json!({"data": self.faults}))
            }
            _ => Err(Problem::not_found("switch")),
        }
    }

    fn add_fault(&mut self, fault: Fault) -> Result<(), Problem> {
        if self.faults.len() >= FAULTS_MAX {
            return Err(Problem::new(409, "too many faults: DELETE /_simulator/faults first"));
        }
        self.faults.push(fault);
        Ok(())
    }

    /// The calls received, without headers or bodies.
    fn requests(&self) -> Vec<Value> {
        let calls = self.received.iter();
        calls
            .map(|call| {
                json!({
                    "at": call.at,
                    "body_bytes": call.body_bytes,
                    "method": call.method,
                    "status": call.status,
                    "target": call.target,
                })
            })
            .collect()
    }
}

/// Takes HEAD for GET: the HTTP library leaves the body out.
fn effective(method: &Method) -> Method {
    if is_read(method) { Method::GET } else { method.clone() }
}

/// Reads a fault from JSON: its members, or a string in the grammar of the command line.
fn read_fault(body: &[u8]) -> Result<Fault, Problem> {
    let bad = |message: String| Problem::field("fault", message);
    let value: Value = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    if let Some(text) = value.as_str() {
        return text.parse().map_err(|error: BadFault| bad(error.to_string()));
    }
    let fault: Fault = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    if fault.is_sound() { Ok(fault) } else { Err(bad("value does not fit the kind".to_owned())) }
}
