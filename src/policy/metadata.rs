//! The built-in rule on metadata keys.

mod letters;
mod lookalike;
mod pattern;
mod places;

use std::borrow::Cow;

use serde_json::Value;

pub use self::pattern::{KeyPattern, KeyShape, PatternError};
use self::places::{Place, each_place};
use super::decide::Findings;
use super::{Enforcement, Violation};
use crate::deployment::diff::same;
use crate::deployment::excerpt::excerpt;
use crate::deployment::members::Members;
use crate::deployment::pointer::child;
use crate::deployment::predict::without_computed_below;
use crate::provider::Provider;

/// The most characters of a key's path that a message shows.
const PATH_CHARS_MAX: usize = 128;

/// `[metadata]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRule {
    /// Keys that may be deleted, never set.
    pub forbidden_keys: Vec<KeyPattern>,
    /// Keys that may not be set, changed or deleted.
    pub protected_keys: Vec<KeyPattern>,
    /// What a metadata key must look like.
    pub key_pattern: Option<KeyShape>,
    /// What a violation does.
    pub enforcement: Enforcement,
}

impl MetadataRule {
    /// Notes every key of `reading` that breaks the rule, and every protected key that differs.
    /// What the provider computes is not looked at.
    pub(super) fn check(
        &self,
        provider: &Provider,
        before: &Members<'_>,
        reading: &Members<'_>,
        findings: &mut Findings,
    ) {
        for (pointer, metadata) in metadata_of(reading) {
            self.check_set(provider, before, &pointer, metadata, findings);
        }
        if !self.protected_keys.is_empty() {
            for (pointer, metadata) in metadata_of(before) {
                self.check_kept(provider, reading, &pointer, metadata, findings);
            }
        }
    }

    /// What the reading has that it may not have.
    fn check_set(
        &self,
        provider: &Provider,
        before: &Members<'_>,
        pointer: &str,
        metadata: &Value,
        findings: &mut Findings,
    ) {
        let patterns = self.forbidden_keys.iter().chain(&self.protected_keys);
        let shaped = usize::from(self.key_pattern.is_some());
        let depth_max = patterns.map(KeyPattern::depth).max().unwrap_or(0).max(shaped);
        each_place(pointer, metadata, depth_max, provider.computed, &mut |place| {
            // Looked up where a rule is broken only: nearly no place breaks one.
            let standing = || before.pointer(place.pointer);
            let lasting = |value| without_computed_below(provider, place.pointer, value);
            let value = || lasting(place.value);
            let touched = || !standing().is_some_and(|standing| same(&lasting(standing), &value()));
            if let Some(pattern) = matching(&self.forbidden_keys, place) {
                let fault = format!("is forbidden by `{pattern}`: leave it out, or delete it");
                let violation = self.violation("forbidden_keys", place, &fault);
                findings.add(touched(), with_value(violation, value()));
            }
            if let Some(pattern) = matching(&self.protected_keys, place)
                && standing().is_none()
            {
                let fault = format!("is protected by `{pattern}` and can't be set: leave it out");
                let violation = self.violation("protected_keys", place, &fault);
                findings.add(true, with_value(violation, value()));
            }
            if let (Some(shape), [key]) = (&self.key_pattern, place.keys)
                && !shape.fits(key.text)
            {
                let fault = format!("does not fit the pattern `{shape}`: rename the key");
                let violation = self.violation("key_pattern", place, &fault);
                findings.add(touched(), with_value(violation, value()));
            }
        });
    }

    /// What was protected before and is not the same in the reading.
    fn check_kept(
        &self,
        provider: &Provider,
        reading: &Members<'_>,
        pointer: &str,
        metadata: &Value,
        found: &mut Findings,
    ) {
        let depth_max = self.protected_keys.iter().map(KeyPattern::depth).max().unwrap_or(0);
        each_place(pointer, metadata, depth_max, provider.computed, &mut |place| {
            let Some(pattern) = matching(&self.protected_keys, place) else { return };
            let lasting = |value| without_computed_below(provider, place.pointer, value);
            let predicted = reading.pointer(place.pointer).map(lasting);
            if predicted.as_deref().is_some_and(|predicted| same(predicted, &lasting(place.value)))
            {
                return;
            }
            let done = if predicted.is_some() { "changed" } else { "deleted" };
            let fault = format!(
                "is protected by `{pattern}` and can't be {done}: leave it as it is, and send it \
                 again where its parent is replaced"
            );
            let mut violation = self.violation("protected_keys", place, &fault);
            violation.actual = predicted.map(Cow::into_owned);
            found.add(true, violation);
        });
    }

    fn violation(&self, key: &str, place: &Place<'_, '_>, fault: &str) -> Violation {
        let path: Vec<&str> = place.keys.iter().map(|key| key.text).collect();
        let path = excerpt(&path.join("."), PATH_CHARS_MAX);
        Violation {
            rule: format!("metadata.{key}"),
            enforcement: self.enforcement,
            path: place.pointer.to_owned(),
            message: format!("metadata.{key}: `metadata.{path}` {fault}"),
            actual: None,
        }
    }
}

/// The members that a server may take for the metadata, each with its JSON Pointer.
fn metadata_of<'m>(deployment: &'m Members<'_>) -> impl Iterator<Item = (String, &'m Value)> {
    deployment.taken_for("metadata").map(|(name, metadata)| (child("", name), metadata))
}

fn matching<'p>(patterns: &'p [KeyPattern], place: &Place<'_, '_>) -> Option<&'p KeyPattern> {
    patterns.iter().find(|pattern| pattern.matches(place.keys))
}

fn with_value(mut violation: Violation, value: Cow<'_, Value>) -> Violation {
    violation.actual = Some(value.into_owned());
    violation
}
