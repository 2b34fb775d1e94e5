//! Approvals: changes that somebody else must approve before they pass, and those that passed by
//! break-glass and that somebody else must review.
//!
//! An approval is a row that stays, and what becomes of it is a row for each step. The store
//! decides which step may follow which, within the transaction that writes it, so that of many
//! calls that want to use one approval exactly one does.

mod live;

pub use self::live::{BrokenGlass, LiveApproval, LiveApprovals};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, ChangeId};
use crate::deployment::diff::Difference;
use crate::policy::{Actor, Violation};
use crate::provider::Operation;

/// The word for a part of what asks for approval: a rule, and the place at which it is broken.
pub type AskDigest = [u8; 8];

/// The kinds of approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// A change that waits for somebody's approval.
    Request,
    /// A change that passed by break-glass and waits for somebody's review.
    BreakGlass,
}

impl ApprovalKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Request, Self::BreakGlass];

    /// The name that the API uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::BreakGlass => "break_glass",
        }
    }
}

/// The state of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has decided yet.
    Open,
    /// Somebody has approved it; of a request: it was not used yet.
    Approved,
    /// Somebody has rejected it.
    Rejected,
    /// The change has passed.
    Used,
    /// Its time is over.
    Expired,
    /// The change that was asked for is no longer the one that would be made.
    Void,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Approved, Self::Rejected, Self::Used, Self::Expired, Self::Void];

    /// The name that the API uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    /// The state after a step, where what it allows is over at `until`; `None` of a step that is
    /// not known.
    pub(super) fn after(step: &str, until: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let is_over = until.is_some_and(|until| until <= now);
        Some(match step {
            "open" | "approved" | "returned" if is_over => Self::Expired,
            "open" => Self::Open,
            "approved" | "returned" => Self::Approved,
            "rejected" => Self::Rejected,
            "used" => Self::Used,
            "void" => Self::Void,
            "expired" => Self::Expired,
            _unknown => return None,
        })
    }
}

/// A decision on an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The change may pass once; of break-glass: it was right.
    Approved,
    /// It may not; of break-glass: it was not right.
    Rejected,
}

impl Verdict {
    /// The name that the API uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// The part that an approval has in a change, as it is written with it.
#[derive(Clone, Debug)]
pub enum ApprovalPart {
    /// The change is denied, and waits for one that is open already.
    Waits(ApprovalId),
    /// The change is denied, and asks for this one.
    Asks(Box<NewApproval>),
    /// The change passes by it, which it does once.
    Uses {
        /// The approval.
        id: ApprovalId,
        /// When that was decided.
        at: Timestamp,
    },
    /// The change passes by break-glass, and this is its review to come.
    BreaksGlass(Box<NewApproval>),
}

/// An approval to be.
#[derive(Clone, Debug)]
pub struct NewApproval {
    /// Its id.
    pub id: ApprovalId,
    /// The person who asks.
    pub person: String,
    /// When.
    pub opened_at: Timestamp,
    /// The rules that ask for it, each once.
    pub rules: Vec<String>,
    /// More, by its kind.
    pub terms: NewTerms,
}

/// The terms of an approval to be, by its kind.
#[derive(Clone, Debug)]
pub enum NewTerms {
    /// A request.
    Request {
        /// Until when it is to be decided.
        expires_at: Timestamp,
        /// A keyed digest of what is asked.
        asked: [u8; 32],
        /// One of the deployment that it is asked of; `None` on create.
        base: Option<[u8; 16]>,
        /// Digests of the rules that ask for approval, each with its place.
        asks: Vec<AskDigest>,
        /// Approvals that this one makes void, and why.
        voids: Vec<(ApprovalId, String)>,
    },
    /// The review of a change that passes by break-glass.
    BreakGlass {
        /// Why the glass is broken.
        reason: String,
    },
}

impl ApprovalPart {
    /// The approval's id.
    #[must_use]
    pub fn id(&self) -> ApprovalId {
        match self {
            Self::Waits(id) | Self::Uses { id, .. } => *id,
            Self::Asks(new) | Self::BreaksGlass(new) => new.id,
        }
    }

