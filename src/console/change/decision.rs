//! The decision on a change, rule by rule.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde_json::Value;

use crate::admin::Api;
use crate::console::form::with_query;
use crate::console::sentence::without_rule;
use crate::console::text::{at, cut, cut_ticked, exact, found, items, pointer, shown};
use crate::console::words::{decision, enforcement};

/// The most rules that are shown of each kind.
const RULES_MAX: usize = 100;

/// The most characters of a message, and of a value that was found.
const MESSAGE_CHARS_MAX: usize = 600;
const ACTUAL_CHARS_MAX: usize = 200;

/// The section.
pub(super) fn section(api: &Api, change: &Value) -> Markup {
    let digest = at(change, "/policy_digest");
    let broken = items(change, "/violations");
    html! {
        section aria-labelledby="decision" {
            h2 #decision { "Decision " (decision(at(change, "/decision"))) }
            p.dim {
                @if let Some(at) = found(change, "/decided_at") { "At " (exact(at)) ", by " }
                @else { "By " }
                "policy " code { (short(digest)) } "."
            }
            @if broken.is_empty() {
                p { "No rule was broken." }
            } @else { (rules("Rules broken", broken)) }
            (more("Broken before already, and left as it is", items(change, "/standing")))
            (more(
                "Broken afterwards, though that was not predicted",
                items(change, "/after_violations"),
            ))
            (held(api, digest, change))
        }
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn more(caption: &str, broken: &[Value]) -> Markup {
    html! { @if !broken.is_empty() { (rules(caption, broken)) } }
}

fn rules(caption: &str, broken: &[Value]) -> Markup {
    html! {
        table.rules {
            caption { (caption) }
            thead { tr {
                th scope="col" { "Rule" } th scope="col" { "Says" } th scope="col" { "Where" }
                th scope="col" { "Found" }
            } }
            tbody {
                @for rule in broken.iter().take(RULES_MAX) {
                    @let name = at(rule, "/rule");
                    tr {
                        th scope="row" {
                            a href=(with_query("/changes", std::iter::once(("rule", name)))) {
                                (cut(name, 80))
                            }
                            " " (enforcement(at(rule, "/enforcement")))
                        }
                        td {
                            (cut_ticked(
                                without_rule(at(rule, "/message"), name),
                                MESSAGE_CHARS_MAX,
                            ))
                        }
                        td { (pointer(at(rule, "/path"))) }
                        td { (actual(rule.get("actual"))) }
                    }
                }
            }
        }
        @if broken.len() > RULES_MAX { p.more { (broken.len() - RULES_MAX) " more" } }
    }
}

fn actual(value: Option<&Value>) -> Markup {
    match value {
        None | Some(Value::Null) => html! { span.none { "none" } },
        Some(value) => html! { code.value { (cut(&value.to_string(), ACTUAL_CHARS_MAX)) } },
    }
}

/// The rules that held, where the policy that decided is in force still.
fn held(api: &Api, digest: &str, change: &Value) -> Markup {
    let policy = (api.state.policy)();
    if policy.digest != digest || found(change, "/decided_at").is_none() {
        return html! {};
    }
    let listed = ["/violations", "/standing"].into_iter().flat_map(|at| items(change, at));
    let broken: BTreeSet<&str> = listed.map(|rule| at(rule, "/rule")).collect();
    let names = policy.violation_names().filter(|name| !broken.contains(name.as_str()));
    let names: Vec<String> = names.take(RULES_MAX).collect();
    html! {
        @if !names.is_empty() {
            details {
                summary { "Rules that held: " (names.len()) }
                ul.names { @for name in &names { li { code { (shown(name)) } } } }
            }
        }
    }
}
