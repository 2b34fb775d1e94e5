//! How long records are kept, what is held, and how far pruning has come.

use std::time::Duration;

use maud::{Markup, html};

use super::ago;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::in_time;
use crate::audit::retention::{HoldSubject, Retention};
use crate::console::form::with_query;
use crate::console::text::{cut, date_clock, grouped};
use crate::console::words::chip;

/// The most holds that are listed.
const HOLDS_LISTED_MAX: usize = 50;

/// From when on what is due and has not gone is told as a fault: a pass is made every hour.
const OVERDUE: Duration = Duration::from_hours(24);

/// The bounds in force, the holds, and what went.
pub(super) async fn section(api: &Api, asker: &Asker) -> Result<Markup, Problem> {
    let (retention, standing) = ((api.state.retention)(), api.state.audit.retention());
    let holds = in_time(&asker.share.reading, api.reader().holds()).await?;
    let by_log = holds.iter().map(|hold| (&hold.subject, Some(hold.at.to_string())));
    let configured = retention.holds.iter().map(|subject| (subject, None));
    let all: Vec<(&HoldSubject, Option<String>)> = configured.chain(by_log).collect();
    let went = usize::try_from(standing.changes).unwrap_or(usize::MAX);
    Ok(html! {
        section aria-labelledby="retention" {
            h2 #retention { "Retention" }
            dl.facts {
                div { dt { "Changes are kept" } dd { (bounds(&retention)) } }
                div { dt { "Pruned by this gateway" } dd {
                    (grouped(went)) " changes"
                    @if let Some(at) = &standing.pruned_at {
                        ", last at " (date_clock(&at.to_string()))
                    }
                } }
                @if !standing.overdue.is_zero() {
                    div { dt { "Due to go" } dd {
                        @let late = standing.overdue >= OVERDUE;
                        (chip(if late { "bad" } else { "plain" }, "overdue"))
                        " for " (ago(standing.overdue)) ": held, or not sent to a sink yet"
                    } }
                }
                div { dt { "Held" } dd { (held(&all)) } }
            }
            p.dim { a href=(with_query("/log", [("q", "prune")].into_iter())) {
                "What was pruned, as the log tells it"
            } }
        }
    })
}

fn bounds(retention: &Retention) -> String {
    let days = |age: Duration| format!("for {} days", age.as_secs() / 86_400);
    let most = |most: u32| format!("the newest {}", grouped(usize::try_from(most).unwrap_or(0)));
    match (retention.max_age, retention.max_changes) {
        (None, None) => "for ever".to_owned(),
        (Some(age), None) => days(age),
        (None, Some(count)) => most(count),
        (Some(age), Some(count)) => format!("{}, {} at most", days(age), most(count)),
    }
}

fn held(all: &[(&HoldSubject, Option<String>)]) -> Markup {
    html! {
        @if all.is_empty() {
            "nothing: " code { "changegate audit hold add" } " holds records back"
        } @else {
            ul.detail {
                @for (subject, since) in all.iter().take(HOLDS_LISTED_MAX) {
                    li {
                        span.dim { (subject.kind()) } " " code { (cut(subject.name(), 80)) } " "
                        span.dim { @match since {
                            Some(at) => { "since " (date_clock(at)) }
                            None => "by the configuration",
                        } }
                    }
                }
                @if let more @ 1.. = all.len().saturating_sub(HOLDS_LISTED_MAX) {
                    li.dim { (grouped(more)) " more: " code { "changegate audit hold list" } }
                }
            }
        }
    }
}
