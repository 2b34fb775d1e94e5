//! The built-in rule on metadata keys.

mod letters;
mod lookalike;
mod loose;
mod pattern;
mod places;
mod required;
mod written;

use std::borrow::Cow;

use serde_json::Value;

pub use self::loose::Compare;
pub use self::pattern::{KeyPattern, KeyShape, PatternError};
pub(in crate::policy) use self::places::FoldedKeys;
use self::places::{Location, Walk};
use self::required::REQUIRED;
pub use self::required::RequiredKey;
use super::{Context, Finding, RuleFindings};
use crate::base::excerpt::excerpt;
use crate::base::pointer::{self, child};
use crate::deployment::diff::same;
use crate::deployment::members::Members;
use crate::deployment::predict::without_computed_below;

/// The most characters of a key's path that a message shows.
const PATH_CHARS_MAX: usize = 128;

/// The part of the rule that names keys which a change never sets.
const FORBIDDEN_KEYS: &str = "forbidden_keys";

/// The part of the rule that names keys which a change leaves as they are.
pub(in crate::policy) const PROTECTED_KEYS: &str = "protected_keys";

/// The part of the rule that says which shape keys have.
const KEY_PATTERN: &str = "key_pattern";

/// `[metadata]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRule {
    /// Keys that may be deleted, never set.
    pub forbidden_keys: Vec<KeyPattern>,
    /// Keys that may not be set, changed or deleted.
    pub protected_keys: Vec<KeyPattern>,
    /// The shape that a metadata key must have.
    pub key_pattern: Option<KeyShape>,
    /// Keys that must be there.
    pub required: Vec<RequiredKey>,
    /// How keys are compared with forbidden and protected ones.
    pub compare: Compare,
}

