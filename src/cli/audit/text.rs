//! Foreign text on a terminal. What is recorded came from clients: it must neither steer the
//! terminal nor pass for another text.

use std::fmt::Write as _;

use serde_json::Value;

/// `text` with everything escaped that has no shape of its own.
pub(super) fn plain(text: &str) -> String {
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

/// `value` as JSON on one line.
pub(super) fn json(value: &Value) -> String {
    plain(&value.to_string())
}

/// Control characters, line and paragraph separators, and what turns or hides text (UAX #9).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
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
        assert_eq!(json(&serde_json::json!("\u{7f}\n")), "\"\\u{7f}\\n\"");
    }
}
