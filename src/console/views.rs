//! Views of the list of changes: their links, which anybody may keep or send, and how many changes
//! each finds.

use std::time::Duration;

use axum::http::Uri;
use maud::{Markup, html};

use super::columns;
use super::filters::{ChangesPage, filters, kept};
use super::form::with_query;
use super::text::{self, for_readers, grouped, toml};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::asked::Asked;
use crate::admin::filter;
use crate::audit::query::{CountedBy, Counting, Step};
use crate::base::clock::Timestamp;
use crate::config::{Role, SavedView, VIEW_NAME_CHARS_MAX, VIEW_QUERY_BYTES_MAX};

/// How far back changes are counted where nothing else is asked for: nearly as far as can be.
const COUNTED_BACK: Duration = Duration::from_hours(24 * 998);

/// The most values of those that are counted by here.
const VALUES: u16 = 20;

/// The moments from which the times of saved views are read when they are checked.
const EXTREMES: [Timestamp; 2] =
    [Timestamp::from_millis(0), Timestamp::from_millis(253_000_000_000_000)];

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

/// The pairs of a query that make it one view, in their order: where a page begins is none of them.
fn view_of(asked: &Asked<ChangesPage>) -> Vec<(&str, &str)> {
    kept(asked).collect()
}

/// Whether two queries are the same view, whatever the order of their keys.
fn is_same(one: &[(&str, &str)], other: &[(&str, &str)]) -> bool {
    let sorted = |pairs: &[(&str, &str)]| {
        let mut pairs: Vec<(String, String)> =
            pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        pairs.sort_unstable();
        pairs
    };
    sorted(one) == sorted(other)
}

/// The query of a saved view, read as that of a request is.
fn read(query: &str) -> Result<Asked<ChangesPage>, Problem> {
    let fix = "write it as the address of the page has it, with what is not plain behind percent \
        signs: %20 for a space, %23 for #";
    let uri = Some(format!("/changes?{query}")).filter(|_| !query.contains('#'));
    let uri = uri.and_then(|target| target.parse::<Uri>().ok());
    Asked::of(&uri.ok_or_else(|| Problem::invalid("", fix))?)
}

/// Holds that the query of a saved view can be asked: the wrong part of it and the fix, where it
/// can't.
pub(crate) fn hold(query: &str) -> Result<(), String> {
    let told = |wrong: Problem| {
        let message = for_readers(wrong.message());
        match wrong.param().filter(|param| !message.starts_with(*param)) {
            Some(param) => format!("`{param}`: {message}"),
            None => message,
        }
    };
    let is_address = ["http://", "https://"].iter().any(|scheme| query.starts_with(scheme));
    if is_address || query.starts_with(['?', '/']) {
        return Err("write only what stands behind the `?` of the page's address".to_owned());
    }
    let asked = read(query).map_err(told)?;
    if asked.text("cursor").is_some() {
        return Err("`cursor`: a view begins at the newest change: remove it".to_owned());
    }
    columns::asked(asked.text("columns")).map_err(told)?;
    asked.page().map_err(told)?;
    // Of two times, one of them relative, the order is a matter of when the page is asked for.
    let at = |now| filter::filter(|key| asked.text(key), now);
    let [early, late] = EXTREMES.map(at);
    match (early, late) {
        (Err(wrong), Err(_)) => Err(wrong.to_string()),
        _ => Ok(()),
    }
}

/// Links to the saved views, and to the usual ones that this role may look at.
pub(super) fn links(api: &Api, asker: &Asker, asked: &Asked<ChangesPage>) -> Markup {
    let may = asker.role >= Role::Auditor;
    let saved = (api.state.views)();
    // One that can't be read was refused with its configuration.
    let read = saved.iter().filter_map(|view| Some((view.name.as_str(), read(&view.query).ok()?)));
    // What a role may not ask for is not told to it by a link either.
    let read: Vec<_> = read.filter(|(_, view)| may || view.filter(api, asker).is_ok()).collect();
    let shown = view_of(asked);
    let current = |pairs: &[(&str, &str)]| is_same(pairs, &shown).then_some("page");
    let link = |told: &str, pairs: &[(&str, &str)]| {
        let target = with_query("/changes", pairs.iter().copied());
        html! { li { a href=(target) aria-current=[current(pairs)] { (text::shown(told)) } } }
    };
    let named = read.iter().find(|(_, view)| current(&view_of(view)).is_some());
    html! {
        details.columns {
            summary { "Views" @if let Some((name, _)) = named { ": " (text::shown(name)) } }
            @if !read.is_empty() {
                ul aria-label="Saved views" {
                    @for (name, view) in &read { (link(name, &view_of(view))) }
                }
            }
            ul { @for view in VIEWS.iter().filter(|view| may || !view.is_inside) {
                (link(view.told, view.pairs))
            } }
            p.dim { "A view is its link, with filters and columns: keep it as a bookmark, or send \
                it." }
        }
    }
}