impl MetadataRule {
    /// The parts that the policy has, by the names of their keys in its file.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> {
        let parts = [
            (FORBIDDEN_KEYS, !self.forbidden_keys.is_empty()),
            (PROTECTED_KEYS, !self.protected_keys.is_empty()),
            (KEY_PATTERN, self.key_pattern.is_some()),
            (REQUIRED, !self.required.is_empty()),
        ];
        parts.into_iter().filter_map(|(part, is_there)| is_there.then_some(part))
    }

    /// Whether it looks at what is inside the place that keys lead to, or at its very value.
    pub(in crate::policy) fn reads_inside(&self, path: &[Cow<'_, str>]) -> bool {
        if path.is_empty() {
            return true;
        }
        let folded = FoldedKeys::default();
        let keys: Vec<_> = path.iter().map(|key| folded.key(key)).collect();
        let mut patterns = self.forbidden_keys.iter().chain(&self.protected_keys);
        let dotted = path.join(".");
        patterns.any(|pattern| pattern.reaches_below(&keys, self.compare))
            || self.required.iter().any(|required| required.is_within(&dotted))
    }

    /// Notes every key of `reading` that breaks the rule, and every protected key that differs.
    /// Computed places are not looked at.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
        found: &mut RuleFindings<'_>,
    ) {
        for (pointer, metadata) in metadata_of(reading) {
            self.check_set(context, &pointer, metadata, found);
        }
        for required in &self.required {
            required.check(context, reading, found);
        }
        if !self.protected_keys.is_empty() {
            for (pointer, metadata) in metadata_of(&context.before) {
                self.check_kept(context, reading, &pointer, metadata, found);
            }
        }
    }

    /// The meaning, in words.
    pub(super) fn words(&self) -> Vec<String> {
        let listed = |patterns: &[KeyPattern]| {
            let patterns: Vec<String> = patterns.iter().map(|p| format!("`{p}`")).collect();
            patterns.join(", ")
        };
        let mut words = Vec::new();
        if !self.forbidden_keys.is_empty() {
            let keys = listed(&self.forbidden_keys);
            words.push(format!("These keys are never set, but may be deleted: {keys}."));
        }
        if !self.protected_keys.is_empty() {
            let keys = listed(&self.protected_keys);
            words.push(format!("These keys are never set, changed or deleted: {keys}."));
        }
        words.extend(
            self.key_pattern.iter().map(|shape| format!("Every key fits `{shape}` as a whole.")),
        );
        words.extend(self.required.iter().map(RequiredKey::words));
        words
    }

    /// Notes what a patch sets where the provider computes, and a pattern names a key there.
    pub(super) fn check_computed(&self, context: &Context<'_>, found: &mut RuleFindings<'_>) {
        for pointer in context.subject.provider.computed {
            let keys: Vec<_> = pointer::keys(pointer).collect();
            let [metadata, keys @ ..] = keys.as_slice() else { continue };
            if metadata != "metadata" || keys.is_empty() {
                continue;
            }
            let Some(asked) =
                context.subject.patch.object.get("metadata").and_then(|asked| set_at(asked, keys))
            else {
                continue;
            };
            let names = |pattern: &&KeyPattern| pattern.names_at_or_below(keys.len());
            let [forbidden, protected] = [&self.forbidden_keys, &self.protected_keys]
                .map(|patterns| patterns.iter().filter(names).collect::<Vec<_>>());
            let all = forbidden.iter().chain(&protected);
            let depth_max = all.map(|pattern| pattern.depth()).max().unwrap_or(0);
            let walk = Walk { keys: &context.keys, depth_max, computed: &[] };
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            let matching = |patterns: &[&KeyPattern], place: &Location<'_, '_>| {
                let mut all = patterns.iter();
                all.find(|pattern| self.concerns(pattern, place)).map(ToString::to_string)
            };
            let inside = |value: &Value, place: &str| {
                let below = place.strip_prefix(pointer)?;
                context.keys.texts.find(value, below).map(Cow::into_owned)
            };
            let former = context.before.pointer(pointer);
            if depth_max >= keys.len() && !asked.is_null() {
                walk.place_and_below(&keys, pointer, asked, &mut |place| {
                    let standing = former.and_then(|former| inside(former, place.pointer));
                    let touched = !standing.as_ref().is_some_and(|it| same(it, place.value));
                    if let Some(pattern) = matching(&forbidden, place) {
                        found.add(touched, forbids(place, &pattern, place.value));
                    }
                    if let Some(pattern) = matching(&protected, place)
                        && (standing.is_none() || place.is_unclear && touched)
                    {
                        found.add(true, protects(place, &pattern, place.value));
                    }
                });
            }
            if let Some(former) = former.filter(|_| depth_max >= keys.len()) {
                walk.place_and_below(&keys, pointer, former, &mut |place| {
                    let Some(pattern) = matching(&protected, place) else { return };
                    let predicted = inside(asked, place.pointer).filter(|it| !it.is_null());
                    if !predicted.as_ref().is_some_and(|it| same(it, place.value)) {
                        found.add(true, moved(place, &pattern, predicted));
                    }
                });
            }
        }
    }

    /// Notes the keys that the reading has and may not have.
    fn check_set(
        &self,
        context: &Context<'_>,
        pointer: &str,
        metadata: &Value,
        found: &mut RuleFindings<'_>,
    ) {
        let (provider, before) = (context.subject.provider, &context.before);
        let keys = &context.keys;
        let patterns = self.forbidden_keys.iter().chain(&self.protected_keys);
        let shaped = usize::from(self.key_pattern.is_some());
        let depth_max = patterns.map(KeyPattern::depth).max().unwrap_or(0).max(shaped);
        let walk = Walk { keys, depth_max, computed: provider.computed };
        walk.each_place(pointer, metadata, &mut |place| {
            // Looked up where a rule is broken only: nearly no place breaks one.
            let standing = || member_written(before, place.pointer, keys);
            let value = || without_computed_below(provider, place.pointer, place.value);
            let touched = || {
                !standing().is_some_and(|standing| {
                    let lasting = without_computed_below(provider, place.pointer, &standing);
                    same(&lasting, &value())
                })
            };
            if let Some(pattern) = self.matching(&self.forbidden_keys, place) {
                found.add(touched(), forbids(place, &pattern.to_string(), &value()));
            }
            if let Some(pattern) = self.matching(&self.protected_keys, place)
                && (standing().is_none() || place.is_unclear && touched())
            {
                found.add(true, protects(place, &pattern.to_string(), &value()));
            }
            if let (Some(shape), [key], false) = (&self.key_pattern, place.keys, place.is_unclear)
                && !shape.fits(key.text)
            {
                let fault = format!("does not fit the pattern `{shape}`: rename the key");
                let actual = Some(value().into_owned());
                found.add(touched(), finding(KEY_PATTERN, place, &fault, actual));
            }
        });
    }

    /// Notes the values that were protected before and are not the same in the reading.
    fn check_kept(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
        pointer: &str,
        metadata: &Value,
        found: &mut RuleFindings<'_>,
    ) {
        let depth_max = self.protected_keys.iter().map(KeyPattern::depth).max().unwrap_or(0);
        let provider = context.subject.provider;
        let walk = Walk { keys: &context.keys, depth_max, computed: provider.computed };
        walk.each_place(pointer, metadata, &mut |place| {
            let Some(pattern) = self.matching(&self.protected_keys, place) else { return };
            let lasting = |value| without_computed_below(provider, place.pointer, value);
            let shown = member_written(reading, place.pointer, &context.keys);
            let predicted = shown.as_deref().map(lasting);
            if predicted.as_deref().is_some_and(|predicted| same(predicted, &lasting(place.value)))
            {
                return;
            }
            let predicted = predicted.map(Cow::into_owned);
            found.add(true, moved(place, &pattern.to_string(), predicted));
        });
    }

    fn matching<'p>(
        &self,
        patterns: &'p [KeyPattern],
        place: &Location<'_, '_>,
    ) -> Option<&'p KeyPattern> {
        patterns.iter().find(|pattern| self.concerns(pattern, place))
    }

    /// Whether a pattern names the place, or one that may stand in a text there.
    fn concerns(&self, pattern: &KeyPattern, place: &Location<'_, '_>) -> bool {
        if place.is_unclear {
            return pattern.reaches_below(place.keys, self.compare);
        }
        pattern.matches(place.keys, self.compare)
    }
}

