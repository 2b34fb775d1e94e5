//! A deployment as it stood at a moment.

use maud::{Markup, html};
use serde_json::Value;

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::base::clock::Timestamp;
use crate::console::changes::Rows;
use crate::console::form::{segment, with_query};
use crate::console::sentence::bare_actor;
use crate::console::text::{at, date_clock, exact, found, grouped, runs, split};
use crate::console::words::deed;

/// The most characters of a document that are shown.
const SHOWN_CHARS_MAX: usize = 60_000;

/// The section.
pub(super) async fn section(
    api: &Api,
    asker: &Asker,
    (id, path): (&str, &str),
    (time, rows): (Timestamp, &Rows),
) -> Result<Markup, Problem> {
    let seen = api.deployment_at(asker, id, time).await?;
    let told = time.to_string();
    let blame = with_query(path, [("view", "blame"), ("time", &*told)].into_iter());
    Ok(html! {
        section aria-labelledby="state" {
            h2 #state { "How it stood " (exact(&told)) }
            form.filters method="get" action=(path) {
                input type="hidden" name="view" value="state";
                div.fields {
                    div.field.wide {
                        label for="time" { "At" }
                        input #time type="text" name="time" value=(told) maxlength="40"
                            placeholder="2026-11-29T08:00:00Z, 2026-11-29 or 7d" autocomplete="off";
                    }
                    button type="submit" { "Show" }
                    a.button href=(blame) { "Who set what" }
                }
            }
            div.beside-list {
                (moments(rows, path, time))
                @match &seen {
                    None => (not_seen_yet()),
                    Some(seen) => div {
                        p.dim { "As seen " (exact(&seen.seen_at.to_string())) " with "
                            a href=(format!("/changes/{}", segment(&seen.change.to_string()))) {
                                "this change"
                            } "." }
                        (document(&seen.deployment))
                    },
                }
            }
        }
    })
}

/// The words for a moment before the log had seen the deployment.
pub(super) fn not_seen_yet() -> Markup {
    html! {
        div.empty {
            h3 { "Not seen yet" }
            p { "The log had not seen this deployment by then. Choose a later moment." }
        }
    }
}

/// The moments at which it changed, the newest first.
fn moments(rows: &Rows, path: &str, time: Timestamp) -> Markup {
    let changed = rows.changes.iter().filter(|change| {
        at(change, "/outcome") == "applied"
            || change.pointer("/settled/applied") == Some(&Value::Bool(true))
    });
    let mut is_before = false;
    html! {
        nav aria-label="Moments of change" {
            ol.moments {
                @for change in changed {
                    @let when = found(change, "/completed_at").unwrap_or_default();
                    @let target = with_query(path, [("view", "state"), ("time", when)].into_iter());
                    @let is_here = !is_before
                        && Timestamp::parse(when).is_ok_and(|when| when <= time);
                    @let () = is_before |= is_here;
                    li { a href=(target) aria-current=[is_here.then_some("true")] {
                        (date_clock(when)) " "
                        span.dim { (bare_actor(change)) " " (deed(change)) }
                    } }
                }
            }
        }
    }
}

fn document(document: &Value) -> Markup {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    let (head, rest) = split(&text, SHOWN_CHARS_MAX);
    html! {
        pre.raw tabindex="0" { (runs(head)) }
        @if rest > 0 {
            p.more { (grouped(rest)) " more characters: ask /api/v1/deployments/…/at" }
        }
    }
}
