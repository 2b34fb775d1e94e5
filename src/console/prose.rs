//! Long texts, such as prompts, word by word: side by side, or one below the other.

use maud::{Markup, html};

use super::shown::Shown;
use super::text::{grouped, head, runs};
use crate::admin::answer::Problem;
use crate::base::count::counted;
use crate::deployment::prose::{Line, Part, Row, compare};

/// The lines that are shown around each change of a text.
const CONTEXT_LINES: usize = 2;

/// The most rows, and the most characters of one part of a line, that are shown.
const ROWS_MAX: usize = 120;
const PART_CHARS_MAX: usize = 600;

/// The characters of a long part that stayed which are shown beside what changed.
const BESIDE_CHARS: usize = 120;

/// The shortest text that is told line by line.
const LONG_CHARS_MIN: usize = 80;

/// Whether a text is better told line by line than beside its former one.
pub(super) fn is_long(text: &str) -> bool {
    text.contains('\n') || text.chars().nth(LONG_CHARS_MIN).is_some()
}

/// Whether long texts stand side by side, as a query asks.
pub(super) fn side_by_side(asked: Option<&str>) -> Result<bool, Problem> {
    match asked {
        None => Ok(true),
        Some("inline") => Ok(false),
        Some(_) => Err(Problem::invalid("diff", "diff: write inline, or leave it out")),
    }
}

/// Two texts compared, as much of them as may still be shown.
pub(super) fn compared(former: &str, latter: &str, shown: &mut Shown) -> Markup {
    let all = compare(former, latter, CONTEXT_LINES, Some(shown.until));
    let mut rows = Vec::new();
    for row in all.iter().take(ROWS_MAX) {
        let length = length(row);
        if length > shown.bytes {
            break;
        }
        shown.bytes -= length;
        shown.left_out.chars += beyond(row);
        rows.push(row);
    }
    let behind = all.iter().skip(rows.len());
    let left_out = behind.filter(|row| matches!(row, Row::Changed { .. })).count();
    shown.left_out.lines += left_out;
    let side_by_side = shown.side_by_side;
    html! {
        div.prose {
            table class=(if side_by_side { "texts beside" } else { "texts" }) {
                caption.unseen { "The text before and after, line by line" }
                thead.unseen { tr {
                    th scope="col" { "Before" } @if side_by_side { th scope="col" { "After" } }
                } }
                tbody {
                    @for row in rows { @if side_by_side { (beside(row)) } @else { (below(row)) } }
                }
            }
            @if left_out > 0 {
                p.more {
                    (counted(grouped(left_out), "more line")) " that changed" (shown.whole())
                }
            }
        }
    }
}

/// The lines of a row that changed.
fn lines(row: &Row) -> impl Iterator<Item = &Line> {
    let (former, latter) = match row {
        Row::Changed { former, latter } => (former.as_ref(), latter.as_ref()),
        Row::Kept(_) | Row::Skipped(_) => (None, None),
    };
    former.into_iter().chain(latter)
}

fn length(row: &Row) -> usize {
    let kept = match row {
        Row::Kept(text) => 2 * text.len().min(PART_CHARS_MAX),
        Row::Changed { .. } | Row::Skipped(_) => 0,
    };
    let parts = lines(row).flatten().map(|part| part.text.len().min(PART_CHARS_MAX));
    kept + parts.sum::<usize>() + 60
}

/// How many characters that changed are cut off.
fn beyond(row: &Row) -> usize {
    let changed = lines(row).flatten().filter(|part| part.is_changed);
    changed.map(|part| head(&part.text, PART_CHARS_MAX).1).sum()
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
    html! { span dir="auto" { (begin(text)) } }
}

/// The begin of a text, and how much more there is.
fn begin(text: &str) -> Markup {
    let (head, rest) = head(text, PART_CHARS_MAX);
    html! { (runs(head)) @if rest > 0 { span.more { "… " (grouped(rest)) " more" } } }
}

fn skipped(lines: usize) -> String {
    format!("{} lines that stayed", grouped(lines))
}

fn words(line: &Line) -> Markup {
    let last = line.len().saturating_sub(1);
    html! {
        span dir="auto" {
            @for (place, part) in line.iter().enumerate() {
                @if part.is_changed { mark { (begin(&part.text)) } } @else {
                    (stayed(part, place == 0, place == last))
                }
            }
        }
    }
}

/// A part that stayed: of a long one, what stands beside what changed.
fn stayed(part: &Part, is_first: bool, is_last: bool) -> Markup {
    let chars = part.text.chars().count();
    if chars <= PART_CHARS_MAX {
        return html! { (runs(&part.text)) };
    }
    let front = if is_first && !is_last { 0 } else { BESIDE_CHARS };
    let back = if is_last { 0 } else { BESIDE_CHARS };
    let of = |place| part.text.char_indices().nth(place).map_or(part.text.len(), |(at, _)| at);
    let (begin, end) = (of(front), of(chars - back));
    html! {
        (runs(part.text.get(..begin).unwrap_or_default()))
        span.more { "… " (grouped(chars - front - back)) " that stayed … " }
        (runs(part.text.get(end..).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_seen_however_long_what_stayed_is() {
        let text = |letter: &str| format!("{}{letter}{}", "x".repeat(500_000), "x".repeat(499_999));
        for side_by_side in [true, false] {
            let mut shown = Shown::new(side_by_side, "/raw".to_owned());
            let told = compared(&text("a"), &text("b"), &mut shown).into_string();
            assert!(told.contains("<mark>a</mark>") && told.contains("<mark>b</mark>"), "{told}");
            assert!(told.contains("499,880 that stayed") && told.len() < 3_000, "{told}");
            assert!(shown.left_out.is_nothing());
        }
        let mut shown = Shown::new(true, "/raw".to_owned());
        compared(&"ab".repeat(5_000), &"cd".repeat(400), &mut shown);
        assert_eq!(shown.left_out.chars, 9_400 + 200);
    }
}
