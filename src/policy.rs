//! The org's rules: (policy, before, predicted, patch) → [`Decision`](decide::Decision). Pure.

pub mod decide;
pub(crate) mod findings;
pub mod load;
pub mod metadata;
pub mod timezones;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::metadata::MetadataRule;
use self::timezones::TimezoneRule;

/// The rules in force. A rule that is not configured is absent and forbids nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `[timezones]`.
    pub timezones: Option<TimezoneRule>,
    /// `[metadata]`.
    pub metadata: Option<MetadataRule>,
    /// SHA-256 of the policy file's bytes, as hex; recorded with every decision.
    pub digest: String,
}

impl Policy {
    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timezones.is_none() && self.metadata.is_none()
    }
}

/// The effect of a violated rule on the call, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Recorded; the client is told nothing.
    Audit,
    /// Recorded; the client gets a `warning` header.
    Warn,
    /// The call is denied.
    Deny,
}

/// One rule that the predicted deployment breaks, at one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// `timezones`, `metadata.forbidden_keys`, `metadata.protected_keys`, `metadata.key_pattern`.
    pub rule: String,
    /// The effect that the rule asks for.
    pub enforcement: Enforcement,
    /// JSON Pointer of the place.
    pub path: String,
    /// A sentence that says what is wrong and what would be right.
    pub message: String,
    /// The offending value, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actual: Option<Value>,
}
