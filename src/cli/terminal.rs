//! The terminal that a list is read on, if it is read on one.

use std::io::{self, IsTerminal as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::Environment;

/// The least columns that lists are made for.
const WIDTH_MIN: usize = 80;

/// The most: beyond it nobody reads along a line.
const WIDTH_MAX: usize = 500;

/// The most lines of one value.
const FOLDS_MAX: usize = 6;

/// The most columns of a word that is kept whole: the digest of a secret, in its quotes.
const WORD_WIDTH_MAX: usize = 48;

/// The beginning of a line that goes on with a value.
const INDENT: &str = "      ";

/// A terminal's width and whether it shows colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub(super) width: usize,
    pub(super) colour: bool,
}

impl Default for Terminal {
    /// The narrowest terminal, without colours: any reader can be shown it.
    fn default() -> Self {
        Self { width: WIDTH_MIN, colour: false }
    }
}

impl Terminal {
    /// The terminal at standard output; `None` where another program or a file takes it.
    pub(super) fn found(environment: &Environment) -> Option<Self> {
        let out = io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let typed = environment.of_terminal("COLUMNS").and_then(|text| text.trim().parse().ok());
        let size = || rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col.into());
        let width = typed.filter(|columns| *columns > 0).or_else(size).unwrap_or(WIDTH_MIN);
        let colour = environment.has_colours();
        Some(Self { width: width.clamp(WIDTH_MIN, WIDTH_MAX), colour })
    }
}

/// The text in at most `width` columns, its end left out where need be.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut columns = 0;
    for c in text.chars() {
        columns += c.width().unwrap_or(0);
        if columns >= width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// The lines that a text has in `width` columns, at most [`FOLDS_MAX`]: what is longer says so. No
/// word is broken that is shorter than [`WORD_WIDTH_MAX`].
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut columns = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if columns + wide > width {
            if lines.len() == FOLDS_MAX {
                lines.push(format!("{INDENT}… (--json shows it whole)"));
                return lines;
            }
            let word = lines.last_mut().map(|line| last_word(line, c)).unwrap_or_default();
            columns = INDENT.len() + word.width();
            lines.push(format!("{INDENT}{word}"));
            if c == ' ' {
                continue;
            }
        }
        columns += wide;
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}

/// Takes the word at a line's end off, where `next` goes on with it, and it is short and not all
/// that there is.
fn last_word(line: &mut String, next: char) -> String {
    if next == ' ' {
        line.truncate(line.trim_end().len());
        return String::new();
    }
    let Some((before, word)) = line.rsplit_once(' ') else { return String::new() };
    if before.trim().is_empty() || word.width() > WORD_WIDTH_MAX {
        return String::new();
    }
    let word = word.to_owned();
    line.truncate(before.trim_end().len());
    word
}

/// The lines that a text has in `width` columns, broken between words where there are any.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive([' ', ',']) {
        if !line.is_empty() && line.width() + word.trim_end().width() > width {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// An id without its middle, where it is long.
pub(super) fn short_id(id: &str) -> String {
    const HEAD: usize = 8;
    const TAIL: usize = 4;
    let count = id.chars().count();
    if count <= HEAD + TAIL + 1 {
        return id.to_owned();
    }
    let head: String = id.chars().take(HEAD).collect();
    let tail: String = id.chars().skip(count - TAIL).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_between_words() {
        let text = "denied by policy: use Asia/Shanghai or UTC";
        let lines = ["denied by policy: use", "Asia/Shanghai or UTC"];
        assert_eq!(wrapped(text, 22), lines);
        assert_eq!(wrapped("{\"a\":1,\"b\":2}", 8), ["{\"a\":1,", "\"b\":2}"]);
        assert_eq!(wrapped("unbreakable it is", 4), ["unbreakable", "it", "is"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn texts_are_folded_between_words_where_these_are_short() {
        let folds = |text: &str| folded(text, 20);
        let two = ["denied by policy:", "      use UTC"];
        assert_eq!(folds("denied by policy: use UTC"), two);
        assert_eq!(folds("exactly nineteen 19  and"), ["exactly nineteen 19", "      and"]);
        assert_eq!(folds("exactly twenty chars and"), ["exactly twenty chars", "      and"]);
        let long = "x".repeat(30);
        assert_eq!(folds(&long), ["x".repeat(20), format!("      {}", "x".repeat(10))]);
        assert_eq!(folds(&"y".repeat(400)).len(), 7);
        assert_eq!(folds("夜间任务 夜间任务 夜间"), ["夜间任务 夜间任务", "      夜间"]);
        for line in folds(&"some words, and more of them ".repeat(9)) {
            assert!(line.width() <= 20 || line.contains('…'), "{line}");
        }
    }

    #[test]
    fn texts_and_ids_are_cut_by_their_columns() {
        assert_eq!(cut("夜间任务", 8), "夜间任务");
        assert_eq!(cut("夜间任务", 7), "夜间任…");
        assert_eq!(cut("夜间任务", 6), "夜间…");
        assert_eq!(cut("abc", 0), "…");
        assert_eq!(short_id("dep_0123456789abcdef"), "dep_0123…cdef");
        assert_eq!(short_id("dep_123456789"), "dep_123456789");
    }
}
