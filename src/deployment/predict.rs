//! What a deployment will be if upstream does what is asked: by field table, not by merge-patch.

use serde_json::Value;

use super::patch::Patch;
use crate::provider::{Operation, Provider};

/// The predicted deployment, under every reading of the call that a provider may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// At least one; the first is the documented reading. More than one only where the reading
    /// of a nested metadata value (replace or merge) or of PUT (omitted = removed) is open.
    pub readings: Vec<Value>,
    /// JSON Pointers of what can't be told beforehand (a re-pinned `agent.version`, say).
    pub open: Vec<String>,
}

/// How the call's method reads the members that the body omits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// POST and PATCH: they are preserved.
    Preserved,
    /// PUT: they may be preserved or removed; both readings are predicted.
    Open,
}

/// Predicts what `operation` makes of `before` (none on create).
#[must_use]
pub fn predict(
    provider: &Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<&Value>,
    patch: &Patch,
) -> Prediction {
    let _ = (provider, operation, omitted, before, patch);
    todo!()
}