fn forbids(place: &Location<'_, '_>, pattern: &str, value: &Value) -> Finding {
    let fault = format!("is forbidden by `{pattern}`: leave it out, or delete it");
    finding(FORBIDDEN_KEYS, place, &fault, Some(value.clone()))
}

fn protects(place: &Location<'_, '_>, pattern: &str, value: &Value) -> Finding {
    let fault = format!("is protected by `{pattern}` and can't be set: leave it out");
    finding(PROTECTED_KEYS, place, &fault, Some(value.clone()))
}

fn moved(place: &Location<'_, '_>, pattern: &str, predicted: Option<Value>) -> Finding {
    let done = if predicted.is_some() { "changed" } else { "deleted" };
    let fault = format!(
        "is protected by `{pattern}` and can't be {done}: leave it as it is, and send it again \
         where its parent is replaced"
    );
    finding(PROTECTED_KEYS, place, &fault, predicted)
}

fn finding(
    part: &'static str,
    place: &Location<'_, '_>,
    fault: &str,
    actual: Option<Value>,
) -> Finding {
    let path: Vec<&str> = place.keys.iter().map(|key| key.text).collect();
    let path = excerpt(&path.join("."), PATH_CHARS_MAX);
    let fault = if place.is_unclear {
        format!(
            "`metadata.{path}` is a text of JSON that readers may take differently, in which no \
             key can be judged: send the object itself (the key {fault})"
        )
    } else {
        format!("`metadata.{path}` {fault}")
    };
    Finding { part: Some(part), path: place.pointer.to_owned(), fault, actual }
}

/// The members that a server may take for the metadata, each with its JSON Pointer.
fn metadata_of<'m>(deployment: &'m Members<'_>) -> impl Iterator<Item = (String, &'m Value)> {
    deployment.taken_for("metadata").map(|(name, metadata)| (child("", name), metadata))
}

/// The value that a JSON Pointer names below the deployment, inside texts of JSON too.
fn member_written<'m>(
    deployment: &'m Members<'_>,
    pointer: &str,
    keys: &FoldedKeys,
) -> Option<Cow<'m, Value>> {
    let (name, below) = match pointer.get(1..)?.find('/') {
        Some(end) => pointer.split_at_checked(end + 1)?,
        None => (pointer, ""),
    };
    keys.texts.find(deployment.pointer(name)?, below)
}

/// The value that asked metadata sets where keys lead; null where it deletes or replaces what is
/// around.
fn set_at<'v>(asked: &'v Value, keys: &[Cow<'_, str>]) -> Option<&'v Value> {
    static NULL: Value = Value::Null;
    keys.iter().try_fold(asked, |asked, key| match asked {
        Value::Object(members) => members.get(&**key),
        _ => Some(&NULL),
    })
}
