//! Places where two deployments differ, as a table: what stood there, and what stands there now.

use maud::{Markup, html};
use serde_json::Value;

use super::prose::{compared, is_long};
use super::shown::Shown;
use super::text::{grouped, head, pointer, runs, split};
use crate::base::count::counted;
use crate::base::key::CONCEALED;
use crate::deployment::diff::Difference;

/// The most places that are shown.
const PLACES_MAX: usize = 200;

/// The most characters of a value beside another one.
const VALUE_CHARS_MAX: usize = 1_000;

/// A place where two deployments differ.
#[derive(Clone, Copy)]
pub(super) struct Place<'v> {
    path: &'v str,
    from: Option<&'v Value>,
    to: Option<&'v Value>,
    /// Whether it was sent and is never shown.
    write_only: bool,
    /// Whether its values are too long to be kept.
    is_long: bool,
}

impl<'v> From<&'v Difference> for Place<'v> {
    fn from(place: &'v Difference) -> Self {
        let Difference { path, from, to, write_only, .. } = place;
        let (from, to) = (from.as_ref(), to.as_ref());
        Self { path, from, to, write_only: *write_only, is_long: false }
    }
}

impl<'v> From<&'v Value> for Place<'v> {
    fn from(place: &'v Value) -> Self {
        let is = |name| place.get(name) == Some(&Value::Bool(true));
        let (write_only, is_long) = (is("write_only"), is("is_long"));
        let path = super::text::at(place, "/path");
        Self { path, from: place.get("from"), to: place.get("to"), write_only, is_long }
    }
}

/// Places of a record as a table, those aside that the server changes by itself.
pub(super) fn places(caption: &str, all: &[Value], shown: &mut Shown) -> Markup {
    let own = |place: &&Value| place.get("computed") == Some(&Value::Bool(true));
    let others: Vec<Place<'_>> = all.iter().filter(|place| !own(place)).map(Place::from).collect();
    if others.is_empty() {
        return html! { p.dim { "No place differs." } };
    }
    table(caption, &others, shown)
}

/// The places as a table.
pub(super) fn table(caption: &str, places: &[Place<'_>], shown: &mut Shown) -> Markup {
    let mut rows = Vec::new();
    for place in places.iter().take(PLACES_MAX) {
        if shown.bytes == 0 {
            break;
        }
        rows.push(row(place, shown));
    }
    let left_out = places.len() - rows.len();
    shown.left_out.places += left_out;
    html! {
        table.places {
            caption.unseen { (caption) }
            thead { tr {
                th scope="col" { "Field" } th scope="col" { "Before" } th scope="col" { "After" }
            } }
            tbody { @for row in rows { (row) } }
        }
        @if left_out > 0 {
            p.more {
                (counted(grouped(left_out), "more place"))
                (shown.whole())
            }
        }
    }
}

fn row(place: &Place<'_>, shown: &mut Shown) -> Markup {
    let (from, to) = (place.from, place.to);
    shown.bytes = shown.bytes.saturating_sub(place.path.len());
    if place.is_long {
        return html! {
            tr {
                th scope="row" { (pointer(place.path)) }
                td colspan="2" { span.dim { "its values are too long to be told here" } }
            }
        };
    }
    let long = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(is_long);
    if long(from) || long(to) {
        let (from, to) = (text(from), text(to));
        return html! {
            tr.long {
                th scope="row" { (pointer(place.path)) }
                td colspan="2" { (compared(&from, &to, shown)) }
            }
        };
    }
    html! {
        tr {
            th scope="row" { (pointer(place.path)) }
            td.gone {
                @if let Some(from) = from { del { (value(from, shown)) } } @else { (none()) }
            }
            td.new {
                @if let Some(to) = to { ins { (value(to, shown)) } } @else { (none()) }
                @if place.write_only {
                    div.note { "sent; upstream never shows it, so that it may be the same" }
                }
            }
        }
    }
}

/// A value as text: that of a string, JSON of any other one.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn none() -> Markup {
    html! { span.none { "none" } }
}

/// Whether the log holds a digest in a secret's place, and not a text that only begins like one.
fn is_concealed(text: &str) -> bool {
    text.strip_prefix(CONCEALED).is_some_and(|digest| {
        digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A value as JSON, cut to its place.
pub(super) fn value(value: &Value, shown: &mut Shown) -> Markup {
    if let Some(text) = value.as_str().filter(|text| is_concealed(text)) {
        let (head, _) = split(text, 20);
        return html! {
            span.concealed title="a secret: the log holds a keyed digest of it" {
                (runs(head)) "…"
            }
        };
    }
    let text = match value {
        Value::Object(_) | Value::Array(_) => serde_json::to_string_pretty(value),
        other => serde_json::to_string(other),
    };
    let text = text.unwrap_or_default();
    let (head, rest) = head(&text, VALUE_CHARS_MAX.min(shown.bytes.max(20)));
    shown.bytes = shown.bytes.saturating_sub(head.len() + 40);
    shown.left_out.chars += rest;
    html! {
        code.value dir="auto" {
            (runs(head)) @if rest > 0 { span.more { "… " (grouped(rest)) " more" } }
        }
    }
}
