//! Differences of texts that people write, such as prompts: line by line, and within the lines that
//! changed word by word.

use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use unicode_width::UnicodeWidthChar as _;

/// The least share of words, in percent, that two passages have in common where they are told word
/// by word: below it they are other passages.
const COMMON_PERCENT_MIN: usize = 30;

/// The fewest bytes that two texts have in common at their begins and ends together where only what
/// stands between is told as changed.
const ALIKE_BYTES_MIN: usize = 80;

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
                pair(&mut rows, from.iter().map(|text| whole(text)), to.iter().map(|t| whole(t)));
            }
            DiffOp::Replace { .. } => {
                rows.extend(passages(&from.join("\n"), &to.join("\n"), until));
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

/// The lines of two passages side by side, with the words that only one of them has.
fn passages(former: &str, latter: &str, until: Option<Instant>) -> Vec<Row> {
    let (old, new) = (tokens(former), tokens(latter));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, until);
    let runs: Vec<Run<'_>> = ops.into_iter().filter_map(|op| Run::of(op, &old, &new)).collect();
    let kept = runs.iter().filter(|run| run.is_kept).map(|run| count(run.former)).sum::<usize>();
    let all = count(&old).max(count(&new));
    let mut sides = Sides::default();
    if kept * 100 < all * COMMON_PERCENT_MIN {
        sides.put_changed(former, latter);
        return sides.rows();
    }
    let last = runs.len().saturating_sub(1);
    for (number, run) in runs.iter().enumerate() {
        // A blank or a sign between two words that changed says nothing by itself.
        let is_between = number > 0 && number < last && count(run.former) == 0;
        if run.is_kept {
            sides.put_kept(run.former, is_between);
        } else {
            sides.put_changed(&run.former.concat(), &run.latter.concat());
        }
    }
    sides.rows()
}

fn count(tokens: &[&str]) -> usize {
    tokens.iter().filter(|token| is_word(token)).count()
}

fn is_word(token: &str) -> bool {
    token.chars().any(char::is_alphanumeric)
}

/// The lines of two passages as far as they are read.
struct Sides {
    former: Vec<Line>,
    latter: Vec<Line>,
    /// Lines that have words in common, by their places, and how many bytes of words those are; in
    /// the order of both passages.
    common: Vec<(usize, usize, usize)>,
}

impl Default for Sides {
    fn default() -> Self {
        Self { former: vec![Line::new()], latter: vec![Line::new()], common: Vec::new() }
    }
}

impl Sides {
    /// Adds what both passages have.
    fn put_kept(&mut self, tokens: &[&str], is_changed: bool) {
        for token in tokens {
            put(&mut self.former, token, is_changed);
            put(&mut self.latter, token, is_changed);
            if !is_word(token) {
                continue;
            }
            let here = (self.former.len() - 1, self.latter.len() - 1);
            match self.common.last_mut() {
                Some((former, latter, bytes)) if (*former, *latter) == here => {
                    *bytes += token.len();
                }
                _ => self.common.push((here.0, here.1, token.len())),
            }
        }
    }

    /// Adds what each passage has in the same place. Of long texts that begin or end alike only
    /// what stands between is changed.
    fn put_changed(&mut self, former: &str, latter: &str) {
        let (head, tail) = alike(former, latter);
        let (head, tail) = if head + tail < ALIKE_BYTES_MIN { (0, 0) } else { (head, tail) };
        for (lines, text) in [(&mut self.former, former), (&mut self.latter, latter)] {
            let end = text.len() - tail;
            for (range, is_changed) in
                [(0..head, false), (head..end, true), (end..text.len(), false)]
            {
                put(lines, text.get(range).unwrap_or_default(), is_changed);
            }
        }
    }

    /// The lines beside one another: those that have most words in common, and the others between
    /// them in their order.
    fn rows(self) -> Vec<Row> {
        let mut rows = Vec::new();
        let pairs = self.pairs();
        let (mut former, mut latter) = (self.former.into_iter(), self.latter.into_iter());
        let (mut old, mut new) = (0, 0);
        for (of_former, of_latter) in pairs {
            let (olds, news) = (of_former - old, of_latter - new);
            pair(&mut rows, former.by_ref().take(olds), latter.by_ref().take(news));
            pair(&mut rows, former.by_ref().take(1), latter.by_ref().take(1));
            (old, new) = (of_former + 1, of_latter + 1);
        }
        pair(&mut rows, former, latter);
        rows
    }

