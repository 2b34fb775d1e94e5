//! The words that a case may use, and what each means.

use std::collections::BTreeSet;

use crate::base::clock::Timestamp;
use crate::deployment::predict::Omitted;
use crate::policy::Decision;
use crate::provider::{Operation, Provider};
use crate::settings::key::near;
use crate::settings::raw::{Node, Value};
use crate::settings::value::{Meant, choice};

/// The fix of a name that no rule has.
pub(super) fn unknown_rule(name: &str, known: &BTreeSet<String>) -> String {
    let parts = format!("{name}.");
    let part = known.iter().find(|rule| rule.starts_with(&parts));
    let meant = part.map(String::as_str);
    let meant = meant.or_else(|| near(name, known.iter().map(String::as_str)));
    if let Some(meant) = meant {
        return format!("no rule has this name: did you mean \"{meant}\"?");
    }
    let names: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
    format!("no rule has this name: the policy has {}", names.join(", "))
}

pub(super) fn provider(node: &Node) -> Meant<&'static Provider> {
    let all = Provider::ALL.map(|provider| (provider.name, Some(provider)));
    choice(&all)(node)?.ok_or_else(String::new)
}

pub(super) fn operation(node: &Node) -> Meant<Operation> {
    one_of(&Operation::ALL.map(|operation| (operation.name(), operation)))(node)
}

pub(super) fn method(node: &Node) -> Meant<Omitted> {
    let (kept, open) = (Omitted::Preserved, Omitted::Open);
    one_of(&[("POST", kept), ("PATCH", kept), ("PUT", open)])(node)
}

pub(super) fn decision(node: &Node) -> Meant<Decision> {
    one_of(&[Decision::Allow, Decision::Warn, Decision::Deny].map(|it| (it.name(), it)))(node)
}

/// One of some words, the one that was probably meant where it is none.
fn one_of<T: Clone>(words: &[(&str, T)]) -> impl Fn(&Node) -> Meant<T> {
    move |node| {
        let meant = near(node.text().unwrap_or_default(), words.iter().map(|(word, _)| *word));
        let suggest = |fix| meant.map_or(fix, |meant| format!("did you mean \"{meant}\"?"));
        choice(words)(node).map_err(suggest)
    }
}

/// A time, in quotes or as TOML has it.
pub(super) fn moment(node: &Node) -> Meant<Timestamp> {
    let typed = match &node.value {
        Value::Moment(moment) => Some(moment.as_str()),
        _ => node.text(),
    };
    let fix = "write a time with its offset from UTC, such as \"2026-01-05T09:00:00Z\"";
    typed.and_then(|text| Timestamp::parse(text).ok()).ok_or_else(|| fix.to_owned())
}