    /// Why the glass is broken, where it is.
    pub(super) fn reason(&mut self) -> Option<&mut String> {
        match self {
            Self::BreaksGlass(new) => match &mut new.terms {
                NewTerms::BreakGlass { reason } => Some(reason),
                NewTerms::Request { .. } => None,
            },
            Self::Waits(_) | Self::Asks(_) | Self::Uses { .. } => None,
        }
    }
}

/// The approvals that are asked for; a field that is `None` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// Standing so.
    pub state: Option<ApprovalState>,
    /// Of this kind.
    pub kind: Option<ApprovalKind>,
    /// Asked for by this person.
    pub person: Option<String>,
    /// Of this deployment.
    pub deployment_id: Option<String>,
}

/// One step of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApprovalStep {
    /// `approved`, `rejected`, `used`, `returned` (the change that used it surely was not applied),
    /// `void` or `expired`.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// The person who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by: Option<String>,
    /// The name of the admin token that was used for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// Why; absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Until when it may be used, once approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<Timestamp>,
    /// The change that used it, or that made it void.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub change: Option<ChangeId>,
}

/// An approval, as the log tells it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The kind.
    pub kind: ApprovalKind,
    /// The state of it.
    pub state: ApprovalState,
    /// The change that asked for it, or passed by break-glass.
    pub change: ChangeId,
    /// The upstream's name in the configuration.
    pub upstream_name: String,
    /// The operation that is asked for.
    pub operation: Operation,
    /// The id of the deployment; null on create.
    #[schema(required)]
    pub deployment_id: Option<String>,
    /// The actor that asks, with the person behind it.
    pub actor: Actor,
    /// The rules that ask for it, each once.
    pub rules: Vec<String>,
    /// The persons who may approve it as the policy in force names them; absent where anybody
    /// with the role may, and once it is decided on. The log does not tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approvers: Option<Vec<String>>,
    /// When it was asked for.
    pub opened_at: Timestamp,
    /// Until when it is to be decided; null of break-glass.
    #[schema(required)]
    pub expires_at: Option<Timestamp>,
    /// Until when it may be used; null as long as it is not approved, and of break-glass.
    #[schema(required)]
    pub run_until: Option<Timestamp>,
    /// Why the glass was broken; absent of requests, and for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The newest 100 steps of it, oldest first.
    pub steps: Vec<ApprovalStep>,
    /// The change that is asked for; absent in lists and for viewers.
    #[serde(flatten)]
    #[schema(value_type = AskedChange)]
    pub asked: Option<AskedChange>,
}

/// The change that an approval is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct AskedChange {
    /// Rules broken.
    #[schema(required = false)]
    pub violations: Vec<Violation>,
    /// The body that the client sent; null where the log no longer has it.
    pub patch: Option<Value>,
    /// The deployment before; null on create.
    pub before: Option<Value>,
    /// Where the deployment would differ.
    #[schema(required = false)]
    pub diff: Vec<Difference>,
}

/// A decision on an approval, as it is told with the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Decided {
    /// The decision.
    pub verdict: Verdict,
    /// The person who decided.
    pub by: String,
    /// The name of the admin token that was used for it.
    pub token: String,
    /// Why; absent for viewers.
    #[schema(required = false)]
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// The approval that a change asked for or used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangeApproval {
    /// Its id.
    pub id: ApprovalId,
    /// The change that asked for it.
    pub change: ChangeId,
    /// The person who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: Timestamp,
    /// The decision; null as long as there is none.
    #[schema(required)]
    pub decided: Option<Decided>,
}

/// How a change passed by break-glass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BreakGlass {
    /// Why; absent for viewers.
    #[schema(required = false)]
    pub reason: String,
    /// The person who broke the glass.
    pub person: String,
    /// The review of it.
    pub approval: ApprovalId,
    /// The word of somebody else on it; null as long as there is none.
    #[schema(required)]
    pub decided: Option<Decided>,
}

/// A decision to be, on an approval.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The approval.
    pub id: ApprovalId,
    /// The decision.
    pub verdict: Verdict,
    /// The person who decides.
    pub person: String,
    /// The name of the admin token.
    pub token: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Until when a request may be used then.
    pub until: Option<Timestamp>,
}