    /// The places of lines that belong together, in the order of both passages.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let size = |lines: &[Line], place: usize| {
            let line = lines.get(place).map(Vec::as_slice).unwrap_or_default();
            line.iter().map(|part| part.text.len()).sum::<usize>()
        };
        let mut chosen: Vec<(usize, usize, usize)> = Vec::new();
        for &(former, latter, bytes) in &self.common {
            let longer = size(&self.former, former).max(size(&self.latter, latter));
            if bytes * 100 < longer * COMMON_PERCENT_MIN {
                continue;
            }
            match chosen.last_mut() {
                Some(last) if last.0 == former || last.1 == latter => {
                    if last.2 < bytes {
                        *last = (former, latter, bytes);
                    }
                }
                _ => chosen.push((former, latter, bytes)),
            }
        }
        chosen.into_iter().map(|(former, latter, _)| (former, latter)).collect()
    }
}

/// How many bytes two texts have in common at their begins, and at their ends. Neither parts a
/// character from what belongs to it.
fn alike(former: &str, latter: &str) -> (usize, usize) {
    let same = |(one, other): &(char, char)| one == other;
    let joined = |text: &str| text.chars().next().filter(|c| c.width() == Some(0));
    let begin = former.chars().zip(latter.chars()).take_while(same);
    let mut head = begin.map(|(c, _)| c.len_utf8()).sum::<usize>();
    while joined(behind(former, head)).or(joined(behind(latter, head))).is_some() {
        let last = former.get(..head).and_then(|text| text.chars().next_back());
        let Some(last) = last else { break };
        head -= last.len_utf8();
    }
    let (former, latter) = (behind(former, head), behind(latter, head));
    let end = former.chars().rev().zip(latter.chars().rev()).take_while(same);
    let mut tail = end.map(|(c, _)| c.len_utf8()).sum::<usize>();
    while let Some(first) = joined(behind(former, former.len() - tail)) {
        tail -= first.len_utf8();
    }
    (head, tail)
}

fn behind(text: &str, place: usize) -> &str {
    text.get(place..).unwrap_or_default()
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

/// Adds a text to the last line, and begins another one behind each line feed.
fn put(lines: &mut Vec<Line>, text: &str, is_changed: bool) {
    for (number, text) in text.split('\n').enumerate() {
        if number > 0 {
            lines.push(Line::new());
        }
        let Some(line) = lines.last_mut().filter(|_| !text.is_empty()) else { continue };
        match line.last_mut() {
            Some(part) if part.is_changed == is_changed => part.text.push_str(text),
            _ => line.push(Part { text: text.to_owned(), is_changed }),
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
    fn one_letter_of_a_long_word_is_told_alone() {
        let (head, tail) = ("x".repeat(500_000), "y".repeat(499_999));
        let rows = told(&format!("{head}a{tail}"), &format!("{head}b{tail}"));
        assert_eq!(rows, [format!("{head}[-a-]{tail} | {head}{{+b+}}{tail}")]);
        let words = "of many words, ".repeat(10);
        let rows = told(&format!("{words}{head}a {words}"), &format!("{words}{head}b {words}"));
        assert_eq!(rows, [format!("{words}{head}[-a-] {words} | {words}{head}{{+b+}} {words}")]);
        // An accent stays with its letter, and a text that grows by its own end has no overlap.
        let wide = "é".repeat(100);
        assert_eq!(alike(&format!("{wide}e\u{301}z"), &format!("{wide}ez")), (200, 1));
        assert_eq!(alike(&format!("ze\u{301}"), &format!("zu\u{301}")), (1, 0));
        assert_eq!(alike("aaa", "aaaaa"), (3, 0));
        assert_eq!(alike("", "a"), (0, 0));
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
