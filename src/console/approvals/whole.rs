//! Everything that an approval would change, as text: nothing of it is left out, and what is long
//! comes in parts.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::contents;
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{Answer, Id};
use crate::admin::asked::{Asked, Key, Kind, key, text};
use crate::base::clock::Clock;
use crate::base::visible::{plain, steers};
use crate::console::form::with_query;
use crate::console::frame::{self, Tab};
use crate::console::prose::is_long;
use crate::console::shown::COMPARE_MAX;
use crate::console::text::{at, grouped, items, runs};
use crate::deployment::prose::{Line, Row, compare};

/// The most bytes of a part on its page.
const PART_BYTES_MAX: usize = 150 << 10;

/// The bytes that a character takes at most which is not seen by itself.
const HIDDEN_BYTES: usize = 40;

/// More lines than a text has: all of those that stay are told too.
const ALL_LINES: usize = usize::MAX / 4;

/// The texts there are, each with its name in the query.
const TEXTS: [(&str, &str); 3] =
    [("places", "What would change"), ("sent", "Sent JSON"), ("before", "Deployment before")];

/// The query of the page.
pub(in crate::console) enum WholePage {}

impl Kind for WholePage {
    const KEYS: &'static [&'static [Key]] = &[&[
        key("text", text, "Which text: places, sent or before."),
        key("part", text, "Which part of it, from 1 on."),
    ]];
}

/// The page.
pub(in crate::console) async fn show(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    id: Id,
    asked: Asked<WholePage>,
) -> Answer {
    asker.may_look_inside()?;
    let wanted = asked.text("text").unwrap_or("places");
    let Some((kind, title)) = TEXTS.into_iter().find(|(name, _)| *name == wanted) else {
        return Err(Problem::invalid("text", "text: write places, sent or before"));
    };
    let part = asked.text("part").map_or(Ok(1), str::parse).ok().filter(|part| *part > 0);
    let part: usize = part.ok_or_else(|| Problem::invalid("part", "part: write a number"))?;
    let seen = api.seen_approval(&asker, id).await?;
    let approval = serde_json::to_value(&seen).map_err(|error| Problem::store_fails(&error))?;
    let id = at(&approval, "/id").to_owned();
    let telling = spawn_blocking(move || told(&approval, kind)).await;
    let text = telling.map_err(|broken| Problem::store_fails(&broken))?;
    let parts = parts(&text);
    let told = parts.get(part - 1).ok_or_else(|| Problem::not_found("there is no such part"))?;
    let place = (part, parts.len());
    let body = html! {
        article.change {
            div.head {
                h1 { "Everything that this approval would change" }
                p.links { a href=(format!("/api/v1/approvals/{id}")) data-key="r" { "Raw JSON" } }
            }
            nav.tabs aria-label="Texts" { @for (name, title) in TEXTS {
                a href=(path(&id, name, 1)) aria-current=[(name == kind).then_some("page")] {
                    (title)
                }
            } }
            section aria-labelledby="text" {
                h2 #text { (title) (span(place, text.len())) }
                @if kind == "places" {
                    p.dim {
                        "Lines with − go, those with + come, the others stay; a name of a field \
                        begins with ==. Secrets are concealed."
                    }
                }
                pre.raw tabindex="0" { (runs(told)) }
            }
            (steps(&id, kind, place))
        }
    };
    frame::page(&api, &asker, (Tab::Approvals, title), &body)
}

fn path(id: &str, kind: &str, part: usize) -> String {
    let part = part.to_string();
    let pairs = [("text", kind), ("part", &part)].into_iter();
    with_query(&contents::whole(id), pairs.filter(|(_, text)| !matches!(*text, "places" | "1")))
}

fn span((part, all): (usize, usize), bytes: usize) -> Markup {
    html! {
        span.dim { ", " (grouped(bytes)) " bytes" @if all > 1 { ", part " (part) " of " (all) } }
    }
}

fn steps(id: &str, kind: &str, (part, all): (usize, usize)) -> Markup {
    html! {
        @if all > 1 {
            nav.pages aria-label="Parts of the text" {
                @let (prior, next) = (part - 1, part + 1);
                @if prior > 0 { a href=(path(id, kind, prior)) rel="prev" { "Part " (prior) } }
                @if part < all { a href=(path(id, kind, next)) rel="next" { "Part " (next) } }
            }
        }
        p { a href=(format!("/approvals/{id}")) { "Back to the approval" } }
    }
}

