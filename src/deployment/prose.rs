//! Differences of texts that people write, such as prompts: line by line, and within the lines that
//! changed word by word.

mod words;

use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use self::words::{COMMON_PERCENT_MIN, is_word, runs, tokens, words};

/// One row of two texts side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A line that both have.
    Kept(String),
    /// Lines that belong together, each as far as its text has one.
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
                beside(&mut rows, from, to, until);
            }
            DiffOp::Replace { .. } => {
                passages(&mut rows, from, to, until);
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

/// Adds the lines of two passages, beside one another those that have most words in common.
fn passages(rows: &mut Vec<Row>, former: &[&str], latter: &[&str], until: Option<Instant>) {
    let (mut old, mut new) = (0, 0);
    for (of_former, of_latter) in pairs(former, latter, until) {
        let gap = (former.get(old..of_former), latter.get(new..of_latter));
        beside(rows, gap.0.unwrap_or_default(), gap.1.unwrap_or_default(), until);
        let pair = (former.get(of_former..=of_former), latter.get(of_latter..=of_latter));
        beside(rows, pair.0.unwrap_or_default(), pair.1.unwrap_or_default(), until);
        (old, new) = (of_former + 1, of_latter + 1);
    }
    let rest = (former.get(old..), latter.get(new..));
    beside(rows, rest.0.unwrap_or_default(), rest.1.unwrap_or_default(), until);
}

/// The places of lines that belong together, in the order of both passages: their words are
/// compared once, over all lines.
fn pairs(former: &[&str], latter: &[&str], until: Option<Instant>) -> Vec<(usize, usize)> {
    if former.len() == 1 && latter.len() == 1 {
        return Vec::new();
    }
    let texts = (former.join("\n"), latter.join("\n"));
    let (old, new) = (tokens(&texts.0), tokens(&texts.1));
    let size = |lines: &[&str], place: usize| lines.get(place).map_or(0, |line| line.len());
    let mut chosen: Vec<(usize, usize, usize)> = Vec::new();
    for (of_former, of_latter, bytes) in common(&old, &new, until) {
        let longer = size(former, of_former).max(size(latter, of_latter));
        if bytes * 100 < longer * COMMON_PERCENT_MIN {
            continue;
        }
        match chosen.last_mut() {
            Some(last) if last.0 == of_former || last.1 == of_latter => {
                if last.2 < bytes {
                    *last = (of_former, of_latter, bytes);
                }
            }
            _ => chosen.push((of_former, of_latter, bytes)),
        }
    }
    chosen.into_iter().map(|(of_former, of_latter, _)| (of_former, of_latter)).collect()
}

/// Lines that have words in common, by their places, and how many bytes of words those are; in the
/// order of both passages.
fn common(old: &[&str], new: &[&str], until: Option<Instant>) -> Vec<(usize, usize, usize)> {
    let (mut former, mut latter) = (0, 0);
    let mut common: Vec<(usize, usize, usize)> = Vec::new();
    let lines = |tokens: &[&str]| tokens.iter().filter(|token| **token == "\n").count();
    for run in runs(old, new, until) {
        if !run.is_kept {
            former += lines(run.former);
            latter += lines(run.latter);
            continue;
        }
        for token in run.former {
            if *token == "\n" {
                former += 1;
                latter += 1;
            } else if is_word(token) {
                match common.last_mut() {
                    Some(last) if (last.0, last.1) == (former, latter) => last.2 += token.len(),
                    _ => common.push((former, latter, token.len())),
                }
            }
        }
    }
    common
}

/// Adds lines by their places, with the words that only one of two has.
fn beside(rows: &mut Vec<Row>, former: &[&str], latter: &[&str], until: Option<Instant>) {
    for place in 0..former.len().max(latter.len()) {
        let (former, latter) = match (former.get(place), latter.get(place)) {
            (Some(former), Some(latter)) => {
                let (former, latter) = words(former, latter, until);
                (Some(former), Some(latter))
            }
            (former, latter) => (former.map(|text| whole(text)), latter.map(|text| whole(text))),
        };
        rows.push(Row::Changed { former, latter });
    }
}

fn whole(text: &str) -> Line {
    vec![Part { text: text.to_owned(), is_changed: true }]
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
    }

    #[test]
    fn lines_that_stay_are_left_out_but_for_those_around_a_change() {
        let former = "1\n2\n3\n4\n5\n6\n7\n8";
        let latter = "1\n2\n3\nfour\n5\n6\n7\n8\n9";
        let expected = ["… 2", "= 3", "[-4-] | {+four+}", "= 5", "… 2", "= 8", " | {+9+}"];
        assert_eq!(told(former, latter), expected);
        assert_eq!(told("a b c d", "a b c\nd"), ["a b c[- d-] | a b c", " | {+d+}"]);
    }

    #[test]
    fn one_letter_of_a_long_word_is_told_alone() {
        let (head, tail) = ("x".repeat(500_000), "y".repeat(499_999));
        let rows = told(&format!("{head}a{tail}"), &format!("{head}b{tail}"));
        assert_eq!(rows, [format!("{head}[-a-]{tail} | {head}{{+b+}}{tail}")]);
        let words = "of many words, ".repeat(10);
        let rows = told(&format!("{words}{head}a {words}"), &format!("{words}{head}b {words}"));
        assert_eq!(rows, [format!("{words}{head}[-a-] {words} | {words}{head}{{+b+}} {words}")]);
    }

    #[test]
    fn lines_stand_beside_those_that_they_became() {
        let former = "Write a summary.\nNever answer a customer.\nPut it into the channel.";
        let latter = "Write a summary, with links.\nPut it into the channel,\nand page somebody.";
        let expected = [
            "Write a summary. | Write a summary{+, with links+}.",
            "[-Never answer a customer.-] | ",
            "Put it into the channel[-.-] | Put it into the channel{+,+}",
            " | {+and page somebody.+}",
        ];
        assert_eq!(told(former, latter), expected);
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
