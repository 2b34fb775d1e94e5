//! The part of a batch that is about approvals.

use crate::audit::approval::{ApprovalPart, Decision, NewApproval, NewTerms};
use crate::audit::entry::IntentRow;
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, ChangeId};

/// A step of an approval.
pub(in crate::audit::store) struct ApprovalStepRow<'e> {
    pub(in crate::audit::store) id: ApprovalId,
    pub(in crate::audit::store) step: &'static str,
    pub(in crate::audit::store) at: Timestamp,
    /// The person who decides, and the name of the admin token.
    pub(in crate::audit::store) by: Option<(&'e str, &'e str)>,
    pub(in crate::audit::store) reason: Option<&'e str>,
    pub(in crate::audit::store) until: Option<Timestamp>,
    pub(in crate::audit::store) change: Option<ChangeId>,
}

impl<'e> ApprovalStepRow<'e> {
    /// Somebody has decided.
    pub(in crate::audit::store) fn decided(decision: &'e Decision) -> Self {
        let Decision { id, verdict, person, token, reason, at, until } = decision;
        let (by, reason) = (Some((person.as_str(), token.as_str())), Some(reason.as_str()));
        let step = verdict.name();
        Self { id: *id, step, at: *at, by, reason, until: *until, change: None }
    }

    /// Another change has made it void.
    fn void(id: ApprovalId, at: Timestamp, why: &'e str, change: ChangeId) -> Self {
        let (reason, change) = (Some(why), Some(change));
        Self { id, step: "void", at, by: None, reason, until: None, change }
    }

    /// A change uses it.
    fn used(id: ApprovalId, at: Timestamp, change: ChangeId) -> Self {
        let change = Some(change);
        Self { id, step: "used", at, by: None, reason: None, until: None, change }
    }
}

/// The part of a batch that is about approvals.
#[derive(Default)]
pub(in crate::audit::store) struct Approvals<'e> {
    /// Steps of some before others are asked for.
    pub(in crate::audit::store) voids: Vec<ApprovalStepRow<'e>>,
    /// Those that are asked for, each with its change.
    pub(in crate::audit::store) new: Vec<(&'e IntentRow, &'e NewApproval)>,
    /// Steps of others.
    pub(in crate::audit::store) steps: Vec<ApprovalStepRow<'e>>,
    /// When they are looked through for those whose time is over.
    pub(in crate::audit::store) expiry: Option<Timestamp>,
}

impl<'e> Approvals<'e> {
    /// Adds the part that an approval has in a change.
    pub(in crate::audit::store) fn ask(&mut self, opening: &'e IntentRow, part: &'e ApprovalPart) {
        let change = opening.intent.id;
        match part {
            ApprovalPart::Waits(_) => {}
            ApprovalPart::Asks(new) | ApprovalPart::BreaksGlass(new) => {
                if let NewTerms::Request { voids, .. } = &new.terms {
                    let void = |(id, why): &'e (ApprovalId, String)| {
                        ApprovalStepRow::void(*id, new.opened_at, why, change)
                    };
                    self.voids.extend(voids.iter().map(void));
                }
                self.new.push((opening, new));
            }
            ApprovalPart::Uses { id, at } => {
                self.steps.push(ApprovalStepRow::used(*id, *at, change));
            }
        }
    }
}
