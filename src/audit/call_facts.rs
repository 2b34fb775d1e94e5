//! The facts of a call that the record of its end needs.

use std::sync::Arc;

use serde_json::Value;

use super::intent::Intent;
use crate::deployment::diff::{self, ChangedPlace};
use crate::deployment::patch::Patch;
use crate::deployment::predict::Omitted;
use crate::provider::{Operation, Provider};

/// The call that a change is, as far as its completion depends on it.
#[derive(Clone, Debug)]
pub(super) struct CallFacts {
    pub(super) upstream: Arc<str>,
    pub(super) provider: &'static Provider,
    pub(super) operation: Operation,
    pub(super) omitted: Omitted,
    /// Whether its bodies are kept.
    pub(super) is_kept: bool,
}

impl CallFacts {
    pub(super) fn by(intent: &Intent) -> Self {
        let Intent { provider, operation, is_kept, .. } = *intent;
        let (upstream, omitted) = (Arc::clone(&intent.upstream), Omitted::by(&intent.method));
        Self { upstream, provider, operation, omitted, is_kept }
    }

    /// Where `patch` asks the deployment `before` to change.
    pub(super) fn asked(&self, before: Option<&Value>, patch: Value) -> Vec<ChangedPlace> {
        let Value::Object(object) = patch else { return Vec::new() };
        let patch = Patch { object };
        diff::asked(self.provider, self.operation, self.omitted, before, &patch)
    }
}
