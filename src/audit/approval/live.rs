//! Approvals that a call which a rule holds up finds in the log: requests that are alive, and uses
//! of break-glass.

use super::{ApprovalState, AskDigest};
use crate::base::clock::Timestamp;
use crate::base::ids::ApprovalId;

/// A request that is open, or approved and not used.
#[derive(Clone, Debug)]
pub struct LiveApproval {
    /// Its id.
    pub id: ApprovalId,
    /// The state of it.
    pub state: ApprovalState,
    /// Until when that holds.
    pub until: Timestamp,
    /// A keyed digest of the deployment that it is asked of; `None` on create.
    pub base: Option<[u8; 16]>,
    /// Digests of the rules that ask for approval, each with its place.
    pub asks: Vec<AskDigest>,
}

/// The requests that are alive beside one that is asked for.
#[derive(Clone, Debug, Default)]
pub struct LiveApprovals {
    /// Those that ask the same, newest first.
    pub same: Vec<LiveApproval>,
    /// How many the actor has.
    pub of_actor: usize,
    /// How many there are.
    pub of_all: usize,
    /// Whether the time of any is over, which is not noted yet.
    pub any_over: bool,
}

/// How often a person has broken the glass.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokenGlass {
    /// How often since a moment.
    pub count: usize,
    /// The time that nobody has approved of yet.
    pub unreviewed: Option<ApprovalId>,
}
