//! Long texts, such as prompts, word by word: side by side, or one below the other.

use std::time::Duration;

use maud::{Markup, html};

use super::text::{grouped, runs, split};
use crate::base::clock::Clock;
use crate::deployment::prose::{Line, Row, compare};

/// The lines that are shown around each change of a text.
const CONTEXT_LINES: usize = 2;

/// How long two texts are compared.
const COMPARE_MAX: Duration = Duration::from_millis(200);

/// The most rows, and the most characters of one line, that are shown.
const ROWS_MAX: usize = 120;
const LINE_CHARS_MAX: usize = 600;

/// The shortest text that is told line by line.
const LONG_CHARS_MIN: usize = 80;

/// Whether a text is better told line by line than beside its former one.
pub(super) fn is_long(text: &str) -> bool {
    text.contains('\n') || text.chars().nth(LONG_CHARS_MIN).is_some()
}

/// Two texts compared; at most `bytes` of them, of which what is shown is taken.
pub(super) fn compared(
    former: &str,
    latter: &str,
    side_by_side: bool,
    bytes: &mut usize,
) -> Markup {
    let until = Clock::System.instant() + COMPARE_MAX;
    let all = compare(former, latter, CONTEXT_LINES, Some(until));
    let mut shown = Vec::new();
    for row in all.iter().take(ROWS_MAX) {
        let length = length(row);
        if length > *bytes {
            break;
        }
        *bytes -= length;
        shown.push(row);
    }
    let left_out = all.len() - shown.len();
    html! {
        div.prose {
            table class=(if side_by_side { "texts beside" } else { "texts" }) {
                caption.unseen { "The text before and after, line by line" }
                thead.unseen { tr {
                    th scope="col" { "Before" } @if side_by_side { th scope="col" { "After" } }
                } }
                tbody {
                    @for row in shown { @if side_by_side { (beside(row)) } @else { (below(row)) } }
                }
            }
            @if left_out > 0 { p.more { (grouped(left_out)) " more lines: see the raw JSON" } }
        }
    }
}

fn length(row: &Row) -> usize {
    let line = |line: &Line| -> usize {
        line.iter().map(|part| part.text.len().min(LINE_CHARS_MAX)).sum()
    };
    let sides: usize = match row {
        Row::Kept(text) => 2 * text.len().min(LINE_CHARS_MAX),
        Row::Changed { former, latter } => {
            [former, latter].into_iter().flatten().map(line).sum::<usize>()
        }
        Row::Skipped(_) => 0,
    };
    sides + 60
}

fn beside(row: &Row) -> Markup {
    html! {
        @match row {
            Row::Kept(text) => tr { td { (kept(text)) } td { (kept(text)) } },
            Row::Skipped(lines) => tr.skipped { td colspan="2" { (skipped(*lines)) } },
            Row::Changed { former, latter } => tr {
                td.gone { @if let Some(line) = former { del { (words(line)) } } }
                td.new { @if let Some(line) = latter { ins { (words(line)) } } }
            },
        }
    }
}

fn below(row: &Row) -> Markup {
    html! {
        @match row {
            Row::Kept(text) => tr { td { (kept(text)) } },
            Row::Skipped(lines) => tr.skipped { td { (skipped(*lines)) } },
            Row::Changed { former, latter } => {
                @if let Some(line) = former { tr { td.gone { del { (words(line)) } } } }
                @if let Some(line) = latter { tr { td.new { ins { (words(line)) } } } }
            },
        }
    }
}

fn kept(text: &str) -> Markup {
    let (head, rest) = split(text, LINE_CHARS_MAX);
    html! {
        span dir="auto" {
            (runs(head)) @if rest > 0 { span.more { "… " (grouped(rest)) " more" } }
        }
    }
}

fn skipped(lines: usize) -> String {
    format!("{} lines that stayed", grouped(lines))
}

fn words(line: &Line) -> Markup {
    html! {
        span dir="auto" {
            @for part in line {
                @let (head, rest) = split(&part.text, LINE_CHARS_MAX);
                @if part.is_changed { mark { (runs(head)) } } @else { (runs(head)) }
                @if rest > 0 { span.more { "… " (grouped(rest)) " more" } }
            }
        }
    }
}
