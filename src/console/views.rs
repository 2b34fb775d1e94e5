//! Views of the list of changes: their links, which anybody may keep or send, and how many changes
//! each finds.

use std::time::Duration;

use maud::{Markup, html};

use super::filters::filters;
use super::form::with_query;
use super::text::grouped;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::asked::Asked;
use crate::admin::filter;
use crate::audit::query::{CountedBy, Counting, Step};
use crate::config::Role;

/// How far back changes are counted where nothing else is asked for: nearly as far as can be.
const COUNTED_BACK: Duration = Duration::from_hours(24 * 998);

/// The most values of those that are counted by here.
const VALUES: u16 = 20;

/// A view that people look at often.
struct View {
    told: &'static str,
    pairs: &'static [(&'static str, &'static str)],
    /// Whether it asks for what is inside a deployment.
    is_inside: bool,
}

const VIEWS: [View; 9] = [
    view("Denied in 7 days", &[("decision", "deny"), ("since", "7d")]),
    view("Passed with a warning in 7 days", &[("decision", "warn"), ("since", "7d")]),
    view("Not known how they ended", &[("outcome", "unknown")]),
    view("Refused by upstream in 7 days", &[("outcome", "rejected"), ("since", "7d")]),
    view("Did something else than asked", &[("effect", "other"), ("since", "30d")]),
    view("Created in 30 days", &[("operation", "create"), ("since", "30d")]),
    view("Archived in 30 days", &[("operation", "archive"), ("since", "30d")]),
    inside("Schedules moved in 30 days", &[("path", "/schedule"), ("since", "30d")]),
    inside("Prompts changed in 30 days", &[("path", "/initial_events"), ("since", "30d")]),
];

const fn view(told: &'static str, pairs: &'static [(&'static str, &'static str)]) -> View {
    View { told, pairs, is_inside: false }
}

const fn inside(told: &'static str, pairs: &'static [(&'static str, &'static str)]) -> View {
    View { is_inside: true, ..view(told, pairs) }
}

/// Links to the views that this role may look at.
pub(super) fn links(asker: &Asker) -> Markup {
    let may = asker.role >= Role::Auditor;
    html! {
        details.columns {
            summary { "Views" }
            ul { @for view in VIEWS.iter().filter(|view| may || !view.is_inside) {
                li { a href=(with_query("/changes", view.pairs.iter().copied())) { (view.told) } }
            } }
            p.dim { "A view is its link, with filters and columns: keep it as a bookmark, or send \
                it." }
        }
    }
}

/// Where a part of the list is among all that the filters find: by the counts of the log where
/// these have it, else by whether there are more.
pub(super) async fn place<K>(
    api: &Api,
    asker: &Asker,
    asked: &Asked<K>,
    (rows, has_more): (usize, bool),
) -> Markup {
    let is_first = asked.text("cursor").is_none();
    if rows == 0 {
        return html! {};
    }
    let words = match (is_first, has_more) {
        (true, false) => format!("{} in all", grouped(rows)),
        (is_first, _) => {
            let total = total(api, asker, asked).await;
            let total = total.filter(|(count, _)| *count >= rows);
            match (total, is_first) {
                (Some((count, about)), true) => {
                    format!("1–{} of {about}{}", grouped(rows), grouped(count))
                }
                (Some((count, about)), false) => {
                    format!("{} of {about}{}", grouped(rows), grouped(count))
                }
                (None, _) if has_more => format!("{}+", grouped(rows)),
                (None, _) => format!("the last {}", grouped(rows)),
            }
        }
    };
    html! { p.dim.place { (words) } }
}

/// How many changes the filters find, and the word before it where whole hours are counted; `None`
/// where that is not known without looking through them.
async fn total<K>(api: &Api, asker: &Asker, asked: &Asked<K>) -> Option<(usize, &'static str)> {
    let mut by = CountedBy::Decision;
    let (mut wanted, mut since) = (None, None);
    for (key, text) in filters(asked) {
        let dimension = match key {
            "decision" => CountedBy::Decision,
            "outcome" => CountedBy::Outcome,
            "operation" => CountedBy::Operation,
            "since" => {
                since = Some(text);
                continue;
            }
            _other => return None,
        };
        if wanted.replace(text).is_some() {
            return None;
        }
        by = dimension;
    }
    let now = api.state.clock.now();
    let (from, step, about) = match since {
        Some(text) => (filter::moment("since", text, now).ok()?, Step::Hour, "about "),
        None => (now.minus(COUNTED_BACK), Step::Day, ""),
    };
    let counting = Counting::new(by, step, (from, now), VALUES).ok()?;
    let counts = api.counts(asker, &counting).await.ok()?;
    let of = counts.values.iter().filter(|count| wanted.is_none_or(|text| count.value == text));
    let others = if wanted.is_none() { counts.others } else { 0 };
    let count = of.map(|count| count.changes).sum::<i64>().saturating_add(others);
    Some((usize::try_from(count).ok()?, about))
}
