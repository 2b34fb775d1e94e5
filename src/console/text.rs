//! Texts from outside as pages show them: nothing of them is markup, nothing turns or hides the
//! others, and none is longer than its place. Times, ids and words likewise.

use std::fmt::Write as _;

use maud::{Markup, html};
use serde_json::Value;

use crate::base::visible::steers;

/// The most characters of a text in a line of a list.
pub(super) const LINE_CHARS_MAX: usize = 120;

/// The fewest characters that are worth cutting off.
const WORTH_CUTTING: usize = 8;

/// A text as it is, with what is not seen by itself made visible.
pub(super) fn shown(text: &str) -> Markup {
    html! { bdi { (runs(text)) } }
}

/// The same, cut to a number of characters, with how many more there are.
pub(super) fn cut(text: &str, chars_max: usize) -> Markup {
    cut_as(text, chars_max, shown)
}

/// The same of a message, in which what stands between backticks is code.
pub(super) fn cut_ticked(text: &str, chars_max: usize) -> Markup {
    cut_as(text, chars_max, ticked)
}

fn cut_as(text: &str, chars_max: usize, told: fn(&str) -> Markup) -> Markup {
    let (head, rest) = head(text, chars_max);
    html! { (told(head)) @if rest > 0 { span.more { "… " (grouped(rest)) " more" } } }
}

/// A message as it is; what stands between backticks is code. A backtick without another one is
/// nothing but that.
pub(super) fn ticked(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    let last = parts.len() - 1;
    html! {
        bdi { @for (place, part) in parts.iter().enumerate() {
            @if place % 2 == 0 { (runs(part)) } @else if place < last { code { (runs(part)) } }
            @else { "`" (runs(part)) }
        } }
    }
}

/// A message of the API without what only its callers can follow.
pub(super) fn for_readers(message: &str) -> String {
    let api_only = [
        " (a + in a URL is %2B)",
        ": /api/v1/changes lists them",
        ": /api/v1/approvals lists them",
        ": /api/v1/sinks lists them",
        ", or see /openapi.json for those that do",
    ];
    let message =
        api_only.into_iter().fold(message.to_owned(), |told, part| told.replace(part, ""));
    message.replace("needs deployment_id or before", "needs the id of a deployment")
}

/// The first characters of a text, and how many there are behind them. Fewer than the words would
/// take that tell of them are not cut off.
pub(super) fn head(text: &str, chars_max: usize) -> (&str, usize) {
    let (head, rest) = split(text, chars_max);
    if rest < WORTH_CUTTING { (text, 0) } else { (head, rest) }
}

/// The first characters of a text, and how many there are behind them.
pub(super) fn split(text: &str, chars_max: usize) -> (&str, usize) {
    let Some((at, _)) = text.char_indices().nth(chars_max) else { return (text, 0) };
    let (head, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    (head, rest.chars().count())
}

/// A text in runs of what is seen and what is not; line feeds and tabs are kept.
pub(super) fn runs(text: &str) -> Markup {
    let hides = |c: char| steers(c) && !matches!(c, '\n' | '\t');
    if !text.contains(hides) {
        return html! { (text) };
    }
    let mut rest = text;
    let mut parts: Vec<(&str, Option<char>)> = Vec::new();
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| hides(*c)) {
        let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        parts.push((head, Some(c)));
        rest = tail.get(c.len_utf8()..).unwrap_or_default();
    }
    html! {
        @for (head, hidden) in &parts {
            (head) @if let Some(c) = hidden { span.hidden { (c.escape_default()) } }
        }
        (rest)
    }
}

/// A text within the quotes of TOML (1.0, basic strings); what is not seen by itself is escaped.
pub(super) fn toml(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => told.extend(['\\', c]),
            c if steers(c) => {
                // Writing to a `String` never fails.
                let _never = write!(told, "\\U{:08X}", u32::from(c));
            }
            c => told.push(c),
        }
    }
    told
}

/// A number with its thousands apart.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// A moment, of which the page shows `shown`.
fn time(whole: &str, told: &str) -> Markup {
    html! { time datetime=(whole) title=(format!("{whole} (UTC)")) { (told) } }
}

/// A moment in RFC 3339 as its time of day.
pub(super) fn clock(whole: &str) -> Markup {
    time(whole, whole.get(11..19).unwrap_or(whole))
}

/// A moment as its date and time of day.
pub(super) fn date_clock(whole: &str) -> Markup {
    let told = match (whole.get(..10), whole.get(11..19)) {
        (Some(date), Some(clock)) => format!("{date} {clock}"),
        _ => whole.to_owned(),
    };
    time(whole, &told)
}

/// A moment to the millisecond.
pub(super) fn exact(whole: &str) -> Markup {
    let told = match (whole.get(..10), whole.get(11..23)) {
        (Some(date), Some(clock)) => format!("{date} {clock} UTC"),
        _ => whole.to_owned(),
    };
    time(whole, &told)
}

/// The date of a moment.
pub(super) fn date(whole: &str) -> &str {
    whole.get(..10).unwrap_or(whole)
}

/// The beginning of an id, which tells it apart among its neighbours.
pub(super) fn short_id(id: &str) -> String {
    let (head, rest) = split(id, 16);
    if rest > 4 { format!("{head}…") } else { id.to_owned() }
}

/// The text at a place of a record; empty where there is none.
pub(super) fn at<'v>(record: &'v Value, pointer: &str) -> &'v str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a place of a record, where there is one.
pub(super) fn found<'v>(record: &'v Value, pointer: &str) -> Option<&'v str> {
    record.pointer(pointer).and_then(Value::as_str)
}

/// The items at a place of a record.
pub(super) fn items<'v>(record: &'v Value, pointer: &str) -> &'v [Value] {
    record.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A pointer as a label: the whole document has one that nobody sees.
pub(super) fn pointer(path: &str) -> Markup {
    html! { code.path { @if path.is_empty() { "(whole)" } @else { (runs(path)) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup_and_nothing_is_hidden() {
        let text = "<script>a</script>\u{202e}\u{1b}[2J\u{0}夜\n";
        let told = shown(text).into_string();
        assert!(!told.contains('<') || !told.contains("<script"), "{told}");
        for part in ["&lt;script&gt;", "\\u{202e}", "\\u{1b}", "[2J", "\\u{0}", "夜\n"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains(|c: char| steers(c) && c != '\n'));
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        for (text, told) in [
            ("write `a<b` or `c`.", "write <code>a&lt;b</code> or <code>c</code>."),
            ("one ` alone", "one ` alone"),
            ("a `b` and `", "a <code>b</code> and `"),
            ("none", "none"),
        ] {
            assert_eq!(ticked(text).into_string(), format!("<bdi>{told}</bdi>"));
        }
        let message = "no change has this id: /api/v1/changes lists them";
        assert_eq!(for_readers(message), "no change has this id");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = "夜".repeat(1_000_000);
        let told = cut(&text, 10).into_string();
        assert_eq!(cut("abcdefghij", 9).into_string(), shown("abcdefghij").into_string());
        assert!(told.contains("999,990 more") && told.len() < 200, "{}", told.len());
    }
}
