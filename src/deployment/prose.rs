//! Differences of texts that people write, such as prompts: line by line, and within the lines that
//! changed word by word.

use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use unicode_width::UnicodeWidthChar as _;

/// The least share of words, in percent, that two passages have in common where they are told word
/// by word: below it they are other passages.
const COMMON_PERCENT_MIN: usize = 30;

/// One row of two texts side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A line that both have.
    Kept(String),
    /// Lines in the same place, each as far as its text has one.
    Changed {
        /// The line of the former text.
        former: Option<Line>,
        /// The line of the latter text.
        latter: Option<Line>,
    },
    /// So many lines that both have, left out.
    Skipped(usize),
}

/// A line that has changed.
pub type Line = Vec<Part>;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its text.
    pub text: String,
    /// Whether the other text does not have it here.
    pub is_changed: bool,
}

/// Compares two texts. Of the lines that both have, `context` are told around each change. What
/// is not found out `until` then is told as changed.
#[must_use]
pub fn compare(former: &str, latter: &str, context: usize, until: Option<Instant>) -> Vec<Row> {
    let old: Vec<&str> = former.split('\n').collect();
    let new: Vec<&str> = latter.split('\n').collect();
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, until);
    let mut rows = Vec::new();
    let last = ops.len().saturating_sub(1);
    for (number, op) in ops.into_iter().enumerate() {
        let (from, to) = (op.old_range(), op.new_range());
        let (from, to) = (old.get(from).unwrap_or_default(), new.get(to).unwrap_or_default());
        match op {
            DiffOp::Equal { .. } => {
                let head = if number == 0 { 0 } else { context };
                keep(&mut rows, from, head, if number == last { 0 } else { context });
            }
            DiffOp::Delete { .. } | DiffOp::Insert { .. } => {
                pair(&mut rows, from.iter().map(|text| whole(text)), to.iter().map(|t| whole(t)));
            }
            DiffOp::Replace { .. } => {
                let (from, to) = words(&from.join("\n"), &to.join("\n"), until);
                pair(&mut rows, from.into_iter(), to.into_iter());
            }
        }
    }
    rows
}

/// Adds lines that both have, without those between its first and last ones.
fn keep(rows: &mut Vec<Row>, lines: &[&str], head: usize, tail: usize) {
    let skipped = lines.len().saturating_sub(head + tail);
    // One line is shown in the room of the word that it is left out.
    let skipped = if skipped > 1 { skipped } else { 0 };
    for (number, line) in lines.iter().enumerate() {
        if skipped == 0 || number < head || number >= head + skipped {
            rows.push(Row::Kept((*line).to_owned()));
        } else if number == head {
            rows.push(Row::Skipped(skipped));
        }
    }
}

fn pair(
    rows: &mut Vec<Row>,
    mut former: impl Iterator<Item = Line>,
    mut latter: impl Iterator<Item = Line>,
) {
    loop {
        match (former.next(), latter.next()) {
            (None, None) => return,
            (former, latter) => rows.push(Row::Changed { former, latter }),
        }
    }
}

fn whole(text: &str) -> Line {
    vec![Part { text: text.to_owned(), is_changed: true }]
}

/// The lines of two passages, with the words that only one of them has.
fn words(former: &str, latter: &str, until: Option<Instant>) -> (Vec<Line>, Vec<Line>) {
    let (old, new) = (tokens(former), tokens(latter));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, until);
    let runs: Vec<Run<'_>> = ops.into_iter().filter_map(|op| Run::of(op, &old, &new)).collect();
    let is_word = |token: &&&str| token.chars().any(char::is_alphanumeric);
    let count = |tokens: &[&str]| tokens.iter().filter(is_word).count();
    let kept = runs.iter().filter(|run| run.is_kept).map(|run| count(run.former)).sum::<usize>();
    let all = count(&old).max(count(&new));
    if kept * 100 < all * COMMON_PERCENT_MIN {
        let lines = |text: &str| text.split('\n').map(whole).collect();
        return (lines(former), lines(latter));
    }
    let (mut old, mut new) = (vec![Line::new()], vec![Line::new()]);
    let last = runs.len().saturating_sub(1);
    for (number, run) in runs.iter().enumerate() {
        // A blank or a sign between two words that changed says nothing by itself.
        let is_between = number > 0 && number < last && count(run.former) == 0;
        let is_changed = !run.is_kept || is_between;
        put(&mut old, run.former, is_changed);
        put(&mut new, run.latter, is_changed);
    }
    (old, new)
}

/// Words that both texts have, or that each has in the same place.
struct Run<'t> {
    former: &'t [&'t str],
    latter: &'t [&'t str],
    is_kept: bool,
}

impl<'t> Run<'t> {
    fn of(op: DiffOp, old: &'t [&'t str], new: &'t [&'t str]) -> Option<Self> {
        let is_kept = matches!(op, DiffOp::Equal { .. });
        let (former, latter) = (old.get(op.old_range())?, new.get(op.new_range())?);
        Some(Self { former, latter, is_kept })
    }
}

