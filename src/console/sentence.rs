//! A change in one sentence: who did what to which deployment, and why it did not come about.

use maud::{Markup, html};
use serde_json::Value;

use super::form::{segment, with_query};
use super::text::{LINE_CHARS_MAX, at, cut, cut_ticked, found, items, short_id, shown};
use super::words::deed;
use crate::base::count::counted;

/// The most characters of a name.
const NAME_CHARS_MAX: usize = 60;

/// The change in one sentence, with links to actor and deployment; `name` is the deployment's,
/// where it is known.
pub(super) fn sentence(change: &Value, name: Option<&str>) -> Markup {
    html! {
        (actor(change.get("actor").unwrap_or(&Value::Null)))
        " " (deed(change)) " "
        (deployment(found(change, "/deployment_id"), name))
    }
}

/// An actor, with a link to all of their changes.
pub(super) fn actor(actor: &Value) -> Markup {
    let fingerprint = at(actor, "/fingerprint");
    let name = found(actor, "/name");
    let target = with_query("/changes", std::iter::once(("actor", name.unwrap_or(fingerprint))));
    html! {
        a.actor href=(target) title=(fingerprint) {
            @match name {
                Some(name) => (cut(name, NAME_CHARS_MAX)),
                None => code { (short_id(fingerprint)) },
            }
        }
    }
}

/// The name of a change's actor, without a link.
pub(super) fn bare_actor(change: &Value) -> Markup {
    let fingerprint = at(change, "/actor/fingerprint");
    html! {
        @match found(change, "/actor/name") {
            Some(name) => (cut(name, NAME_CHARS_MAX)), None => (short_id(fingerprint)),
        }
    }
}

/// A deployment, with a link to what became of it.
pub(super) fn deployment(id: Option<&str>, name: Option<&str>) -> Markup {
    let Some(id) = id else { return html! { span.dim { "a new deployment" } } };
    html! {
        a.deployment href=(format!("/deployments/{}", segment(id))) {
            @match name {
                Some(name) => (cut(name, NAME_CHARS_MAX)),
                None => code { (cut(id, NAME_CHARS_MAX)) },
            }
        }
    }
}

/// Why a change did not come about as it was asked for: the first rule that it breaks, or the words
/// of the answer.
pub(super) fn why(change: &Value) -> Option<Markup> {
    let broken = items(change, "/violations");
    if let Some(first) = broken.first() {
        let (rule, message) = (at(first, "/rule"), at(first, "/message"));
        let more = broken.len() - 1;
        return Some(html! {
            code.rule { (shown(rule)) } " "
            (cut_ticked(without_rule(message, rule), LINE_CHARS_MAX))
            @if more > 0 {
                span.more { " (+" (counted(more, "rule")) ")" }
            }
        });
    }
    let message = found(change, "/reason/message").or_else(|| found(change, "/reason/type"))?;
    Some(cut_ticked(message, LINE_CHARS_MAX))
}

/// A message that begins with its rule's name, as clients read it, does not say it twice here.
pub(super) fn without_rule<'m>(message: &'m str, rule: &str) -> &'m str {
    message.strip_prefix(rule).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message)
}
