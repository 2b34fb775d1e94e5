//! Lists of variables as text: `KEY=VALUE`, each value concealed and the names kept.

use super::Redactor;
use super::work::looked;

/// The most `KEY=VALUE` pairs that one text is taken apart into; more are concealed as one.
const VARIABLES_MAX: usize = 1_000;

/// The most bytes of a variable's name.
const NAME_BYTES_MAX: usize = 128;

/// The value that a line of a list may be within.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// None: a variable may begin here.
    Nothing,
    /// One in quotes that are still open.
    Quotes(char),
    /// A key or certificate in PEM.
    Pem,
    /// One whose line before ended in `\`.
    Escape,
    /// One whose end can't be told.
    Unknown,
}

impl Redactor {
    /// A list of variables with each value concealed and everything between kept. Where the text
    /// may be read in two ways, the one that shows less is taken.
    pub(super) fn variables(&self, text: &str) -> String {
        looked(5 * text.len());
        if text.contains('\n') {
            return self.lines(text);
        }
        // Announced tokens stand after a space, and may look like a variable there.
        let separators: &[char] = if announces(text) { &[';', ','] } else { &[';', ',', ' '] };
        let parts = |separator: &char| {
            let mut pieces =
                text.split(*separator).map(str::trim).filter(|piece| !piece.is_empty());
            let first = pieces.next().is_some_and(|first| variable(first).is_some());
            text.contains(*separator) && first && pieces.all(|piece| listed(piece).is_some())
        };
        let Some(separator) = separators.iter().copied().find(parts) else {
            return self.variable(text);
        };
        if text.split(separator).nth(VARIABLES_MAX).is_some() {
            return self.hidden(text);
        }
        let pieces: Vec<String> = text.split(separator).map(|piece| self.variable(piece)).collect();
        pieces.join(separator.encode_utf8(&mut [0; 4]))
    }

    /// The same of one variable a line. Lines within a value are concealed whole.
    fn lines(&self, text: &str) -> String {
        if text.split('\n').nth(VARIABLES_MAX).is_some() {
            return self.hidden(text);
        }
        let mut within = Within::Nothing;
        let mut is_first = true;
        let lines = text.split('\n').map(|line| {
            let piece = line.trim();
            if piece.is_empty() {
                return line.to_owned();
            }
            let (found, inside) =
                if is_first { (variable(piece), within) } else { (lined(piece), within) };
            is_first = false;
            within = inside.behind(piece, found);
            match found {
                Some(_) if inside == Within::Nothing => self.variable(line),
                _ => self.one(line),
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// One variable with its value concealed; the whole of it where it does not look like one.
    pub(super) fn variable(&self, piece: &str) -> String {
        looked(piece.len());
        match variable(piece.trim()) {
            Some((name, value)) => {
                let concealed = format!("{}={}", self.scrub(name), self.hidden(value));
                around(piece, &concealed)
            }
            None => self.one(piece),
        }
    }

    /// A piece concealed as one, but for the space around it.
    fn one(&self, piece: &str) -> String {
        match piece.trim() {
            "" => piece.to_owned(),
            text => around(piece, &self.hidden(text)),
        }
    }
}

impl Within {
    /// The place of the line behind `line`, where `line` is within this and holds the variable
    /// `found`, if any.
    fn behind(self, line: &str, found: Option<(&str, &str)>) -> Self {
        looked(line.len());
        match (self, found) {
            (Self::Nothing, Some((_name, value))) => Self::of(value),
            (Self::Nothing, None) => {
                let (name, value) = line.split_once('=').unwrap_or((line, line));
                let is_harmless = line.starts_with('#') || value.is_empty() && is_name(name);
                let exported = line.strip_prefix("export ").and_then(variable);
                match exported {
                    Some((_name, value)) => Self::of(value),
                    None if is_harmless => Self::Nothing,
                    None => Self::Unknown,
                }
            }
            (Self::Quotes(quote), _) if line.ends_with(quote) => Self::Nothing,
            (Self::Pem, _) if line.contains("-----END") => Self::Nothing,
            (Self::Escape, _) if !line.ends_with('\\') => Self::Nothing,
            (within, _) => within,
        }
    }

    /// The place of the line behind the beginning of a value.
    fn of(value: &str) -> Self {
        let quote = value.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
        if let Some(quote) = quote {
            let is_closed = value.len() > 1 && value.ends_with(quote) && !value.ends_with("\\\"");
            return if is_closed { Self::Nothing } else { Self::Quotes(quote) };
        }
        let is_block = |open: char, close: char| value.starts_with(open) && !value.ends_with(close);
        if value.contains("-----BEGIN") && !value.contains("-----END") {
            Self::Pem
        } else if value.ends_with('\\') {
            Self::Escape
        } else if value.starts_with("<<") || is_block('{', '}') || is_block('[', ']') {
            Self::Unknown
        } else {
            Self::Nothing
        }
    }
}

/// Whether `text` looks like a list of variables.
pub(super) fn is_list(text: &str) -> bool {
    let head = text.split(['\n', ';', ',', ' ']).next().unwrap_or_default();
    looked(head.len());
    variable(head.trim()).is_some_and(|(name, _value)| is_conventional(name))
}

/// `concealed` with the space that is around `piece`.
fn around(piece: &str, concealed: &str) -> String {
    let text = piece.trim();
    let (lead, rest) = piece.split_at(piece.len() - piece.trim_start().len());
    let (_text, tail) = rest.split_at(text.len());
    format!("{lead}{concealed}{tail}")
}

/// Name and value where `text` looks like `KEY=VALUE`. An empty value, or one of `=` only, does
/// not: the last line of something in base64 ends so.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let has_value = value.bytes().any(|byte| byte != b'=');
    (is_name(name) && has_value).then_some((name, value))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// The same of one that follows another on its line: it may be part of the other's value, and its
/// name shows only where it is in capitals, as such names are.
fn listed(text: &str) -> Option<(&str, &str)> {
    variable(text).filter(|(name, _value)| !name.bytes().any(|byte| byte.is_ascii_lowercase()))
}

/// The same of one on a line of its own: its name shows in capitals or in small letters.
fn lined(text: &str) -> Option<(&str, &str)> {
    variable(text).filter(|(name, _value)| is_conventional(name))
}

fn is_conventional(name: &str) -> bool {
    let has = |is: fn(&u8) -> bool| name.as_bytes().iter().any(is);
    !(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase))
}

/// Whether `text` holds the word that announces a token.
fn announces(text: &str) -> bool {
    text.as_bytes().windows(6).any(|word| word.eq_ignore_ascii_case(b"bearer"))
}
