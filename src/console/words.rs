//! The words that records use, as pages show them: each with a colour and a sign, so that none is
//! told by its colour alone.

use maud::{Markup, html};
use serde_json::Value;

use super::text::{at, found};

/// A word in a frame of its own; `tone` is one of the stylesheet's.
pub(super) fn chip(tone: &str, word: &str) -> Markup {
    html! { span class=(format!("chip {tone}")) { (word) } }
}

/// The tone of how a change ended.
pub(super) fn outcome_tone(change: &Value) -> &'static str {
    match at(change, "/outcome") {
        "applied" => "good",
        "denied" | "refused" => "bad",
        "rejected" | "failed" => "poor",
        "unknown" | "pending" => "open",
        _ => "plain",
    }
}

/// How a change ended.
pub(super) fn outcome(change: &Value) -> Markup {
    let word = at(change, "/outcome");
    let settled = match change.pointer("/settled/applied") {
        Some(Value::Bool(true)) => Some("was applied"),
        Some(Value::Bool(false)) => Some("was not applied"),
        _ => None,
    };
    html! {
        (chip(outcome_tone(change), word))
        @if at(change, "/decision") == "warn" { (chip("warn", "warned")) }
        @if let Some(settled) = settled { (chip("plain", settled)) }
        @if change.get("break_glass").is_some() { (chip("warn", "break-glass")) }
        @if let Some(effect) = found(change, "/effect").filter(|word| *word != "exact") {
            (chip("warn", &format!("effect: {effect}")))
        }
    }
}

/// The decision of the gateway.
pub(super) fn decision(word: &str) -> Markup {
    let tone = match word {
        "allow" => "good",
        "warn" => "warn",
        "deny" | "refuse" => "bad",
        _ => "plain",
    };
    chip(tone, word)
}

/// How strictly a rule is meant.
pub(super) fn enforcement(word: &str) -> Markup {
    let tone = match word {
        "deny" => "bad",
        "approve" | "warn" => "warn",
        _ => "plain",
    };
    chip(tone, word)
}

/// The deed of an actor by a change, done or only tried.
pub(super) fn deed(change: &Value) -> String {
    let (bare, past) = match at(change, "/operation") {
        "create" => ("create", "created"),
        "update" => ("update", "updated"),
        "archive" => ("archive", "archived"),
        "pause" => ("pause", "paused"),
        "unpause" => ("unpause", "unpaused"),
        "run" => ("run", "ran"),
        other => (other, other),
    };
    match at(change, "/outcome") {
        "applied" => past.to_owned(),
        "pending" => format!("is about to {bare}"),
        "unknown" => match change.pointer("/settled/applied") {
            Some(Value::Bool(true)) => past.to_owned(),
            Some(Value::Bool(false)) => format!("tried to {bare}"),
            _ => format!("may have {past}"),
        },
        _ => format!("tried to {bare}"),
    }
}
