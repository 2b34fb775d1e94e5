//! Text of a client's, made fit for a message.

/// At most `chars_max` characters of `text`; what would not be seen, or would steer a terminal or
/// a header line, is escaped.
pub(crate) fn excerpt(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for (place, c) in text.chars().enumerate() {
        if place == chars_max {
            shown.push('…');
            break;
        }
        let plain = c.is_alphanumeric() || matches!(c, '"' | '\'' | '\\');
        if plain { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn what_is_unseen_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(excerpt("负责人 a.b-\"c\"", 64), "负责人 a.b-\"c\"");
        assert_eq!(excerpt("a\r\n\u{1b}\u{202e}\u{200b}", 64), "a\\r\\n\\u{1b}\\u{202e}\\u{200b}");
        assert_eq!(excerpt("abc", 2), "ab…");
    }
}
