//! All rules over one predicted change, and what follows.

use serde_json::Value;

use super::{Policy, Violation};
use crate::deployment::patch::Patch;
use crate::deployment::predict::Prediction;
use crate::provider::Provider;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The provider, for its computed fields.
    pub provider: &'a Provider,
    /// The deployment before; none on create.
    pub before: Option<&'a Value>,
    /// What the call asks for.
    pub patch: &'a Patch,
    /// What the deployment would be, under every reading.
    pub prediction: &'a Prediction,
}

/// What the policy says of a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Rules broken at places that the change touches, each place once.
    pub violations: Vec<Violation>,
    /// Rules broken at places that the change leaves as they were (the ratchet).
    pub standing: Vec<Violation>,
}

/// The strictest of what the violations ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward; violations that only audit are recorded.
    Allow,
    /// Forward, and warn the client.
    Warn,
    /// Answer 403 and forward nothing.
    Deny,
}

impl Decision {
    /// The strictest enforcement among the violations decides.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        todo!()
    }
}

/// Judges a change by every rule.
#[must_use]
pub fn decide(policy: &Policy, subject: &Subject<'_>) -> Decision {
    let _ = (policy, subject);
    todo!()
}
