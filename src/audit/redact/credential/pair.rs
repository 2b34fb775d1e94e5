//! A name and its value inside a text: `password=…`, `"token": "…"`, `Authorization: Basic …`.

use std::ops::Range;

use super::{Credentials, is_secret};
use crate::audit::redact::work::looked;

/// The most bytes of a name, and of what is between it and the sign, that are looked at.
const NAME_BYTES_MAX: usize = 64;

/// The quotes that a value may stand in.
const QUOTES: [u8; 3] = *b"\"'`";

/// The ends of names whose values go on to the end of the line, spaces and all.
const HEADERS: [&str; 2] = ["authorization", "cookie"];

/// The schemes of `Authorization` that are told; what follows is not.
const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "digest", "apikey", "negotiate"];

impl Credentials<'_> {
    /// The value behind the `=` or `:` at `sign`, where the name before it is one of a secret.
    pub(super) fn pair(&mut self, sign: usize) -> Option<Range<usize>> {
        let text = self.text;
        let is_blank = |byte| matches!(byte, b' ' | b'\t');
        let floor = sign.saturating_sub(NAME_BYTES_MAX);
        let quoted = text.back(sign, floor, is_blank);
        let name_end = text.back(quoted, floor, |byte| b"\\\"'".contains(&byte));
        let name_start = text.back(name_end, floor, is_in_name);
        let name = text.part(name_start, name_end);
        let in_query = text.before(name_start).is_some_and(|byte| b"?&;".contains(&byte));
        let named = self.names.of_text(name, in_query);
        if !is_secret(named, b"x") {
            return None;
        }
        looked(name.len());
        let name = name.to_ascii_lowercase();
        let is_header = HEADERS.iter().any(|header| name.ends_with(header.as_bytes()));
        let start = text.find(sign, |byte| !is_blank(byte) && !b"=:>".contains(&byte));
        let value = self.value(start, is_header, name_end < quoted);
        let value =
            if name.ends_with(b"authorization") { self.behind_scheme(value) } else { value };
        let shown = text.part(value.start, value.end);
        let is_amount = shown.len() <= NAME_BYTES_MAX && !is_secret(named, shown);
        looked(shown.len().min(NAME_BYTES_MAX));
        (shown != b"null" && !is_amount).then_some(value)
    }

    /// The value that begins at `start`: in quotes, up to the end of the line for a header's, or
    /// as far as there is no space.
    fn value(&mut self, start: usize, is_header: bool, in_json: bool) -> Range<usize> {
        let text = self.text;
        let is_escaped = text.at(start) == Some(b'\\');
        let quote = start + usize::from(is_escaped);
        let kind = text.at(quote).and_then(|byte| QUOTES.iter().position(|quote| *quote == byte));
        if let Some((kind, ahead)) = kind.and_then(|kind| Some((kind, self.quotes.get_mut(kind)?)))
        {
            let Some(closing) = QUOTES.get(kind) else { return start..start };
            let inside = quote + 1;
            let mut end = ahead.find(text, inside, |byte| byte == *closing);
            // One that is escaped does not close what an unescaped one has opened.
            while !is_escaped && end < text.end() && text.before(end) == Some(b'\\') {
                end = ahead.find(text, end + 1, |byte| byte == *closing);
            }
            let is_escaped = is_escaped && text.before(end) == Some(b'\\');
            return inside..end - usize::from(is_escaped).min(end - inside);
        }
        let ends_line = |byte: u8| matches!(byte, b'\r' | b'\n') || QUOTES.contains(&byte);
        let end = if is_header {
            let end = self.line_end.find(text, start, ends_line);
            if self.line.0 != end {
                self.line = (end, text.back(end, start, |byte| byte == b' '));
            }
            self.line.1.max(start)
        } else if in_json {
            self.json_end.find(text, start, |byte| ends_line(byte) || b" \t,}]".contains(&byte))
        } else {
            let ends = |byte: u8| byte <= b' ' || QUOTES.contains(&byte) || b"&<".contains(&byte);
            self.value_end.find(text, start, ends)
        };
        start..end
    }

    /// The part of a value behind the scheme that it begins with.
    fn behind_scheme(&self, value: Range<usize>) -> Range<usize> {
        let is_one = |scheme: &&&str| self.text.has_in_any_case(value.start, scheme);
        let Some(scheme) = SCHEMES.iter().find(is_one) else { return value };
        let behind = value.start + scheme.len();
        let start = self.text.find(behind, |byte| byte != b' ');
        if start > behind && start < value.end { start..value.end } else { value }
    }
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}
