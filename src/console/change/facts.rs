//! The facts of a change: who, from where, when, by which way, and what takes it back.

use maud::{Markup, html};
use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::config::Role;
use crate::console::form::{segment, with_query};
use crate::console::sentence::actor;
use crate::console::text::{at, cut, cut_ticked, exact, found, items, shown};

/// The most characters of a fact.
const FACT_CHARS_MAX: usize = 400;

/// A fact under its name.
type Fact = (&'static str, Markup);

/// Why it did not come about, in the words of the answer, where no rule says it.
pub(super) fn why(change: &Value) -> Markup {
    let message = found(change, "/reason/message").or_else(|| found(change, "/reason/type"));
    let says = items(change, "/violations").is_empty();
    html! {
        @if let Some(message) = message.filter(|_| says) {
            p.answer {
                @let status = change.pointer("/reason/status").unwrap_or(&Value::Null);
                span.dim { "Answered " (status) ": " }
                (cut_ticked(message, FACT_CHARS_MAX))
            }
        }
    }
}

/// The table of facts.
pub(super) fn section(change: &Value) -> Markup {
    let facts = [who(change), whence(change), when(change), way(change)].concat();
    html! {
        section aria-labelledby="facts" {
            h2 #facts { "Facts" }
            dl.facts { @for (name, fact) in facts { div { dt { (name) } dd { (fact) } } } }
        }
    }
}

fn who(change: &Value) -> Vec<Fact> {
    let mut facts = vec![("Actor", actor(change.get("actor").unwrap_or(&Value::Null)))];
    let code = |text: &str| html! { code { (shown(text)) } };
    facts.push(("Token", code(at(change, "/actor/fingerprint"))));
    for (name, place) in [("Team", "/actor/team"), ("Person", "/actor/person")] {
        facts.extend(text(change, name, place));
    }
    facts
}

fn text(change: &Value, name: &'static str, place: &str) -> Option<Fact> {
    Some((name, cut(found(change, place)?, FACT_CHARS_MAX)))
}

fn whence(change: &Value) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    facts.extend(text(change, "From", "/client/ip"));
    facts.extend(text(change, "Program", "/client/user_agent"));
    if let Some(retry) = change.pointer("/client/retry").and_then(Value::as_u64) {
        facts.push(("Retry", html! { (retry) ", by its SDK's word" }));
    }
    let request = at(change, "/request_id");
    let others = with_query("/changes", std::iter::once(("request_id", request)));
    facts.push(("Request", html! { a href=(others) { code { (cut(request, 130)) } } }));
    facts
}

fn when(change: &Value) -> Vec<Fact> {
    let mut facts = vec![("Received", exact(at(change, "/received_at")))];
    if let Some(end) = found(change, "/completed_at") {
        facts.push(("Completed", html! { (exact(end)) (took(change)) }));
    }
    if let Some(late) = change.get("late") {
        let told = html! {
            (at(late, "/outcome")) ", as gateway " (shown(at(late, "/node"))) " knew it at "
            (exact(at(late, "/at")))
        };
        facts.push(("Too late", told));
    }
    if let Some(settled) = change.get("settled") {
        let told = match settled.get("applied") {
            Some(Value::Bool(true)) => "it was applied",
            Some(Value::Bool(false)) => "it was not applied",
            _ => "it can't be told",
        };
        let by = at(settled, "/by");
        facts.push((
            "Settled",
            html! { (told) ", by " (change_link(by)) " " (exact(at(settled, "/at"))) },
        ));
    }
    facts
}

fn took(change: &Value) -> Markup {
    let moment = |place| Timestamp::parse(at(change, place)).ok();
    let (begin, end) = (moment("/received_at"), moment("/completed_at"));
    let took = begin.zip(end).map(|(begin, end)| end.millis().saturating_sub(begin.millis()));
    html! { @if let Some(took) = took { span.dim { ", took " (took) " ms" } } }
}

fn way(change: &Value) -> Vec<Fact> {
    let mut facts = Vec::new();
    let method = found(change, "/method").filter(|method| *method != "POST");
    facts.push((
        "Operation",
        html! { (at(change, "/operation")) @if let Some(method) = method { " by " (method) } },
    ));
    if let Some(id) = found(change, "/deployment_id") {
        let target = format!("/deployments/{}", segment(id));
        facts.push(("Deployment", html! { a href=(target) { code { (cut(id, 130)) } } }));
    }
    facts.push(("Upstream", upstream(change)));
    facts.extend(text(change, "Effect", "/effect"));
    facts.extend(text(change, "Gateway", "/node"));
    if let Some(former) = found(change, "/reverts") {
        facts.push(("Takes back", change_link(former)));
    }
    let seq = change.get("seq").and_then(Value::as_i64).unwrap_or_default();
    facts.push(("Place in the log", html! { (seq) }));
    facts
}

