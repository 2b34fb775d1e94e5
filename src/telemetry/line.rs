//! The fields of a log line that people read. They hold clients' text, and upstream's: it stays
//! within its line, and steers no terminal.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::base::visible::{chain, plain};

/// The message, then `name=value` of every other field.
#[derive(Debug)]
pub(super) struct Fields;

struct Line<'w> {
    writer: Writer<'w>,
    begun: bool,
    result: fmt::Result,
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        let space = if std::mem::replace(&mut self.begun, true) { " " } else { "" };
        let value = plain(value);
        let put = if field.name() == "message" {
            write!(self.writer, "{space}{value}")
        } else if self.writer.has_ansi_escapes() {
            write!(self.writer, "{space}\x1b[3m{field}\x1b[0m\x1b[2m=\x1b[0m{value}")
        } else {
            write!(self.writer, "{space}{field}={value}")
        };
        self.result = self.result.and(put);
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // In quotes, so that it shows where it ends.
        self.record_debug(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, &chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::Fields;

    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        /// Everything that was written.
        pub(in crate::telemetry) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it\r\nbroke")]
    struct Broke(#[source] io::Error);

    /// A hostile text as it looks in each kind of field.
    fn said(ansi: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(ansi);
        let lines = lines.without_time().with_target(false).fmt_fields(Fields).finish();
        let hostile = "a\n WARN \u{1b}[2J\u{9b}1m\u{202e}\u{7f}";
        let error = Broke(io::Error::other(hostile));
        tracing::subscriber::with_default(lines, || {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(shown = %hostile, debugged = ?hostile, hostile, error, "{hostile}");
        });
        kept.text()
    }

    #[test]
    fn whatever_a_field_holds_is_one_plain_line() {
        let line = said(false);
        let text = r"a\n WARN \u{1b}[2J\u{9b}1m\u{202e}\u{7f}";
        assert_eq!(
            line,
            format!(
                " WARN {text} shown={text} debugged=\"{text}\" hostile=\"{text}\" \
                 error=it\\r\\nbroke: {text}\n"
            )
        );
    }

    #[test]
    fn colours_are_the_lines_own() {
        let line = said(true);
        let steering = line.matches('\u{1b}').count();
        let own = ["\u{1b}[0m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[33m"];
        let own: usize = own.iter().map(|colour| line.matches(colour).count()).sum();
        assert!(steering > 0 && steering == own, "{line:?}");
        assert_eq!(line.lines().count(), 1, "{line:?}");
    }
}
