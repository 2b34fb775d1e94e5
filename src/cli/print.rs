//! The only way to standard output and standard error, on which nothing steers a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use serde_json::Value;
use tracing::Level;

use super::Failure;
use crate::base::visible::{self, chain};
use crate::settings::complaint::Complaint;
use crate::telemetry;

/// Prints one line of what was asked for. A reader that has gone away ends the command quietly.
pub fn line(text: impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    outcome(writeln!(io::stdout().lock(), "{}", visible::lines(&text)))
}

/// A part of a line, and how it stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// How it stands out.
    pub shade: Shade,
}

/// How a text stands out where colours show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Not at all.
    Plain,
    /// As what was held back: red.
    Stopped,
    /// As what is not known: yellow.
    Unclear,
    /// As the name of what follows: bold.
    Heading,
    /// As what matters less: dim.
    Faint,
    /// As a line that is gone: red.
    Gone,
    /// As what is gone of it: red, reversed.
    GonePart,
    /// As a line that is new: green.
    New,
    /// As what is new of it: green, reversed.
    NewPart,
}

impl Shade {
    /// How it begins where colours show: Select Graphic Rendition (ECMA-48, 8.3.117).
    const fn begin(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Stopped | Self::Gone => "\u{1b}[31m",
            Self::Unclear => "\u{1b}[33m",
            Self::Heading => "\u{1b}[1m",
            Self::Faint => "\u{1b}[2m",
            Self::GonePart => "\u{1b}[7;31m",
            Self::New => "\u{1b}[32m",
            Self::NewPart => "\u{1b}[7;32m",
        }
    }
}

impl Span {
    /// A text that does not stand out.
    #[must_use]
    pub const fn plain(text: String) -> Self {
        Self { text, shade: Shade::Plain }
    }
}

/// Prints one line of parts, in colour where `colour`. Of the texts themselves none steers the
/// terminal.
pub fn spans(parts: &[Span], colour: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for Span { text: part, shade } in parts {
        let begin = if colour && !part.is_empty() { shade.begin() } else { "" };
        text.push_str(begin);
        text.push_str(&visible::lines(part));
        text.push_str(if begin.is_empty() { "" } else { "\u{1b}[0m" });
    }
    outcome(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints one record of CSV, which ends as RFC 4180 says.
pub(super) fn record(text: &str) -> Result<(), Failure> {
    outcome(write!(io::stdout().lock(), "{}\r\n", visible::lines(text)))
}

/// Prints a part of a file, whole: where a terminal shows it, what steers that is escaped, as
/// [`line`] does.
pub(super) fn part_of_file(text: &[u8]) -> Result<(), Failure> {
    let out = io::stdout();
    if !out.is_terminal() {
        return outcome(out.lock().write_all(text));
    }
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    outcome(out.lock().write_all(visible::lines(&text).as_bytes()))
}

/// Prints one line for whoever sits at the terminal.
pub fn error_line(text: &str) {
    tell(Level::INFO, text, &[("message", text.into())]);
}

/// Prints why the command fails, in one sentence, causes after the effect.
pub(super) fn failure(error: &anyhow::Error) {
    let message = chain(error.as_ref());
    tell(Level::ERROR, &format!("error: {message}"), &[("message", message.into())]);
}

/// Prints one complaint about a configuration.
pub(super) fn complaint(complaint: &Complaint) {
    let level = if complaint.warning { Level::WARN } else { Level::ERROR };
    let mut fields = vec![
        ("message", complaint.message.clone().into()),
        ("file", complaint.file.to_string_lossy().into()),
    ];
    fields.extend(complaint.line.map(|line| ("line", line.into())));
    tell(level, &complaint.to_string(), &fields);
}

fn tell(level: Level, text: &str, fields: &[(&str, Value)]) {
    let text = visible::lines(text);
    // Where logging was started, nothing waits for standard error. Where that is gone, there is
    // nobody left to tell.
    if !telemetry::say(level, &text, fields) {
        let _unheard = writeln!(io::stderr().lock(), "{text}");
    }
}

fn outcome(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        written => {
            written.context("can't write to standard output").map_err(Failure::NotCarriedOut)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        assert_eq!(outcome(Ok(())).map_err(|failure| failure.code()), Ok(()));
        let gone = outcome(Err(io::ErrorKind::BrokenPipe.into())).unwrap_err();
        assert!(matches!(gone, Failure::ReaderGone));
        let full = outcome(Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(full.code(), 3);
    }
}