fn upstream(change: &Value) -> Markup {
    let name = at(change, "/upstream_name");
    let answer = change.get("upstream").filter(|answer| !answer.is_null());
    html! {
        (shown(name)) ": "
        @match answer {
            None => "nothing was forwarded",
            Some(answer) => {
                @match answer.get("status").and_then(Value::as_u64) {
                    Some(status) => (status), None => "no answer",
                }
                @if at(answer, "/call") == "read" {
                    " to the read before; the change was not forwarded"
                }
                @if let Some(id) = found(answer, "/request_id") {
                    ", request " code { (cut(id, 130)) }
                }
            }
        }
    }
}

fn change_link(id: &str) -> Markup {
    html! {
        @if id.starts_with("chg_") {
            a href=(format!("/changes/{}", segment(id))) { code { (id) } }
        } @else { (shown(id)) }
    }
}

/// The approval that it asked for or passed by, and the glass that was broken for it.
pub(super) fn exceptions(change: &Value) -> Markup {
    html! {
        @if let Some(approval) = change.get("approval") {
            section aria-labelledby="approval" {
                h2 #approval { "Approval" }
                p {
                    @let (id, asked_with) = (at(approval, "/id"), at(approval, "/change"));
                    a href=(format!("/approvals/{}", segment(id))) { code { (id) } }
                    ", asked for by " (shown(at(approval, "/asked_by"))) " "
                    (exact(at(approval, "/asked_at")))
                    @if asked_with == at(change, "/id") { " with this change" } @else {
                        " with " (change_link(asked_with))
                    } "."
                }
                (decided(approval))
            }
        }
        @if let Some(glass) = change.get("break_glass") {
            section aria-labelledby="glass" {
                h2 #glass { "Break-glass" }
                p {
                    "Broken by " (shown(at(glass, "/person")))
                    @if let Some(reason) = found(glass, "/reason") {
                        ": " (cut(reason, FACT_CHARS_MAX))
                    }
                }
                (decided(glass))
            }
        }
    }
}

fn decided(part: &Value) -> Markup {
    html! {
        p {
            @match part.get("decided").filter(|decided| !decided.is_null()) {
                None => "Nobody has decided yet.",
                Some(decided) => {
                    (at(decided, "/verdict")) " by " (shown(at(decided, "/by"))) " "
                    (exact(at(decided, "/at")))
                    @if let Some(reason) = found(decided, "/reason") {
                        ": " (cut(reason, FACT_CHARS_MAX))
                    }
                }
            }
        }
    }
}

/// The commands that go on from here.
pub(super) fn proof(change: &Value, role: Role) -> Markup {
    let id = at(change, "/id");
    let was_applied = at(change, "/outcome") == "applied"
        || change.pointer("/settled/applied") == Some(&Value::Bool(true));
    let operation = at(change, "/operation");
    let revertible = was_applied && matches!(operation, "update" | "pause" | "unpause");
    html! {
        @if found(change, "/completed_at").is_some() {
            section aria-labelledby="proof" {
                h2 #proof { "Prove it" }
                p.dim {
                    "A bundle that is checked without this log, by whoever has the log's "
                    a href="/log#evidence" { "key" } "."
                }
                pre.command data-copy tabindex="0" {
                    "changegate audit prove " (id) " --config changegate.toml > proof.json\n"
                    "changegate audit verify --bundle proof.json --key KEY"
                }
            }
        }
        @if revertible {
            section aria-labelledby="revert" {
                h2 #revert { "Take it back" }
                p.dim {
                    "With your own token for the API, through the gateway, under the policy. "
                    code { "--dry-run" } " shows the call first."
                }
                @if role >= Role::Approver {
                    p { a.button href={ "/changes/" (id) "/revert" } { "A dry run, here" } }
                }
                pre.command data-copy tabindex="0" {
                    "changegate audit revert " (id)
                    " --dry-run --config changegate.toml --token-env API_TOKEN"
                }
            }
        }
    }
}
