//! The calls that clients make.

use bytes::Bytes;
use changegate::simulator::{AGENT_ID, ENVIRONMENT_ID};
use http::Request;
use http_body_util::Full;
use serde_json::json;

use super::ledger::Kind;
use crate::world::client::TOKEN;
use crate::world::dice::Dice;

const API: &str = "/api/v1/cloud";

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The deployments that calls are about, as `world::seed` names them.
pub(super) const DEPLOYMENTS: u64 = 5;

/// A call to be, with an id of its own.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) id: String,
    pub(super) kind: Kind,
    method: &'static str,
    path: String,
    header: Option<(&'static str, &'static str)>,
    /// The id of the first call of which this is a repetition; its own, where it may be repeated.
    pub(super) key: Option<String>,
    body: Vec<u8>,
}

pub(super) fn deployment(number: u64) -> String {
    format!("{API}/deployments/dep_seeded_{number}")
}

/// An update that nothing speaks against.
pub(super) fn update(id: &str, number: u64) -> Planned {
    let body = json!({"name": id}).to_string();
    Planned::new(id, Kind::Governed, "POST", deployment(number)).body(body)
}

/// Any call.
pub(super) fn plan(dice: &mut Dice, id: &str) -> Planned {
    let number = dice.roll(DEPLOYMENTS);
    let one = deployment(number);
    let new = |kind, method, path| Planned::new(id, kind, method, path);
    match dice.roll(100) {
        0..45 => {
            // Some bodies take more than one packet, and more than one piece upstream.
            let long = "long ".repeat(if dice.chance(5) { 1_500 } else { 0 });
            let body = json!({"name": id, "description": long}).to_string();
            new(Kind::Governed, dice.pick(&["POST", "POST", "PATCH"]), one).body(body)
        }
        45..50 => {
            let body = json!({
                "agent": AGENT_ID, "environment_id": ENVIRONMENT_ID, "name": id,
                "initial_events": [{"content": "Report", "type": "user.message"}],
            });
            new(Kind::Governed, "POST", format!("{API}/deployments")).body(body.to_string())
        }
        50..63 => {
            let verb = dice.pick(&["pause", "unpause", "run"]);
            new(Kind::Governed, "POST", format!("{one}/{verb}"))
        }
        63..65 => {
            let archived = format!("{}/archive", deployment(DEPLOYMENTS));
            new(Kind::Governed, "POST", archived)
        }
        65..73 => {
            let denied = json!({"name": id, "metadata": {"owner_override": "x"}});
            new(Kind::Barred, "POST", one).body(denied.to_string())
        }
        73..76 => new(Kind::Barred, "POST", one).body("{\"name\": \"x\", \"name\": \"y\"}"),
        76..79 => new(Kind::Barred, "POST", one).body("{\"name\": "),
        79..81 => new(Kind::Barred, "POST", one).body("{}").header("content-encoding", "gzip"),
        81..84 => new(Kind::Barred, "POST", one).body("{}").header("if-match", "\"old\""),
        84..87 => new(Kind::Barred, "DELETE", one),
        87..94 => new(Kind::Harmless, "GET", one),
        94..97 => new(Kind::Harmless, "GET", format!("{API}/agents")),
        _ => new(Kind::Harmless, "POST", format!("{API}/sessions")).body("{}"),
    }
}

impl Planned {
    fn new(id: &str, kind: Kind, method: &'static str, path: String) -> Self {
        Self { id: id.to_owned(), kind, method, path, header: None, key: None, body: Vec::new() }
    }

    /// The same call under a key, by which it may be repeated.
    pub(super) fn keyed(mut self) -> Self {
        self.key = Some(self.id.clone());
        self
    }

    /// This call once more, under an id of its own.
    pub(super) fn again(&self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self.clone() }
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// The bytes of it.
    pub(super) fn http1(&self) -> Vec<u8> {
        let Self { id, method, path, .. } = self;
        let length = self.body.len();
        let key = self.key.as_deref().map(|key| (IDEMPOTENCY_KEY, key));
        let more = self.header.into_iter().chain(key);
        let more: Vec<_> = more.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let more = more.concat();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {TOKEN}\r\n\
             x-request-id: {id}\r\ncontent-length: {length}\r\n{more}\r\n"
        );
        [head.as_bytes(), &self.body].concat()
    }

    pub(super) fn http2(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("http://gateway{}", self.path))
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("x-request-id", &self.id);
        let key = self.key.as_deref().map(|key| (IDEMPOTENCY_KEY, key));
        for (name, value) in self.header.into_iter().chain(key) {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone().into())).unwrap()
    }
}
