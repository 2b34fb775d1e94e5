//! The only way to standard output and standard error, on which nothing steers a terminal.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context as _;

use super::Failure;
use crate::base::visible;
use crate::telemetry;

/// Prints one line of what was asked for. A reader that has gone away ends the command quietly.
pub fn line(text: impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    outcome(writeln!(io::stdout().lock(), "{}", visible::lines(&text)))
}

/// Prints one line for whoever sits at the terminal.
pub fn error_line(text: &str) {
    let text = visible::lines(text);
    // Where logging was started, nothing waits for standard error. Where that is gone, there is
    // nobody left to tell.
    if !telemetry::say(&text) {
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
