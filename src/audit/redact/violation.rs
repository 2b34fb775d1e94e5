//! Secrets out of what a rule says of a change.

use std::borrow::Cow;

use serde_json::Value;

use super::listed::{At, Redacted};
use super::name::NameMeaning;
use super::pass::{Pass, narrowed};
use super::scrub::{CUT, cut_off};
use super::{Redactor, fits, text_of};
use crate::audit::record::Reason;
use crate::base::excerpt::excerpt;
use crate::base::pointer::keys;
use crate::policy::Violation;
use crate::policy::findings::ACTUAL_CHARS_MAX;

/// The rules that forbid a key: its value may be what the key's name is forbidden for.
const FORBIDDING: [&str; 2] = ["metadata.forbidden_keys", "metadata.protected_keys"];

/// The shortest secret that is looked for in the midst of a message, in bytes; a shorter one is
/// looked for in quotes alone, for it stands in every word.
const MENTION_BYTES_MIN: usize = 4;

/// The longest message and type of a reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

impl Redactor {
    /// Conceals the secrets in why a change was not applied. Where the body held a secret, what
    /// upstream says may repeat it in a form that nothing tells from other words: its message is
    /// left out.
    pub fn conceal_reason(&self, reason: &mut Reason, body_had_secret: bool) {
        if body_had_secret && !reason.is_own {
            reason.message = None;
        }
        for text in [&mut reason.kind, &mut reason.message].into_iter().flatten() {
            *text = self.scrub_and_cut(text, REASON_BYTES_MAX);
        }
    }

    /// Conceals the value that a violation shows, and its mention in the message, where it is
    /// secret. Cuts the value only then.
    pub fn conceal_violation(&self, violation: &mut Violation) {
        if let Some(actual) = &mut violation.actual {
            if forbids(violation.rule.as_str()) || self.is_secret_at(&violation.path, actual) {
                let shown = text_of(actual).into_owned();
                if !actual.is_null() {
                    let concealed = self.hidden(&shown);
                    violation.message = unmentioned(&violation.message, &shown, &concealed);
                    *actual = concealed.into();
                }
            } else {
                // The value stands below the violation's path, and so do the pointers into it.
                let all = self.rules.pointers.iter().map(Vec::as_slice).collect();
                let below =
                    keys(&violation.path).fold(all, |below: Vec<_>, name| narrowed(&below, &name));
                let redacted = &mut Redacted::default();
                Pass { redactor: self, prefix: "", redacted }.value(
                    actual,
                    &below,
                    None,
                    At::Document,
                );
            }
            cut(actual);
        }
        self.scrub_in_place(&mut violation.message);
        self.scrub_pointer(&mut violation.path);
    }

    /// Whether `path`, where `value` stands, lies at or below something secret.
    fn is_secret_at(&self, path: &str, value: &Value) -> bool {
        let path: Vec<Cow<'_, str>> = keys(path).collect();
        path.iter().any(|name| self.meaning(name, value) != NameMeaning::Plain)
            || self.rules.pointers.iter().any(|pointer| {
                pointer.len() <= path.len()
                    && pointer.iter().zip(&path).all(|(wanted, name)| fits(wanted, name))
            })
    }
}

/// Whether it is by a rule on keys that the change is wrong.
pub(super) fn forbids(rule: &str) -> bool {
    FORBIDDING.contains(&rule)
}

/// `message` without `secret`: neither as it is, nor as messages quote it, nor its beginning where
/// the quotation was cut.
fn unmentioned(message: &str, secret: &str, concealed: &str) -> String {
    let mut message = message.to_owned();
    let quoted = excerpt(secret, usize::MAX);
    for form in [secret, quoted.as_str()] {
        if form.len() >= MENTION_BYTES_MIN {
            message = message.replace(form, concealed);
        } else if !form.is_empty() {
            for quote in ['`', '"', '\''] {
                let mention = format!("{quote}{form}{quote}");
                message = message.replace(&mention, &format!("{quote}{concealed}{quote}"));
            }
        }
        let cuts: Vec<_> = cut_off(&message, form, MENTION_BYTES_MIN).collect();
        for cut in cuts.into_iter().rev() {
            message.replace_range(cut, concealed);
        }
    }
    message
}

/// Cuts a text that is longer than a record shows.
fn cut(actual: &mut Value) {
    let Value::String(text) = actual else { return };
    if let Some((end, _)) = text.char_indices().nth(ACTUAL_CHARS_MAX) {
        text.truncate(end);
        text.push(CUT);
    }
}
