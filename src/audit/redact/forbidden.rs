//! Values of keys that a rule forbids: concealed in the body that set them as in the violation.

use serde_json::Value;

use super::listed::Redacted;
use super::violation::forbids;
use super::{Redactor, text_of};
use crate::base::key::CONCEALED;
use crate::base::pointer::{find, find_mut};
use crate::policy::Violation;
use crate::policy::findings::FINDINGS_MAX;

impl Redactor {
    /// Conceals every secret inside the body `patch`, and every value that `violations` forbid by
    /// its key. Lists in `redacted` where, below `prefix`.
    pub fn conceal_patch<'v>(
        &self,
        patch: &mut Value,
        violations: impl Iterator<Item = &'v Violation>,
        prefix: &str,
        redacted: &mut Redacted,
    ) {
        let forbidden = violations.filter(|violation| forbids(&violation.rule));
        let mut paths: Vec<&str> = forbidden.map(|violation| violation.path.as_str()).collect();
        // What lies around others is concealed with them in it.
        paths.sort_unstable_by_key(|path| path.len());
        // A decision holds so many findings at most: there may be more values that are forbidden.
        if paths.len() >= FINDINGS_MAX {
            paths = vec!["/metadata"];
        }
        let mut taken = Vec::new();
        for path in paths {
            let path = in_text(patch, path).unwrap_or(path);
            if let Some(value) = find_mut(patch, path).filter(|value| !value.is_null()) {
                taken.push((path.to_owned(), self.hidden(&text_of(value))));
                *value = Value::Null;
            }
        }
        self.conceal(patch, prefix, redacted);
        for (mut path, concealed) in taken {
            // Keys that held credentials are concealed by now.
            self.scrub_pointer(&mut path);
            if let Some(value) = find_mut(patch, &path) {
                *value = concealed.into();
                redacted.add(format!("{prefix}{path}"));
            }
        }
    }

    /// Conceals in `shown` what the stored body `patch` conceals at the same place, so that the
    /// two can be held against each other.
    pub fn conceal_alike(&self, patch: &Value, shown: &mut Value) {
        match (patch, shown) {
            (Value::Object(patch), Value::Object(shown)) => {
                for (name, value) in shown {
                    if let Some(patch) = patch.get(name) {
                        self.conceal_alike(patch, value);
                    }
                }
            }
            (Value::Array(patch), Value::Array(shown)) => {
                for (patch, value) in patch.iter().zip(shown) {
                    self.conceal_alike(patch, value);
                }
            }
            (Value::String(patch), shown) if patch.starts_with(CONCEALED) => {
                let is_concealed = shown.as_str().is_some_and(|text| text.starts_with(CONCEALED));
                if !shown.is_null() && !is_concealed {
                    *shown = self.hidden(&text_of(shown)).into();
                }
            }
            _ => {}
        }
    }
}

/// The place of the text of JSON in which the place `path` lies, where it lies in one.
fn in_text<'p>(patch: &Value, path: &'p str) -> Option<&'p str> {
    let around = path.rmatch_indices('/').filter_map(|(end, _)| path.get(..end));
    let mut standing = around.filter_map(|place| Some((place, find(patch, place)?)));
    standing.next().filter(|(_, value)| value.is_string()).map(|(place, _)| place)
}
