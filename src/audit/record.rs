//! Records: a [`Change`] for every governed call, an [`Event`] for the rest.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::diff::{Difference, Effect};
use crate::policy::{Actor, Decision, Violation};
use crate::provider::Operation;

/// Where a call came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The client's address, by `listen.trusted_proxies`.
    pub ip: String,
    /// Its `User-Agent`; the record cuts it to 256 bytes.
    pub user_agent: Option<String>,
}

/// How a governed call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Intended, not finished yet.
    Pending,
    /// Upstream answered 2xx, whole.
    Applied,
    /// Stopped by the policy.
    Denied,
    /// Stopped by the gateway for its form.
    Refused,
    /// Upstream answered 3xx or 4xx.
    Rejected,
    /// Surely not applied.
    Failed,
    /// Sent, and no clear answer.
    Unknown,
}

impl Outcome {
    /// The name that records and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Upstream's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamAnswer {
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// Upstream's own request id.
    pub request_id: Option<String>,
}

/// Why a change was not applied, in the words of the answer to its client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The HTTP status.
    pub status: u16,
    /// The type of the error, by the provider's envelope; `None` where the answer has none.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The message, secrets concealed; `None` where the answer has none, or where it may repeat a
    /// secret of the body.
    pub message: Option<String>,
    /// Whether the gateway itself said so, not upstream.
    #[serde(skip)]
    pub is_own: bool,
}

/// The size and digest of a body that is not kept itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBody {
    /// How many bytes it had, as far as it was read or announced.
    pub bytes: u64,
    /// A keyed digest of it, where it was read whole.
    pub digest: Option<String>,
}

/// The parts of a [`Change`] that are not kept: bodies, by their names, of which nothing but size
/// and keyed digest is, and findings beyond what a record holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unkept {
    /// The body that the client sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub patch: Option<RefusedBody>,
    /// The deployment before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<RefusedBody>,
    /// The deployment after.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<RefusedBody>,
    /// How many violations and standing ones there were beside those listed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub findings: usize,
}

impl Unkept {
    /// Whether everything is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The word of a later snapshot on a change with an unclear end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// `chg_…` of the call whose snapshot told, or `answer` for a GET right after the call.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Whether it was applied; `None` where it can't be told.
    pub applied: Option<bool>,
}

/// One governed call, as the log tells it. Its JSON is part of the outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its id.
    pub id: ChangeId,
    /// Its place in the log: higher is later.
    pub seq: i64,
    /// The provider's name.
    pub provider: String,
    /// The upstream's name.
    pub upstream_name: String,
    /// The name of the gateway that led it.
    pub node: String,
    /// The operation that was asked for.
    pub operation: Operation,
    /// The call's method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The id of the deployment.
    pub deployment_id: Option<String>,
    /// The actor that asked.
    pub actor: Actor,
    /// From where.
    pub client: Client,
    /// The request's id.
    pub request_id: String,
    /// When its head was read.
    pub received_at: Timestamp,
    /// When it ended; `None` while pending.
    pub completed_at: Option<Timestamp>,
    /// The gateway's decision.
    pub decision: Decision,
    /// Rules broken.
    pub violations: Vec<Violation>,
    /// Rules that were broken before and still are.
    pub standing: Vec<Violation>,
    /// Rules that the deployment breaks after the change, did not break before it, and was not
    /// predicted to break.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_violations: Vec<Violation>,
    /// How it ended.
    pub outcome: Outcome,
    /// The word of a later snapshot, where the end was unclear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settlement>,
    /// Why it was not applied, where an answer said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Upstream's answer; `None` where nothing was forwarded.
    pub upstream: Option<UpstreamAnswer>,
    /// The bodies; absent in lists and for viewers.
    #[serde(flatten)]
    pub bodies: Option<Bodies>,
    /// The size and digest of a body that was not one strict object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<RefusedBody>,
    /// Sizes and digests in place of bodies, of which the caller had more than
    /// `limits.kept_bytes_per_minute`, and the number of findings that are not listed.
    #[serde(skip_serializing_if = "Unkept::is_empty")]
    pub unkept: Unkept,
    /// How after compares with what was predicted; `None` where not applied.
    pub effect: Option<Effect>,
    /// JSON Pointers of concealed values, below `/patch`, `/before` or `/after`.
    pub redacted: Vec<String>,
    /// Names the policy that was in force.
    pub policy_digest: String,
}

/// The parts of a [`Change`] that show what is inside a deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bodies {
    /// The body that the client sent.
    pub patch: Option<Value>,
    /// The deployment before.
    pub before: Option<Value>,
    /// The deployment after.
    pub after: Option<Value>,
    /// Where they differ.
    pub diff: Vec<Difference>,
}

/// Something worth recording that is not a governed call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The kind.
    pub kind: EventKind,
    /// The actor, where it is known.
    pub actor: Option<Actor>,
    /// From where, where it is known.
    pub client_ip: Option<String>,
    /// The request's id, where there was one.
    pub request_id: Option<String>,
    /// The facts, as a flat JSON object; bounded by its maker.
    pub detail: Value,
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A write to another resource: `method, path, status, request_bytes, response_bytes,
    /// duration_ms`.
    OtherWrite,
    /// A write below `/deployments` that is not a governed call and was refused: `method, path,
    /// status, message`.
    RefusedWrite,
    /// How many calls were answered 401 or 429 in a minute: `since, until, count`, and in
    /// `refusals` for each caller `status, who, count`.
    Summary,
    /// Events that could not be kept: `count, since, until`.
    Dropped,
    /// Configuration or policy was read again: `policy_digest`, or `error`.
    Reload,
    /// An unclear change was settled: `change, applied, by`.
    Settlement,
    /// The gateway started: `version, unknown` (intents a crash left open; null where the log could
    /// not be written yet), `key`.
    Start,
    /// Another key is in force from a change on: `from, to, first_seq`.
    KeyRotation,
    /// Upstream shows a deployment that breaks a rule after a change that was not predicted to
    /// break it: `change, rules`.
    AfterViolation,
}
