//! A deployment as it stands: when it runs next, and the rules that it breaks.

use maud::{Markup, html};
use serde_json::Value;

use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::base::clock::Timestamp;
use crate::console::text::{at, cut, date_clock, found, pointer, shown};
use crate::console::words::{chip, enforcement};
use crate::deployment::timetable::Timetable;
use crate::policy::Violation;

/// How many of the next runs are told.
const RUNS: usize = 6;

/// The most rules that are told.
const RULES_MAX: usize = 50;

/// The section, for who may look inside.
pub(super) async fn section(api: &Api, asker: &Asker, id: &str) -> Result<Markup, Problem> {
    let now = api.state.clock.now();
    let Some(seen) = api.deployment_at(asker, id, now).await? else { return Ok(html! {}) };
    let standing = api.standing(asker, id).await?;
    Ok(html! {
        div.cards {
            section.card aria-labelledby="runs" {
                h2 #runs { "Next runs" }
                (runs(&seen.deployment, now))
            }
            section.card aria-labelledby="standing" {
                h2 #standing { "Rules that it breaks now" }
                (rules(&standing))
            }
        }
        p.dim { "As last seen " (date_clock(&seen.seen_at.to_string())) " UTC, with "
            a href=(format!("/changes/{}", seen.change)) { "this change" } "." }
    })
}

fn runs(deployment: &Value, now: Timestamp) -> Markup {
    let is_archived = deployment.get("archived_at").is_some_and(|at| !at.is_null());
    let status = found(deployment, "/status");
    let (expression, zone) =
        (at(deployment, "/schedule/expression"), at(deployment, "/schedule/timezone"));
    if is_archived {
        return html! { p { (chip("plain", "archived")) " It runs no more." } };
    }
    if expression.is_empty() {
        return html! { p { "It has no schedule: it runs when somebody asks." } };
    }
    let timetable = Timetable::parse(expression, zone);
    html! {
        p {
            code { (cut(expression, 80)) } " in " (cut(zone, 60)) " "
            @if let Some(status) = status.filter(|status| *status != "active") {
                (chip("warn", status))
            }
        }
        @match &timetable {
            Err(fault) => p.wrong { "It can't be read: " (shown(&fault.to_string())) },
            Ok(timetable) => ol.runs {
                @for run in timetable.after(now).take(RUNS) {
                    li {
                        (timetable.local(run)) " "
                        span.dim { (date_clock(&run.to_string())) " UTC" }
                    }
                }
            },
        }
    }
}

fn rules(standing: &[Violation]) -> Markup {
    html! {
        @if standing.is_empty() {
            p { "None of the policy in force." }
        } @else {
            ul.broken {
                @for broken in standing.iter().take(RULES_MAX) {
                    li {
                        code { (shown(&broken.rule)) } " " (enforcement(broken.enforcement.name()))
                        " " (pointer(&broken.path))
                    }
                }
            }
        }
    }
}
