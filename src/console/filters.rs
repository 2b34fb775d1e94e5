//! The filters of a list of changes: those of the API, by the same names, in the URL.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::form::with_query;
use super::text::{LINE_CHARS_MAX, cut, for_readers, ticked};
use crate::admin::answer::Problem;
use crate::admin::asked::{self, Asked, Key, Kind, key, text};
use crate::admin::filter::SEARCH_CHARS_MAX;
use crate::config::Role;

/// The most characters of a field that is not searched by.
const TEXT_CHARS_MAX: usize = 400;

/// The query of the list: that of the API, and the columns that are shown beside the usual ones.
pub(super) enum ChangesPage {}

impl Kind for ChangesPage {
    const KEYS: &'static [&'static [Key]] = &[
        asked::WHICH,
        asked::WHO,
        asked::NARROWING,
        asked::REQUEST,
        asked::SPAN,
        asked::SEARCH,
        asked::PAGE,
        &[key("columns", text, "Names of columns, with commas between them.")],
    ];
}

/// A filter in the form.
struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    /// The words that it takes; none where it takes any text.
    words: &'static [&'static str],
    /// Whether it stands in the first row.
    is_first: bool,
    /// Whether it asks for what is inside a deployment as a whole.
    is_inside: bool,
}

const FIELDS: [Field; 15] = [
    first("q", "Search", "ids, names, messages, paths", &[]),
    first("since", "Since", "7d, 2026-11-01, or RFC 3339", &[]),
    first("until", "Until", "24h, 2026-12-01, or RFC 3339", &[]),
    first("decision", "Decision", "", &["allow", "warn", "deny", "refuse"]),
    first(
        "outcome",
        "Outcome",
        "",
        &["applied", "denied", "refused", "rejected", "failed", "unknown", "pending"],
    ),
    first(
        "operation",
        "Operation",
        "",
        &["create", "update", "archive", "pause", "unpause", "run"],
    ),
    more("actor", "Actor", "name or pat_…", &[]),
    more("team", "Team", "whole name", &[]),
    inside("deployment_name", "Deployment's name", "part of the name"),
    more("deployment_id", "Deployment's id", "whole id", &[]),
    more("rule", "Rule broken", "whole name", &[]),
    more("path", "Changed place", "/schedule/timezone", &[]),
    more("asked_path", "Asked place", "/metadata", &[]),
    more("effect", "Effect", "", &["exact", "partial", "none", "other"]),
    more("request_id", "Request", "whole id", &[]),
];

/// Spans that are asked for by a click.
const SPANS: [(&str, &str); 4] =
    [("1h", "hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")];

const fn first(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    words: &'static [&'static str],
) -> Field {
    Field { name, label, hint, words, is_first: true, is_inside: false }
}

const fn more(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    words: &'static [&'static str],
) -> Field {
    Field { is_first: false, ..first(name, label, hint, words) }
}

const fn inside(name: &'static str, label: &'static str, hint: &'static str) -> Field {
    Field { is_inside: true, ..more(name, label, hint, &[]) }
}

/// Whether a key of the query is one of these filters.
fn is_filter(key: &str) -> bool {
    FIELDS.iter().any(|field| field.name == key)
}

/// Whether a fault is one of what stands in a field here.
pub(super) fn is_of_form(wrong: &Problem) -> bool {
    wrong.status() == StatusCode::BAD_REQUEST && wrong.param().is_some_and(is_filter)
}

/// The pairs of the query that say what is asked for, and how it is shown.
pub(super) fn kept<K>(asked: &Asked<K>) -> impl Iterator<Item = (&str, &str)> {
    asked.pairs().filter(|(key, _)| *key != "cursor")
}

/// The pairs of the query that say what is asked for.
pub(super) fn filters<K>(asked: &Asked<K>) -> impl Iterator<Item = (&str, &str)> {
    asked.pairs().filter(|(key, _)| is_filter(key))
}

