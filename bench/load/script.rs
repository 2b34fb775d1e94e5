//! The requests that one connection sends, one by one.

use std::io::Write as _;

use super::{Call, Plan};
use crate::document;

/// The size of the body of a write that is not a governed call, in bytes.
const POST_BYTES: usize = 1024;

/// The requests of one connection.
pub(super) struct Script {
    call: Call,
    /// Head fields that all of its requests share.
    fields: String,
    body: String,
    /// The deployment that comes next, and how far it is to the one after it.
    next: usize,
    step: usize,
    deployments: usize,
    /// Counts up in steps, so that no two connections send the same update or token.
    number: u64,
}

impl Script {
    /// The requests of the n-th connection. Connections share no deployment where there is one
    /// for each.
    pub(super) fn new(plan: &Plan, n: usize) -> Self {
        let fields = format!(
            "host: {}\r\nauthorization: Bearer pt-bench{n:042}\r\nuser-agent: bench/1.0\r\n\
             accept: application/json\r\n",
            plan.target
        );
        let filling = "x".repeat(POST_BYTES - r#"{"content":""}"#.len());
        let deployments = plan.deployments.max(1);
        Self {
            call: plan.call,
            fields,
            body: format!("{{\"content\":\"{filling}\"}}"),
            next: n % deployments,
            step: plan.connections,
            deployments,
            number: plan.first + u64::try_from(n).unwrap_or(0),
        }
    }

    /// Adds the next request to `sent`.
    pub(super) fn write(&mut self, sent: &mut Vec<u8>) {
        let fields = &self.fields;
        // Writing into memory does not fail.
        drop(match self.call {
            Call::Get | Call::Handshake | Call::Hold => {
                write!(sent, "GET /api/v1/cloud/files/file_0123 HTTP/1.1\r\n{fields}\r\n")
            }
            Call::Stranger => {
                let token = self.count();
                write!(
                    sent,
                    "GET /api/v1/cloud/files/file_0123 HTTP/1.1\r\nhost: localhost\r\n\
                     authorization: Bearer pt-stranger{token:039}\r\n\r\n"
                )
            }
            Call::Post => {
                let (path, body) = ("/api/v1/cloud/files", &self.body);
                post(sent, path, fields, body)
            }
            Call::Show => {
                let path = path(self.turn());
                write!(sent, "GET {path} HTTP/1.1\r\n{}\r\n", self.fields)
            }
            Call::Update => {
                let path = path(self.turn());
                let body = format!("{{\"metadata\":{{\"revision\":\"{}\"}}}}", self.count());
                post(sent, &path, &self.fields, &body)
            }
        });
    }

    /// Takes the next number.
    fn count(&mut self) -> u64 {
        let number = self.number;
        self.number += u64::try_from(self.step).unwrap_or(1);
        number
    }

    /// Takes the next deployment.
    fn turn(&mut self) -> usize {
        let n = self.next;
        self.next = (n + self.step) % self.deployments;
        n
    }
}

fn path(n: usize) -> String {
    format!("/api/v1/cloud/deployments/{}", document::id(n))
}

fn post(sent: &mut Vec<u8>, path: &str, fields: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        sent,
        "POST {path} HTTP/1.1\r\n{fields}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}
