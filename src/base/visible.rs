//! Foreign text where people read it: in log lines, on a terminal. It came from clients, from
//! upstream or from a file: it must neither steer a terminal nor pass for another text.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

use crate::base::scan::any;

/// `text` with everything escaped that has no shape of its own.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            // Writing to a `String` never fails.
            let _never = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Whole lines, some of them JSON, with everything escaped that has no shape of its own, as JSON
/// escapes it (RFC 8259, 7): what is JSON still means the same.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    // Most lines are of ASCII that shows.
    if !any(text.as_bytes(), |byte| byte != b'\n' && !(b' '..=b'~').contains(&byte)) {
        return text.into();
    }
    let hides = |c: char| steers(c) && !matches!(c, '\n' | '\t');
    if !text.chars().any(hides) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` never fails.
                let _never = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// Control characters, line and paragraph separators, and what turns or hides text (UAX #9).
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// An error and its sources, as one text. What a source only says again is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |mut told, source| {
        let source = source.to_string();
        if !told.ends_with(&source) {
            told.push_str(": ");
            told.push_str(&source);
        }
        told
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (text, expected) in [
            ("夜间任务 ok", "夜间任务 ok"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb", "a\\nb"),
            ("\u{202e}cba", "\\u{202e}cba"),
            ("\u{9b}2J", "\\u{9b}2J"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn a_chain_says_nothing_twice() {
        let told = |text, source: Option<Told>| Told(text, source.map(Box::new));
        let full = || told("(code: 13) disk is full", None);
        let database = told("the database said: (code: 13) disk is full", Some(full()));
        let chained = chain(&told("not written", Some(database)));
        assert_eq!(chained, "not written: the database said: (code: 13) disk is full");
        assert_eq!(chain(&told("a", Some(full()))), "a: (code: 13) disk is full");
    }

    #[test]
    fn lines_of_json_mean_the_same_when_nothing_in_them_is_hidden() {
        let text = "夜\u{9b}2J\u{7f}\u{202e}\u{e0041}\u{200d}\t\n";
        let line = serde_json::to_string(text).unwrap();
        let shown = lines(&line);
        assert_eq!(shown, r#""夜\u009b2J\u007f\u202e\udb40\udc41\u200d\t\n""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        assert!(matches!(lines("as it is\n"), Cow::Borrowed(_)));
    }
}