/// The lines of the configuration that save the view which the page shows, where it is none yet.
pub(super) fn saving(api: &Api, asked: &Asked<ChangesPage>) -> Markup {
    let shown = view_of(asked);
    let is_view = filters(asked).next().is_some() || asked.text("columns").is_some();
    let is_saved =
        |view: &SavedView| read(&view.query).is_ok_and(|saved| is_same(&view_of(&saved), &shown));
    let target = with_query("", shown.iter().copied());
    let query = target.trim_start_matches('?');
    let is_new = is_view && !(api.state.views)().iter().any(is_saved);
    html! {
        @if is_new && query.len() <= VIEW_QUERY_BYTES_MAX {
            details.columns {
                summary { "Save this view" }
                p.dim { "Add this to the configuration, under a name that says what it is for; it \
                    is read again by itself, and links the view here for everybody." }
                pre.command data-copy tabindex="0" {
                    "[[admin.view]]\nname = \"" (toml(&called(&shown))) "\"\n"
                    "query = \"" (toml(query)) "\"\n"
                }
            }
        }
    }
}

/// A name to begin from: what the view asks for.
fn called(pairs: &[(&str, &str)]) -> String {
    let words: Vec<String> = pairs.iter().map(|(key, text)| format!("{key} {text}")).collect();
    let words = words.join(", ");
    let name = words.chars().filter(|c| !c.is_control()).take(VIEW_NAME_CHARS_MAX);
    name.collect::<String>().trim().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_the_page_takes_may_be_saved() {
        for query in [
            "decision=deny&team=production",
            "q=%E5%A4%9C+a&since=7d&columns=team,person",
            "path=/metadata/a~1b&limit=20",
            "since=2d&until=1d",
            // Some day this is no span any more, and the gateway still starts.
            "since=7d&until=2026-11-30",
            "since=2026-11-30&until=24h",
            "actor=pat_0123456789abcdef",
            "q=https://example.com/a",
        ] {
            assert_eq!(hold(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn what_the_page_would_not_take_is_told_with_its_key_and_its_fix() {
        for (query, expected) in [
            ("decison=deny", "`decison`: this key means nothing here: leave it out"),
            ("decision=denied", "decision: write allow, warn, deny or refuse"),
            ("decision=deny&decision=warn", "decision is given twice: give it once"),
            ("team=", "team: write a value, or leave it out"),
            ("?decision=deny", "write only what stands behind the `?`"),
            ("/changes?decision=deny", "write only what stands behind the `?`"),
            ("https://a.example/changes?team=a", "write only what stands behind the `?`"),
            ("columns=colour", "columns: write some of team, person"),
            ("limit=0", "limit: write a whole number from 1 to"),
            ("cursor=abc", "`cursor`: a view begins at the newest change: remove it"),
            ("since=1d&until=2d", "since: must lie before until"),
            ("since=2026-11-30&until=2026-11-29", "since: must lie before until"),
            ("since=yesterday", "since: write a time such as"),
            ("q=a b", "write it as the address of the page has it"),
            ("q=a#b", "write it as the address of the page has it"),
            ("q=%zz", "after each % write two hex digits"),
            ("path=schedule", "path: write a JSON Pointer"),
        ] {
            let fault = hold(query).unwrap_err();
            assert!(fault.starts_with(expected), "{query}: {fault}");
        }
    }

    #[test]
    fn the_lines_of_a_view_are_toml_whatever_it_asks_for() {
        for text in ["a\"b\\c", "\u{202e}x\u{7}\n", "夜间 ' # = é", &"long ".repeat(40)] {
            let told = toml(text);
            let parsed: ::toml::Table = format!("name = \"{told}\"").parse().unwrap();
            assert_eq!(parsed["name"].as_str(), Some(text));
            assert!(!told.contains(crate::base::visible::steers), "{told:?}");
            let name = called(&[("q", text)]);
            assert!((1..=VIEW_NAME_CHARS_MAX).contains(&name.chars().count()), "{name:?}");
        }
    }

    #[test]
    fn a_view_is_the_same_whatever_the_order_of_its_keys() {
        let one = [("decision", "deny"), ("team", "a")];
        assert!(is_same(&one, &[("team", "a"), ("decision", "deny")]));
        assert!(!is_same(&one, &one[..1]));
        assert!(!is_same(&one, &[("decision", "deny"), ("team", "b")]));
    }
}
