//! The way of redaction through a document.

use std::borrow::Cow;

use serde_json::Value;

use super::listed::{At, Redacted};
use super::name::NameMeaning;
use super::variables::is_list;
use super::{Beside, Redactor, fits, stands, text_of};
use crate::deployment::Object;

/// The members that hold the value of what another names beside it, and how that one is called.
const PAIRS: [(&str, &[&str]); 2] =
    [("value", &["name", "key", "header", "variable"]), ("Value", &["Name", "Key"])];

/// One pass through one document.
pub(super) struct Pass<'a> {
    pub(super) redactor: &'a Redactor,
    /// The pointer to the document.
    pub(super) prefix: &'a str,
    pub(super) redacted: &'a mut Redacted,
}

impl Pass<'_> {
    /// Conceals inside `value`. `below` holds what remains of the configured pointers that lead
    /// here; where nothing remains of one, it means this very value. `former` is what a document
    /// that was concealed already has here.
    pub(super) fn value(
        &mut self,
        value: &mut Value,
        below: &[&[String]],
        former: Option<&Value>,
        at: At<'_>,
    ) {
        if below.iter().any(|remaining| remaining.is_empty()) {
            return self.whole(value, at);
        }
        match value {
            Value::Object(members) => self.members(members, below, former, at),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let below = match below {
                        [] => Vec::new(),
                        some => narrowed(some, &index.to_string()),
                    };
                    let former = former.and_then(|former| former.get(index));
                    self.value(item, &below, former, At::Element(&at, index));
                }
            }
            Value::String(_) if stands(value, former) => {}
            Value::String(text) => {
                if let Cow::Owned(clean) = self.redactor.scrub(text) {
                    *text = clean;
                    self.list(at);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn members(
        &mut self,
        members: &mut Object,
        below: &[&[String]],
        former: Option<&Value>,
        at: At<'_>,
    ) {
        let paired = self.redactor.paired(members);
        self.names(members, former, at);
        let mut beside = Beside::of(former);
        for (name, value) in members {
            let former = beside.at(name);
            let here = At::Member(&at, name);
            let is_paired = paired
                .is_some_and(|(paired, counted)| name == paired && !(counted && is_amount(value)));
            // What its name means, it meant before.
            if !is_paired && below.is_empty() && stands(value, former) {
                continue;
            }
            match self.redactor.meaning(name, value) {
                _ if is_paired => self.whole(value, here),
                NameMeaning::Variables | NameMeaning::Environment => self.variables(value, here),
                NameMeaning::Secret | NameMeaning::Counted => self.whole(value, here),
                NameMeaning::Plain => self.value(value, &narrowed(below, name), former, here),
            }
        }
    }

    /// Conceals credentials that stand where a member's name should.
    fn names(&mut self, members: &mut Object, former: Option<&Value>, at: At<'_>) {
        let redactor = self.redactor;
        let mut beside = Beside::of(former);
        if members.keys().all(|name| beside.at(name).is_some() || redactor.is_plain(name)) {
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
                self.names(members, None, at);
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

    /// One variable of a list. A `key` beside a `name` is its value.
    fn listed_variable(&mut self, item: &mut Value, at: At<'_>) {
        match item {
            Value::String(text) => {
                *text = self.redactor.variable(text);
                self.list(at);
            }
            Value::Object(members) => {
                self.names(members, None, at);
                let name_of = if members.contains_key("name") { "name" } else { "key" };
                for (name, value) in members {
                    let here = At::Member(&at, name);
                    match value {
                        Value::String(_) if name == name_of => self.value(value, &[], None, here),
                        _ => self.whole(value, here),
                    }
                }
            }
            _ => self.whole(item, at),
        }
    }

    /// Conceals a value as one. Null stays: it says that there is nothing.
    pub(super) fn whole(&mut self, value: &mut Value, at: At<'_>) {
        if !value.is_null() {
            *value = self.redactor.hidden(&text_of(value)).into();
            self.list(at);
        }
    }

    fn list(&mut self, at: At<'_>) {
        self.redacted.list(self.prefix, at);
    }
}

impl Redactor {
    /// The meaning of a member's name for the value that it has.
    pub(super) fn meaning(&self, name: &str, value: &Value) -> NameMeaning {
        match self.rules.names.of(name) {
            NameMeaning::Counted if is_amount(value) => NameMeaning::Plain,
            NameMeaning::Environment if !holds_variables(value) => NameMeaning::Plain,
            named => named,
        }
    }

    /// The member that holds the value of a secret that another one names, and whether that may
    /// be an amount.
    pub(super) fn paired(&self, members: &Object) -> Option<(&'static str, bool)> {
        PAIRS.iter().find_map(|(value, names)| {
            let _value = members.get(*value)?;
            let mut named = names.iter().filter_map(|name| members.get(*name)?.as_str());
            named.find_map(|name| match self.rules.names.of(name) {
                NameMeaning::Secret | NameMeaning::Variables => Some((*value, false)),
                NameMeaning::Counted => Some((*value, true)),
                NameMeaning::Plain | NameMeaning::Environment => None,
            })
        })
    }
}

/// Whether a value may be a number of things.
pub(super) fn is_amount(value: &Value) -> bool {
    matches!(value, Value::Number(_) | Value::Bool(_) | Value::Null)
}

/// Whether a value is variables, in any of their forms, and nothing else that has a name.
fn holds_variables(value: &Value) -> bool {
    let is_scalar = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_));
    match value {
        Value::String(text) => is_list(text),
        Value::Object(members) => {
            let is_reference = members.contains_key("id") || members.contains_key("type");
            !members.is_empty() && !is_reference && members.values().all(is_scalar)
        }
        Value::Array(items) => {
            let is_variable = |item: &Value| match item {
                Value::String(text) => is_list(text),
                Value::Object(pair) => {
                    let (name, key) = (pair.contains_key("name"), pair.contains_key("key"));
                    name && key || (name || key) && pair.contains_key("value")
                }
                _ => false,
            };
            !items.is_empty() && items.iter().all(is_variable)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The rests of the pointers that lead into the member `name`.
pub(super) fn narrowed<'p>(below: &[&'p [String]], name: &str) -> Vec<&'p [String]> {
    let remaining = |pointer: &&'p [String]| {
        pointer.split_first().filter(|(first, _)| fits(first, name)).map(|(_, rest)| rest)
    };
    below.iter().filter_map(remaining).collect()
}
