//! Records: a [`Change`] for every governed call, an [`Event`] for the rest.

mod event_kind;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::event_kind::EventKind;
use super::approval::{BreakGlass, ChangeApproval};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::deployment::diff::{Difference, Effect};
use crate::policy::{Actor, Decision, Violation};
use crate::provider::Operation;

/// Where a call came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Client {
    /// The client's address, by `listen.trusted_proxies`.
    pub ip: String,
    /// Its `User-Agent`; the record cuts it to 256 bytes.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// How often its SDK had sent the call before; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry: Option<u32>,
}

/// How a governed call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
    /// Those that a change ends with.
    pub const ENDS: [Self; 6] =
        [Self::Applied, Self::Denied, Self::Refused, Self::Rejected, Self::Failed, Self::Unknown];

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

/// The call to upstream that an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamCall {
    /// The gateway's own read of the deployment before; the change was not forwarded.
    Read,
    /// The change itself.
    Change,
}

/// Upstream's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UpstreamAnswer {
    /// The call that it is to.
    pub call: UpstreamCall,
    /// The HTTP status, where there was an answer.
    #[schema(required)]
    pub status: Option<u16>,
    /// Upstream's own request id.
    #[schema(required)]
    pub request_id: Option<String>,
}

/// Why a change was not applied, in the words of the answer to its client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The HTTP status.
    pub status: u16,
    /// The type of the error, by the provider's envelope; null where the answer has none.
    #[serde(rename = "type")]
    #[schema(required)]
    pub kind: Option<String>,
    /// The message, secrets concealed; null where the answer has none, or where it may repeat a
    /// secret of the body; absent for viewers.
    pub message: Option<String>,
    /// Whether the gateway itself said so, not upstream.
    #[serde(skip)]
    pub is_own: bool,
}

/// The size and digest of a body that is not kept itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedBody {
    /// How many bytes it had, as far as it was read or announced.
    pub bytes: u64,
    /// A keyed digest of it, where it was read whole; absent for viewers.
    pub digest: Option<String>,
}

/// The parts of a change that are not kept: bodies, by their names, of which nothing but size
/// and keyed digest is, and findings beyond what a record holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unkept {
    /// The body that the client sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub patch: Option<RefusedBody>,
    /// The deployment before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub before: Option<RefusedBody>,
    /// The deployment after.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub after: Option<RefusedBody>,
    /// How many violations and standing ones there were beside those listed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub findings: usize,
    /// Bodies that were there and were erased later.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(required = false)]
    pub erased: Vec<ErasedBody>,
}

/// A body of a change that was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErasedBody {
    /// The body that the client sent, with what rules found in it.
    Patch,
    /// The deployment before.
    Before,
    /// The deployment after.
    After,
}

