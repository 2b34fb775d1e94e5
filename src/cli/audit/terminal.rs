//! The terminal that a list is read on, if it is read on one.

use std::io::{self, IsTerminal as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::super::Environment;

/// The least columns that lists are made for.
const WIDTH_MIN: usize = 80;

/// The most: beyond it nobody reads along a line.
const WIDTH_MAX: usize = 500;

/// The most lines of one value.
const FOLDS_MAX: usize = 6;

/// The beginning of a line that goes on with a value.
const INDENT: &str = "      ";

/// A terminal's width and whether it shows colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub(super) width: usize,
    pub(super) colour: bool,
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

/// The lines that a text has in `width` columns, at most [`FOLDS_MAX`]: what is longer says so.
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
            lines.push(INDENT.to_owned());
            columns = INDENT.len();
        }
        columns += wide;
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
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
    fn texts_and_ids_are_cut_by_their_columns() {
        assert_eq!(cut("夜间任务", 8), "夜间任务");
        assert_eq!(cut("夜间任务", 7), "夜间任…");
        assert_eq!(cut("夜间任务", 6), "夜间…");
        assert_eq!(cut("abc", 0), "…");
        assert_eq!(short_id("dep_0123456789abcdef"), "dep_0123…cdef");
        assert_eq!(short_id("dep_123456789"), "dep_123456789");
    }
}
