//! The way of redaction through a document.

use std::borrow::Cow;

use serde_json::Value;

use super::name::same_name;
use super::{POINTERS_MAX, Redactor, fits, text_of};
use crate::deployment::Object;
use crate::deployment::pointer::push_segment;

/// The secret member whose text is a list of variables.
const VARIABLES: &str = "environment_variables";

/// One pass through one document.
pub(super) struct Pass<'a> {
    pub(super) redactor: &'a Redactor,
    /// The pointer to the document.
    pub(super) prefix: &'a str,
    pub(super) redacted: &'a mut Vec<String>,
}

/// Where a pass is, by the way that it went: it is spelt as a pointer only where something is
/// concealed.
#[derive(Clone, Copy)]
pub(super) enum At<'w> {
    Document,
    Member(&'w At<'w>, &'w str),
    Element(&'w At<'w>, usize),
}

impl Pass<'_> {
    /// Conceals inside `value`. `below` holds what remains of the configured pointers that lead
    /// here; where nothing remains of one, it means this very value.
    pub(super) fn value(&mut self, value: &mut Value, below: &[&[String]], at: At<'_>) {
        if below.iter().any(|remaining| remaining.is_empty()) {
            return self.whole(value, at);
        }
        match value {
            Value::Object(members) => self.members(members, below, at),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let below = match below {
                        [] => Vec::new(),
                        some => narrowed(some, &index.to_string()),
                    };
                    self.value(item, &below, At::Element(&at, index));
                }
            }
            Value::String(text) => {
                if let Cow::Owned(clean) = self.redactor.scrub(text) {
                    *text = clean;
                    self.list(at);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn members(&mut self, members: &mut Object, below: &[&[String]], at: At<'_>) {
        self.names(members, at);
        for (name, value) in members {
            let here = At::Member(&at, name);
            if !self.redactor.is_secret_member(name) {
                self.value(value, &narrowed(below, name), here);
            } else if same_name(name, VARIABLES) {
                self.variables(value, here);
            } else {
                self.whole(value, here);
            }
        }
    }

    /// Conceals credentials that stand where a member's name should.
    fn names(&mut self, members: &mut Object, at: At<'_>) {
        let redactor = self.redactor;
        if members.keys().all(|name| redactor.is_plain(name)) {
            return;
        }
        for (name, value) in std::mem::take(members) {
            let clean = redactor.scrub(&name);
            if matches!(clean, Cow::Owned(_)) {
                self.list(At::Member(&at, &clean));
            }
            members.insert(clean.into_owned(), value);
        }
    }

    /// Variables as text, as an object from name to value, or as a list of either `KEY=VALUE` or
    /// `{name, value}`.
    fn variables(&mut self, value: &mut Value, at: At<'_>) {
        match value {
            Value::String(text) => {
                *text = self.redactor.variables(text);
                self.list(at);
            }
            Value::Object(members) => {
                self.names(members, at);
                for (name, value) in members {
                    self.whole(value, At::Member(&at, name));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.listed_variable(item, At::Element(&at, index));
                }
            }
            _ => self.whole(value, at),
        }
    }

    fn listed_variable(&mut self, item: &mut Value, at: At<'_>) {
        match item {
            Value::String(text) => {
                *text = self.redactor.variable(text);
                self.list(at);
            }
            Value::Object(members) => {
                self.names(members, at);
                for (name, value) in members {
                    let is_name = matches!(name.as_str(), "name" | "key");
                    let here = At::Member(&at, name);
                    match value {
                        Value::String(_) if is_name => self.value(value, &[], here),
                        _ => self.whole(value, here),
                    }
                }
            }
            _ => self.whole(item, at),
        }
    }

    /// Conceals a value as one. Null stays: it says that there is nothing.
    fn whole(&mut self, value: &mut Value, at: At<'_>) {
        if !value.is_null() {
            *value = self.redactor.key.conceal(&text_of(value)).into();
            self.list(at);
        }
    }

    fn list(&mut self, at: At<'_>) {
        if self.redacted.len() < POINTERS_MAX {
            let mut path = self.prefix.to_owned();
            at.spell(&mut path);
            self.redacted.push(path);
        }
    }
}

impl At<'_> {
    /// Adds the way to `path`, segment by segment.
    fn spell(&self, path: &mut String) {
        match self {
            Self::Document => {}
            Self::Member(above, name) => {
                above.spell(path);
                push_segment(path, name);
            }
            Self::Element(above, index) => {
                above.spell(path);
                push_segment(path, &index.to_string());
            }
        }
    }
}

/// What remains of the pointers that lead into the member `name`.
pub(super) fn narrowed<'p>(below: &[&'p [String]], name: &str) -> Vec<&'p [String]> {
    let remaining = |pointer: &&'p [String]| {
        pointer.split_first().filter(|(first, _)| fits(first, name)).map(|(_, rest)| rest)
    };
    below.iter().filter_map(remaining).collect()
}