/// Adds words to the last line, and begins another one behind each line feed.
fn put(lines: &mut Vec<Line>, words: &[&str], is_changed: bool) {
    for word in words {
        if *word == "\n" {
            lines.push(Line::new());
            continue;
        }
        let Some(line) = lines.last_mut() else { return };
        match line.last_mut() {
            Some(part) if part.is_changed == is_changed => part.text.push_str(word),
            _ => line.push(Part { text: (*word).to_owned(), is_changed }),
        }
    }
}

/// The kinds of characters that words are told apart by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a word that is written with blanks around it.
    Letter,
    Blank,
    /// What stands by itself: signs, and the characters of scripts that are written without
    /// blanks.
    Single,
}

/// A text as words, blanks and single characters. What has no width of its own belongs to the
/// character before it.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut begin = 0;
    let mut former = None;
    for (at, c) in text.char_indices() {
        let kind = kind(c);
        let goes_on = match former {
            None => true,
            Some(_) if c != '\n' && c.width() == Some(0) => continue,
            Some(former) => former == kind && kind != Kind::Single,
        };
        if !goes_on {
            tokens.extend(text.get(begin..at));
            begin = at;
        }
        former = Some(kind);
    }
    tokens.extend(text.get(begin..).filter(|rest| !rest.is_empty()));
    tokens
}

fn kind(c: char) -> Kind {
    match c {
        '\n' => Kind::Single,
        c if c.is_whitespace() => Kind::Blank,
        c if (c.is_alphanumeric() || c == '_') && c.width() == Some(1) => Kind::Letter,
        _ => Kind::Single,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as a reader would mark them: `[-gone-]`, `{+new+}`.
    fn told(former: &str, latter: &str) -> Vec<String> {
        let line = |line: &Line, (begin, end): (&str, &str)| {
            let marked = |part: &Part| format!("{begin}{}{end}", part.text);
            let told = |part: &Part| if part.is_changed { marked(part) } else { part.text.clone() };
            line.iter().map(told).collect::<String>()
        };
        let rows = compare(former, latter, 1, None).into_iter();
        let rows = rows.map(|row| match row {
            Row::Kept(text) => format!("= {text}"),
            Row::Skipped(count) => format!("… {count}"),
            Row::Changed { former, latter } => {
                let former = former.map(|former| line(&former, ("[-", "-]")));
                let latter = latter.map(|latter| line(&latter, ("{+", "+}")));
                format!("{} | {}", former.unwrap_or_default(), latter.unwrap_or_default())
            }
        });
        rows.collect()
    }

    #[test]
    fn words_that_changed_are_told_within_their_line() {
        assert_eq!(
            told("Send the daily report at nine.", "Send the weekly report at nine."),
            ["Send the [-daily-] report at nine. | Send the {+weekly+} report at nine."]
        );
        assert_eq!(told("a\nb", "a\nb"), ["… 2"]);
        assert_eq!(told("one two", "four five six"), ["[-one two-] | {+four five six+}"]);
        assert_eq!(told("a b, c d", "a x, y z"), ["[-a b, c d-] | {+a x, y z+}"]);
        let rows = told("keep all of this b, c", "keep all of this x, y");
        assert_eq!(rows, ["keep all of this [-b, c-] | keep all of this {+x, y+}"]);
    }

    #[test]
    fn scripts_without_blanks_are_told_by_their_characters() {
        assert_eq!(
            told("每天早上九点发日报", "每周早上九点发周报"),
            ["每[-天-]早上九点发[-日-]报 | 每{+周+}早上九点发{+周+}报"]
        );
        assert_eq!(
            told("all well 👍 here", "all well 👎 here"),
            ["all well [-👍-] here | all well {+👎+} here"]
        );
        assert_eq!(tokens("e\u{301}a ❤\u{fe0f}!"), ["e\u{301}a", " ", "❤\u{fe0f}", "!"]);
    }

    #[test]
    fn lines_that_stay_are_left_out_but_for_those_around_a_change() {
        let former = "1\n2\n3\n4\n5\n6\n7\n8";
        let latter = "1\n2\n3\nfour\n5\n6\n7\n8\n9";
        let expected = ["… 2", "= 3", "[-4-] | {+four+}", "= 5", "… 2", "= 8", " | {+9+}"];
        assert_eq!(told(former, latter), expected);
        assert_eq!(told("a b c d", "a b c\nd"), ["a b c[- -]d | a b c", " | d"]);
    }

    #[test]
    fn what_takes_too_long_is_told_as_changed() {
        let lines = |word: &str| (0..3_000).map(|n| format!("{word}{n}")).collect::<Vec<_>>();
        let text = |word: &str| lines(word).join("\n");
        let over = crate::base::clock::Clock::System.instant();
        let rows = compare(&text("a"), &text("b"), 1, Some(over));
        assert!(rows.iter().all(|row| !matches!(row, Row::Skipped(_))));
        assert!(compare("", "x", 3, None).len() == 1);
    }
}
