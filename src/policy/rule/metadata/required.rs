//! Keys that metadata must have.

use serde_json::Value;

use super::super::{Context, Finding, RuleFindings};
use super::pattern::{KeyShape, PatternError};
use super::{PATH_CHARS_MAX, metadata_of};
use crate::base::excerpt::excerpt;
use crate::base::pointer::{child, find};
use crate::deployment::members::Members;

/// The part of the rule that names keys which must be there.
pub(super) const REQUIRED: &str = "required";

/// The longest value that is held against a pattern, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// A key that must be there, letter by letter, with the pattern that its whole value fits.
#[derive(Clone, Debug, PartialEq)]
pub struct RequiredKey {
    key: String,
    shape: KeyShape,
}

impl RequiredKey {
    /// A key, or a dotted path of keys, and the pattern of its value.
    pub(crate) fn of(key: &str, pattern: &str) -> Result<Self, PatternError> {
        if key.split('.').any(|part| part.trim().is_empty()) {
            return Err(PatternError::Empty);
        }
        if key.chars().any(char::is_control) {
            return Err(PatternError::Control);
        }
        Ok(Self { key: key.to_owned(), shape: KeyShape::parse(pattern)? })
    }

    /// Whether the key is that of a dotted path, or inside it.
    pub(super) fn is_within(&self, path: &str) -> bool {
        let rest = self.key.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Notes where `reading` lacks the key, or has another value than it must.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
        found: &mut RuleFindings<'_>,
    ) {
        let mut is_there = false;
        // Whichever a server takes for the metadata, it must have the key.
        for (pointer, metadata) in metadata_of(reading) {
            is_there |= pointer == "/metadata";
            self.check_in(context, &pointer, metadata, found);
        }
        if !is_there {
            self.check_in(context, "/metadata", &Value::Null, found);
        }
    }

    fn check_in(
        &self,
        context: &Context<'_>,
        pointer: &str,
        metadata: &Value,
        found: &mut RuleFindings<'_>,
    ) {
        let value = self.value_in(metadata);
        let fits = |text: &str| text.len() <= VALUE_BYTES_MAX && self.shape.fits(text);
        if value.and_then(Value::as_str).is_some_and(fits) {
            return;
        }
        let key = excerpt(&self.key, PATH_CHARS_MAX);
        let must = format!("send a text that fits `{}`", self.shape);
        let fault = match value {
            None => format!("`metadata.{key}` is missing: {must}"),
            Some(Value::String(text)) => {
                let shown = excerpt(text, PATH_CHARS_MAX);
                format!("`metadata.{key}` is `{shown}`, which may not be: {must}")
            }
            Some(_) => format!("`metadata.{key}` is not a text: {must}"),
        };
        let before = context.before.pointer(pointer).and_then(|it| self.value_in(it));
        // A create sets everything.
        let touched = context.subject.before.is_none() || before != value;
        let path = self.key.split('.').fold(pointer.to_owned(), |path, key| child(&path, key));
        found.add(touched, Finding { part: Some(REQUIRED), path, fault, actual: value.cloned() });
    }

    /// The value under the key as it is written, else under the keys that its dots lead through.
    fn value_in<'v>(&self, metadata: &'v Value) -> Option<&'v Value> {
        let path = || self.key.split('.').fold(String::new(), |path, key| child(&path, key));
        let value = metadata.get(&self.key).or_else(|| find(metadata, &path()));
        value.filter(|value| !value.is_null())
    }

    /// The meaning, in words.
    pub(super) fn words(&self) -> String {
        format!("`{}` is there, and fits `{}`.", self.key, self.shape)
    }
}
