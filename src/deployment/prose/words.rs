//! The words of lines, and those that only one of two lines has.

use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use unicode_width::UnicodeWidthChar as _;

use super::{Line, Part};

/// The least share of words, in percent, that two lines have in common where they are told word by
/// word: below it they are other lines.
pub(super) const COMMON_PERCENT_MIN: usize = 30;

/// The fewest bytes that two texts have in common at their begins and ends together where only what
/// stands between is told as changed.
const ALIKE_BYTES_MIN: usize = 80;

/// Two lines, with the words that only one of them has.
pub(super) fn words(former: &str, latter: &str, until: Option<Instant>) -> (Line, Line) {
    let (old, new) = (tokens(former), tokens(latter));
    let runs = runs(&old, &new, until);
    let kept = runs.iter().filter(|run| run.is_kept).map(|run| count(run.former)).sum::<usize>();
    let (mut before, mut after) = (Line::new(), Line::new());
    if kept * 100 < count(&old).max(count(&new)) * COMMON_PERCENT_MIN {
        put_changed(&mut before, &mut after, (former, latter));
        return (before, after);
    }
    let last = runs.len().saturating_sub(1);
    for (number, run) in runs.iter().enumerate() {
        // A blank or a sign between two words that changed says nothing by itself.
        let is_between = number > 0 && number < last && count(run.former) == 0;
        let (former, latter) = (run.former.concat(), run.latter.concat());
        if run.is_kept {
            put(&mut before, &former, is_between);
            put(&mut after, &latter, is_between);
        } else {
            put_changed(&mut before, &mut after, (&former, &latter));
        }
    }
    (before, after)
}

/// Adds what each line has in the same place. Of long texts that begin or end alike only what
/// stands between is changed.
fn put_changed(before: &mut Line, after: &mut Line, (former, latter): (&str, &str)) {
    let (head, tail) = alike(former, latter);
    let (head, tail) = if head + tail < ALIKE_BYTES_MIN { (0, 0) } else { (head, tail) };
    for (line, text) in [(before, former), (after, latter)] {
        let end = text.len() - tail;
        put(line, text.get(..head).unwrap_or_default(), false);
        put(line, text.get(head..end).unwrap_or_default(), true);
        put(line, behind(text, end), false);
    }
}

fn put(line: &mut Line, text: &str, is_changed: bool) {
    match line.last_mut() {
        _ if text.is_empty() => {}
        Some(part) if part.is_changed == is_changed => part.text.push_str(text),
        _ => line.push(Part { text: text.to_owned(), is_changed }),
    }
}

fn count(tokens: &[&str]) -> usize {
    tokens.iter().filter(|token| is_word(token)).count()
}

pub(super) fn is_word(token: &str) -> bool {
    token.chars().any(char::is_alphanumeric)
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
pub(super) struct Run<'t> {
    pub(super) former: &'t [&'t str],
    pub(super) latter: &'t [&'t str],
    pub(super) is_kept: bool,
}

impl<'t> Run<'t> {
    fn of(op: DiffOp, old: &'t [&'t str], new: &'t [&'t str]) -> Option<Self> {
        let is_kept = matches!(op, DiffOp::Equal { .. });
        let (former, latter) = (old.get(op.old_range())?, new.get(op.new_range())?);
        Some(Self { former, latter, is_kept })
    }
}

/// The runs of two texts.
pub(super) fn runs<'t>(
    old: &'t [&'t str],
    new: &'t [&'t str],
    until: Option<Instant>,
) -> Vec<Run<'t>> {
    let ops = capture_diff_slices_deadline(Algorithm::Myers, old, new, until);
    ops.into_iter().filter_map(|op| Run::of(op, old, new)).collect()
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
pub(super) fn tokens(text: &str) -> Vec<&str> {
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

    #[test]
    fn what_has_no_width_belongs_to_the_character_before_it() {
        assert_eq!(tokens("e\u{301}a ❤\u{fe0f}!"), ["e\u{301}a", " ", "❤\u{fe0f}", "!"]);
        // A text that grows by its own end has no overlap.
        let wide = "é".repeat(100);
        assert_eq!(alike(&format!("{wide}e\u{301}z"), &format!("{wide}ez")), (200, 1));
        assert_eq!(alike("ze\u{301}", "zu\u{301}"), (1, 0));
        assert_eq!(alike("aaa", "aaaaa"), (3, 0));
        assert_eq!(alike("", "a"), (0, 0));
    }
}