/// One of [`TEXTS`].
fn told(approval: &Value, kind: &str) -> String {
    match kind {
        "sent" => pretty(approval.get("patch")),
        "before" => pretty(approval.get("before")),
        _places => differences(approval),
    }
}

fn pretty(value: Option<&Value>) -> String {
    let value = value.filter(|value| !value.is_null());
    let text = value.map(|value| serde_json::to_string_pretty(value).unwrap_or_default());
    text.unwrap_or_else(|| "The log has none.".to_owned())
}

/// Every place that would differ, line by line.
fn differences(approval: &Value) -> String {
    let until = Clock::System.instant() + COMPARE_MAX;
    let own = |place: &&Value| place.get("computed") == Some(&Value::Bool(true));
    let mut told = String::new();
    for place in items(approval, "/diff").iter().filter(|place| !own(place)) {
        // A name with a line feed in it is no line of its own.
        put(&mut told, "== ", &plain(at(place, "/path")));
        match (text_of(place.get("from")), text_of(place.get("to"))) {
            (Some(from), Some(to)) => {
                for row in compare(&from, &to, ALL_LINES, Some(until)) {
                    put_row(&mut told, &row);
                }
            }
            (from, to) => {
                for (sign, text) in [("- ", from), ("+ ", to)] {
                    put_some(&mut told, sign, text.as_deref());
                }
            }
        }
        told.push('\n');
    }
    if told.is_empty() { contents::NO_PLACE.to_owned() } else { told }
}

/// A value as lines; a short text has its quotation marks.
fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if is_long(text) => Some(text.clone()),
        other => serde_json::to_string_pretty(other).ok(),
    }
}

fn put_row(told: &mut String, row: &Row) {
    let text = |line: &Line| line.iter().map(|part| part.text.as_str()).collect::<String>();
    match row {
        Row::Kept(line) => put(told, "  ", line),
        Row::Skipped(_) => {}
        Row::Changed { former, latter } => {
            put_some(told, "- ", former.as_ref().map(text).as_deref());
            put_some(told, "+ ", latter.as_ref().map(text).as_deref());
        }
    }
}

fn put_some(told: &mut String, sign: &str, text: Option<&str>) {
    if let Some(text) = text {
        put(told, sign, text);
    }
}

fn put(told: &mut String, sign: &str, text: &str) {
    for line in text.split('\n') {
        told.push_str(sign);
        told.push_str(line);
        told.push('\n');
    }
}

/// The text in parts that a page has room for each.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (place, c) in text.char_indices() {
        bytes += match c {
            '\n' | '\t' => 1,
            c if steers(c) => HIDDEN_BYTES,
            '<' | '>' | '&' | '"' => 6,
            c => c.len_utf8(),
        };
        if bytes > PART_BYTES_MAX {
            parts.extend(text.get(begin..place));
            (begin, bytes) = (place, HIDDEN_BYTES);
        }
    }
    parts.extend(text.get(begin..));
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_is_told_whole() {
        let prompt =
            |name: &str| (0..300).map(|n| format!("{name} {n}\n")).collect::<Vec<_>>().concat();
        let approval = json!({"diff": [
            {"path": "/a\n+ b", "from": prompt("old"), "to": prompt("new"), "computed": false},
            {"path": "/name", "to": "x", "computed": false},
            {"path": "/tags", "from": ["a"], "computed": false},
            {"path": "/updated_at", "from": "1", "to": "2", "computed": true},
        ]});
        let told = differences(&approval);
        for line in ["== /a\\n+ b", "- old 299", "+ new 0", "+ new 299", "+ \"x\"", "-   \"a\""] {
            assert!(told.lines().any(|each| each == line), "{line}: {told}");
        }
        assert!(!told.contains("updated_at"));
    }

    #[test]
    fn parts_are_all_of_a_text_and_small_on_their_pages() {
        for text in ["夜\u{202e}<a>".repeat(100_000), String::new(), "x".repeat(PART_BYTES_MAX + 1)]
        {
            let parts = parts(&text);
            assert_eq!(parts.concat(), text);
            let room = parts.iter().map(|part| runs(part).into_string().len()).max();
            assert!(room.is_some_and(|room| room <= PART_BYTES_MAX), "{room:?}");
        }
    }
}