/// The form of the filters that this role may use, and those that are in force, each with a link
/// that takes it away.
///
/// `wrong` is the fault of what is asked for, which stands beside its field.
pub(super) fn form<K>(path: &str, role: Role, asked: &Asked<K>, wrong: Option<&Problem>) -> Markup {
    let may = role >= Role::Auditor;
    let more = FIELDS.iter().filter(|field| !field.is_first && (may || !field.is_inside));
    let is_more = FIELDS.iter().any(|field| !field.is_first && asked.text(field.name).is_some());
    let wrong_of = |field: &Field| {
        wrong.filter(|wrong| wrong.param() == Some(field.name)).map(Problem::message)
    };
    let others = kept(asked).filter(|(key, _)| !is_filter(key));
    html! {
        search {
            form.filters method="get" action=(path) {
                @for (key, text) in others { input type="hidden" name=(key) value=(text); }
                div.fields {
                    @for field in FIELDS.iter().filter(|field| field.is_first) {
                        (input(field, asked.text(field.name), wrong_of(field)))
                    }
                    button type="submit" { "Show" }
                }
                details open[is_more] {
                    summary { "More filters" }
                    div.fields {
                        @for field in more {
                            (input(field, asked.text(field.name), wrong_of(field)))
                        }
                    }
                }
            }
        }
        @if wrong.is_none() { (in_force(path, asked)) }
    }
}

fn input(field: &Field, text: Option<&str>, wrong: Option<&str>) -> Markup {
    let id = format!("f-{}", field.name);
    let wrong_id = wrong.map(|_| format!("{id}-wrong"));
    let is_wrong = wrong.map(|_| "true");
    let is_searched = matches!(field.name, "q" | "deployment_name");
    let chars_max = if is_searched { SEARCH_CHARS_MAX } else { TEXT_CHARS_MAX };
    let wide = if field.name == "q" { "field wide" } else { "field" };
    html! {
        div class=(wide) {
            label for=(id) { (field.label) }
            @if field.words.is_empty() {
                input id=(id) type=(if field.name == "q" { "search" } else { "text" })
                    name=(field.name) value=(text.unwrap_or_default()) placeholder=(field.hint)
                    autocomplete="off" spellcheck="false" maxlength=(chars_max)
                    aria-invalid=[is_wrong] aria-describedby=[wrong_id.as_deref()];
            } @else {
                select id=(id) name=(field.name) aria-invalid=[is_wrong]
                    aria-describedby=[wrong_id.as_deref()] {
                    option value="" { "any" }
                    @for word in field.words {
                        option value=(word) selected[text == Some(word)] { (word) }
                    }
                }
            }
            @if let Some(wrong) = wrong {
                p.wrong id=[wrong_id.as_deref()] role="alert" { (ticked(&for_readers(wrong))) }
            }
        }
    }
}

fn in_force<K>(path: &str, asked: &Asked<K>) -> Markup {
    let without = |name: &str| with_query(path, kept(asked).filter(|(key, _)| *key != name));
    let spanned = |since| {
        let others = kept(asked).filter(|(key, _)| !matches!(*key, "since" | "until"));
        with_query(path, others.chain(std::iter::once(("since", since))))
    };
    let is_any = filters(asked).next().is_some();
    html! {
        div.in-force {
            span.spans {
                "Last "
                @for (since, told) in SPANS {
                    @let is_in_force = asked.text("since") == Some(since);
                    a href=(spanned(since)) aria-current=[is_in_force.then_some("true")] { (told) }
                    " "
                }
            }
            @if is_any {
                ul aria-label="Filters in force" {
                    @for (key, text) in filters(asked) {
                        li { a.taken href=(without(key)) {
                            span.key { (key) } " " (cut(text, LINE_CHARS_MAX))
                            span.away aria-label="take this filter away" { "×" }
                        } }
                    }
                    li { a href=(path) { "all changes" } }
                }
            }
        }
    }
}
