//! The change that is judged.

use serde_json::Value;

use super::Actor;
use crate::base::clock::{Clock, Timestamp};
#[cfg(any(test, fuzzing))]
use crate::base::ids::Fingerprint;
use crate::deployment::patch::Patch;
use crate::deployment::predict::{Omitted, Prediction, predict};
use crate::provider::{Operation, Provider};

/// A change that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The provider, for its computed fields.
    pub provider: &'static Provider,
    /// The operation that is asked for.
    pub operation: Operation,
    /// How the call's method reads what the patch omits.
    pub omitted: Omitted,
    /// The deployment before; `None` on create.
    pub before: Option<&'a Value>,
    /// The patch that the call asks for.
    pub patch: &'a Patch,
    /// The actor that asks.
    pub actor: &'a Actor,
    /// When.
    pub now: Timestamp,
    /// What bounds the time of rules: no decision depends on it unless a rule takes too long.
    pub clock: &'a Clock,
}

impl<'a> Subject<'a> {
    /// A change that anybody may have asked for, at any time.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(
        provider: &'static Provider,
        before: Option<&'a Value>,
        patch: &'a Patch,
    ) -> Self {
        static ANYBODY: Actor = Actor {
            fingerprint: Fingerprint::from_bytes([7; 8]),
            name: None,
            team: None,
            person: None,
        };
        Self {
            provider,
            operation: before.map_or(Operation::Create, |_| Operation::Update),
            omitted: Omitted::Preserved,
            before,
            patch,
            actor: &ANYBODY,
            now: Timestamp::from_millis(0),
            clock: &Clock::System,
        }
    }

    /// Predicts the change.
    #[must_use]
    pub fn predict(&self) -> Prediction<'a> {
        predict(self.provider, self.operation, self.omitted, self.before, self.patch)
    }
}