impl ErasedBody {
    const fn word(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// A message of the gateway's own, as its client reads it: it says who speaks, and names the
/// record of the call, or the request where there is none.
#[must_use]
pub fn signed(message: &str, named: &dyn std::fmt::Display) -> String {
    format!("{message} (Changegate, {named})")
}

impl Unkept {
    /// Whether everything is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The bodies that were erased, in words; `None` where none was.
    #[must_use]
    pub fn erased_words(&self) -> Option<String> {
        let words: Vec<&str> = self.erased.iter().map(|body| body.word()).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// The same as a clause, such as `its before and after were erased`.
    #[must_use]
    pub fn erased_clause(&self) -> Option<String> {
        let verb = if self.erased.len() == 1 { "was" } else { "were" };
        let mut words = self.erased_words()?;
        if let Some(last) = words.rfind(", ") {
            words.replace_range(last..last + 2, " and ");
        }
        Some(format!("its {words} {verb} erased"))
    }

    /// Whether a body was erased.
    #[must_use]
    pub fn has_erased(&self, body: ErasedBody) -> bool {
        self.erased.contains(&body)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The word of a later snapshot on a change with an unclear end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Settlement {
    /// `chg_…` of the call whose snapshot told, or `answer` for a GET right after the call.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Whether it was applied; null where it can't be told.
    #[schema(required)]
    pub applied: Option<bool>,
}

/// One governed call, as the log tells it.
//
// Its JSON is part of the outside, and so are these comments: the admin API's description has them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// Its id.
    pub id: ChangeId,
    /// Its place in the log: higher is later.
    pub seq: i64,
    /// The provider's name.
    pub provider: String,
    /// The upstream's name in the configuration.
    pub upstream_name: String,
    /// The name of the gateway that led it.
    pub node: String,
    /// The operation that was asked for.
    pub operation: Operation,
    /// The call's method: an update by PUT may remove what it leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub method: Option<String>,
    /// The id of the deployment; null where none was created.
    #[schema(required)]
    pub deployment_id: Option<String>,
    /// The actor that asked.
    pub actor: Actor,
    /// From where.
    pub client: Client,
    /// The request's id.
    pub request_id: String,
    /// When its head was read.
    pub received_at: Timestamp,
    /// The moment that its rules took for now, once its turn had come; absent where the policy was
    /// not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decided_at: Option<Timestamp>,
    /// When it ended; null while pending.
    #[schema(required)]
    pub completed_at: Option<Timestamp>,
    /// The gateway's decision.
    pub decision: Decision,
    /// Rules broken. A viewer is shown the deployment's member as a whole for the path, one message
    /// for all violations of a rule, and no actual value.
    pub violations: Vec<Violation>,
    /// Rules that were broken before and still are.
    pub standing: Vec<Violation>,
    /// Rules that the deployment breaks after the change, did not break before it, and was not
    /// predicted to break; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_violations: Vec<Violation>,
    /// How it ended.
    pub outcome: Outcome,
    /// The word of a later snapshot, where the end was unclear; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub settled: Option<Settlement>,
    /// The end as the gateway that led it knows it, where another gateway had ended it before;
    /// absent where it was in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub late: Option<LateEnd>,
    /// The approval that it asked for, or passed by; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approval: Option<ChangeApproval>,
    /// How it passed by break-glass; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub break_glass: Option<BreakGlass>,
    /// The change of the same deployment that it takes back, by its client's word; absent where it
    /// names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reverts: Option<ChangeId>,
    /// Why it was not applied, in the words of the answer; absent where no answer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<Reason>,
    /// Upstream's answer; null where nothing was forwarded.
    #[schema(required)]
    pub upstream: Option<UpstreamAnswer>,
    /// The bodies; absent in lists and for viewers.
    #[serde(flatten)]
    #[schema(value_type = Bodies)]
    pub bodies: Option<Bodies>,
    /// The size and digest of a body that was not one strict JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub body: Option<RefusedBody>,
    /// Sizes and digests in place of bodies, of which the caller had more than
    /// `limits.kept_bytes_per_minute`, the number of findings that are not listed, and which bodies
    /// were erased; absent where everything is kept.
    #[serde(skip_serializing_if = "Unkept::is_empty")]
    pub unkept: Unkept,
    /// How after compares with what was predicted; null where not applied.
    #[schema(required)]
    pub effect: Option<Effect>,
    /// JSON Pointers of concealed values, below `/patch`, `/before` or `/after`; absent
    /// for viewers.
    #[schema(required = false)]
    pub redacted: Vec<String>,
    /// Names the policy that was in force.
    pub policy_digest: String,
}

/// An end that came after another gateway had ended the change: that one took the deployment's turn
/// once the lease of the one that led it was over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LateEnd {
    /// The gateway that led the change.
    pub node: String,
    /// How it ended there.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

impl Change {
    /// Whether it may have changed the deployment though no snapshot after it says so.
    #[must_use]
    pub fn may_be_applied(&self) -> bool {
        let is_unclear = matches!(self.outcome, Outcome::Pending | Outcome::Unknown);
        let was_not = self.settled.as_ref().is_some_and(|settled| settled.applied == Some(false));
        self.outcome == Outcome::Applied || is_unclear && !was_not
    }

    /// The deployment as this change left it: after it, or before it where nothing was applied.
    /// `None` where that is not known.
    #[must_use]
    pub fn left(&self) -> Option<&Value> {
        let bodies = self.bodies.as_ref()?;
        let unchanged = || bodies.before.as_ref().filter(|_| !self.may_be_applied());
        bodies.after.as_ref().or_else(unchanged)
    }
}

/// The parts of a change that show what is inside a deployment; absent in lists and for viewers.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Bodies {
    /// The body that the client sent.
    pub patch: Option<Value>,
    /// The deployment before.
    pub before: Option<Value>,
    /// The deployment after.
    pub after: Option<Value>,
    /// Where they differ.
    #[schema(required = false)]
    pub diff: Vec<Difference>,
}

/// Something worth recording that is not a governed call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The kind.
    pub kind: EventKind,
    /// The actor, where it is known.
    #[schema(required)]
    pub actor: Option<Actor>,
    /// From where, where it is known.
    #[schema(required)]
    pub client_ip: Option<String>,
    /// The request's id, where there was one.
    #[schema(required)]
    pub request_id: Option<String>,
    /// The facts, by kind, as a flat JSON object; for viewers without what is, or repeats, the
    /// inside of a deployment.
    // Bounded by its maker.
    #[schema(value_type = Object)]
    pub detail: Value,
}
