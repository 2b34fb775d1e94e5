//! Places where two deployments differ, as people read them: short values in one line, long texts
//! word by word.

use std::time::Duration;

use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use super::layout::{Layout, Spans};
use super::text::{json, plain};
use crate::base::clock::Clock;
use crate::cli::print::{Shade, Span};
use crate::deployment::diff::Difference;
use crate::deployment::prose::{Part, Row, compare};

/// The most columns of a text that is told in one line.
const SHORT_WIDTH_MAX: usize = 60;

/// The lines that are shown around each change of a text.
const CONTEXT_LINES: usize = 2;

/// How long two texts are compared.
const COMPARE_MAX: Duration = Duration::from_millis(500);

/// The lines of one place, `indent` columns from the left.
pub(super) fn lines(place: &Difference, layout: &Layout, indent: usize) -> Vec<Spans> {
    let before = " ".repeat(indent);
    let label = path(&place.path);
    if place.write_only {
        let sent = format!("{before}{label}: sent (write-only), {}", shown(place.to.as_ref()));
        return layout.text(&sent);
    }
    let (from, to) = beside_null(place.from.as_ref(), place.to.as_ref());
    if !is_prose(from, to) {
        let (from, to) = (shown(place.from.as_ref()), shown(place.to.as_ref()));
        let line = one_line(&format!("{before}{label}: "), &from, &to);
        let columns = line.iter().map(|span| span.text.width()).sum::<usize>();
        if layout.width.is_none_or(|width| columns <= width) {
            return vec![line];
        }
    }
    let note = match (from, to) {
        (None, Some(_)) => format!(": {} →", shown(place.from.as_ref())),
        (Some(_), None) => format!(": → {}", shown(place.to.as_ref())),
        _ => ":".to_owned(),
    };
    let mut lines = layout.shaded(&format!("{before}{label}{note}"), Shade::Heading);
    lines.extend(layout.texts(&rows(from, to), indent + 2));
    lines
}

/// Two values; null is nothing beside a text.
fn beside_null<'v>(
    from: Option<&'v Value>,
    to: Option<&'v Value>,
) -> (Option<&'v Value>, Option<&'v Value>) {
    let text = |value: Option<&Value>| value.is_some_and(Value::is_string);
    let filled = |value: &&Value| !value.is_null();
    match (from, to) {
        (from, to) if text(to) => (from.filter(filled), to),
        (from, to) if text(from) => (from, to.filter(filled)),
        both => both,
    }
}

fn one_line(label: &str, from: &str, to: &str) -> Spans {
    let arrow = Span { text: " → ".to_owned(), shade: Shade::Faint };
    let (from, to) = (from.to_owned(), to.to_owned());
    vec![
        Span::plain(label.to_owned()),
        Span { text: from, shade: Shade::Gone },
        arrow,
        Span { text: to, shade: Shade::New },
    ]
}

/// A JSON Pointer; that of the whole document is empty, which nobody sees.
pub(super) fn path(pointer: &str) -> String {
    if pointer.is_empty() { "(whole)".to_owned() } else { plain(pointer) }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("(none)".to_owned(), json)
}

/// Whether both are texts that a line of values does not show well.
fn is_prose(from: Option<&Value>, to: Option<&Value>) -> bool {
    let is_long = |value: &Value| {
        value.as_str().is_some_and(|text| text.contains('\n') || text.width() > SHORT_WIDTH_MAX)
    };
    match (from, to) {
        (Some(from), Some(to)) => {
            from.is_string() && to.is_string() && (is_long(from) || is_long(to))
        }
        (Some(one), None) | (None, Some(one)) => {
            one.as_str().is_some_and(|text| text.width() > SHORT_WIDTH_MAX)
        }
        (None, None) => false,
    }
}

fn rows(from: Option<&Value>, to: Option<&Value>) -> Vec<Row> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_else(|_never| value.to_string()),
    };
    let whole = |line: &str| Some(vec![Part { text: line.to_owned(), is_changed: true }]);
    match (from.map(text), to.map(text)) {
        (Some(from), Some(to)) => {
            let until = Clock::System.instant() + COMPARE_MAX;
            compare(&from, &to, CONTEXT_LINES, Some(until))
        }
        (Some(gone), None) => {
            let rows = gone.split('\n').map(|line| (whole(line), None));
            rows.map(|(former, latter)| Row::Changed { former, latter }).collect()
        }
        (None, Some(new)) => {
            let rows = new.split('\n').map(|line| (None, whole(line)));
            rows.map(|(former, latter)| Row::Changed { former, latter }).collect()
        }
        (None, None) => Vec::new(),
    }
}
