//! The built-in rule on names of deployments.

use serde_json::Value;

use super::metadata::KeyShape;
use super::{Context, Finding, RuleFindings};
use crate::base::excerpt::excerpt;
use crate::base::pointer::child;
use crate::deployment::members::Members;
use crate::provider::Operation;

/// The most characters of a name that a message shows.
const NAME_CHARS_MAX: usize = 128;

/// The longest name that is held against a pattern, in bytes.
const NAME_BYTES_MAX: usize = 4_096;

/// `[name]`: the shape that names have.
#[derive(Clone, Debug, PartialEq)]
pub struct NameRule {
    /// The pattern that the whole name must fit.
    pub pattern: KeyShape,
}

impl NameRule {
    /// Notes a name of `reading` that does not fit, and one that is missing.
    pub(super) fn check(
        &self,
        context: &Context<'_>,
        reading: &Members<'_>,
        found: &mut RuleFindings<'_>,
    ) {
        let mut add = |key: &str, name: Option<&Value>, fault: String| {
            // A create sets everything.
            let touched = context.subject.before.is_none() || context.before.get(key) != name;
            let (path, actual) = (child("", key), name.cloned());
            found.add(touched, Finding { part: None, path, fault, actual });
        };
        let mut is_there = false;
        for (key, name) in reading.taken_for("name") {
            is_there = true;
            let Some(text) = name.as_str() else {
                add(key, Some(name), "the name is not a text: write one".to_owned());
                continue;
            };
            if text.len() > NAME_BYTES_MAX || !self.pattern.fits(own(context, text)) {
                let shown = excerpt(text, NAME_CHARS_MAX);
                let fault =
                    format!("`{shown}` does not fit `{}`: choose another name", self.pattern);
                add(key, Some(name), fault);
            }
        }
        if !is_there {
            add("name", None, format!("there is no name: send one that fits `{}`", self.pattern));
        }
    }

    /// The meaning, in words.
    pub(super) fn words(&self) -> Vec<String> {
        vec![format!("A deployment's name fits `{}` as a whole.", self.pattern)]
    }
}

/// The name as it was given: some providers add to that of a deployment that is archived.
fn own<'n>(context: &Context<'_>, name: &'n str) -> &'n str {
    let subject = context.subject;
    if subject.operation != Operation::Archive || !subject.provider.archive_renames {
        return name;
    }
    let is_moment = |end: &str| !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
    match name.rsplit_once("_archived_") {
        Some((own, end)) if is_moment(end) => own,
        _ => name,
    }
}
