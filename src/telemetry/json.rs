//! The log lines that programs read: one JSON object each, an error with all its causes.

use std::error::Error;
use std::fmt::{self, Debug};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::base::clock::Clock;
use crate::base::visible::chain;

/// The form of an event: `timestamp`, `level`, `message`, every other field, `target`.
#[derive(Debug)]
pub(super) struct Object;

/// A line that is being written.
#[derive(Debug)]
pub(super) struct Line(String);

impl Line {
    /// A line of now.
    pub(super) fn begin(level: Level) -> Self {
        let mut line = Self(String::with_capacity(256));
        line.put('{', "timestamp", &Clock::System.now());
        line.add("level", level.as_str());
        line
    }

    /// Adds a member.
    pub(super) fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.put(',', name, value);
    }

    /// The whole line.
    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn put(&mut self, before: char, name: &str, value: &(impl Serialize + ?Sized)) {
        let json = |text: serde_json::Result<String>| text.unwrap_or_else(|_no| "null".to_owned());
        self.0.push(before);
        self.0.push_str(&json(serde_json::to_string(name)));
        self.0.push(':');
        self.0.push_str(&json(serde_json::to_string(value)));
    }
}

impl<S, N> FormatEvent<S, N> for Object
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::begin(*event.metadata().level());
        event.record(&mut line);
        line.add("target", event.metadata().target());
        writeln!(writer, "{}", line.end())
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field.name(), &chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::{Value, json};

    use super::super::line::tests::Kept;
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection")]
    struct Broke(#[source] io::Error);

    #[test]
    fn a_line_is_one_object_and_an_error_tells_its_causes() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().event_format(Object);
        let lines = lines.with_writer(move || writer.clone()).finish();
        let error = Broke(io::Error::other("refused\n\"at once\""));
        tracing::subscriber::with_default(lines, || {
            let (error, absent) = (&error as &dyn Error, None::<u64>);
            tracing::warn!(error, took_ms = 7_u64, ok = true, absent, name = %"夜", "it broke");
        });
        let text = kept.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let at = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
        let expected = json!({
            "level": "WARN",
            "message": "it broke",
            "error": "no connection: refused\n\"at once\"",
            "took_ms": 7,
            "ok": true,
            "name": "夜",
            "target": "changegate::telemetry::json::tests",
        });
        assert_eq!(line, expected);
    }
}
