//! The gateway's word on itself: log lines and metrics.

mod json;
mod line;
mod log_figures;
mod metrics;
mod rule_figures;
mod sink;

use std::fmt;
use std::io::{IsTerminal as _, stderr};
use std::panic;
use std::sync::{Arc, OnceLock};
use std::thread;

use serde_json::Value;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::metrics::Metrics;
pub(crate) use self::metrics::{CallClass, RepeatAnswer};
pub(crate) use self::sink::flush;
use crate::base::clock::Clock;
use crate::base::verbosity::Verbosity;

/// The form of everything that the program writes to standard error, once logging was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people, in colours or without.
    People {
        /// Whether colours show.
        colour: bool,
    },
    /// One JSON object a line, whatever it tells of.
    Json,
}

/// The form that logging was started with.
static FORM: OnceLock<Form> = OnceLock::new();

impl Form {
    /// For people on a terminal, where `colour` says whether it shows colours; JSON otherwise.
    #[must_use]
    pub fn of_standard_error(colour: bool) -> Self {
        if stderr().is_terminal() { Self::People { colour } } else { Self::Json }
    }
}

/// Starts logging to standard error, in this form. From then on nothing waits for standard error,
/// and nothing fails with it: see [`sink`].
pub fn init(form: Form, verbosity: &Verbosity) {
    let form = *FORM.get_or_init(|| form);
    let sink = sink::start();
    let targets = Targets::new()
        .with_default(verbosity.default)
        .with_targets(verbosity.targets.iter().map(|(target, level)| (target.clone(), *level)));
    let lines = registry().with(targets);
    // Fails only where logging was started before, which is as good.
    let _ = match form {
        Form::People { colour } => {
            // Colours are what may steer it: all the rest is plain.
            let writer = move || sink::Coloured(Arc::clone(&sink));
            let people = layer().with_ansi(colour).with_target(false).with_timer(WallClock);
            let people = people.fmt_fields(line::Fields).log_internal_errors(false);
            lines.with(people.with_writer(writer)).try_init()
        }
        Form::Json => {
            let writer = move || sink::Lines(Arc::clone(&sink));
            let programs = layer().event_format(json::Object).log_internal_errors(false);
            lines.with(programs.with_writer(writer)).try_init()
        }
    };
    panic::set_hook(Box::new(tell_of_panic));
}

/// Says something that is no event of the log and that nothing filters: `text` to people, `fields`
/// to programs. `false` where logging was not started.
pub(crate) fn say(level: Level, text: &str, fields: &[(&str, Value)]) -> bool {
    match FORM.get() {
        None => false,
        Some(Form::People { .. }) => sink::say(text),
        Some(Form::Json) => {
            let mut line = json::Line::begin(level);
            for (name, value) in fields {
                line.add(name, value);
            }
            sink::say(&line.end())
        }
    }
}

/// The beginning of a line for people.
struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Clock::System.now())
    }
}

/// Logs a panic. The standard library's own hook prints to standard error, waits for it, and
/// panics where that fails.
fn tell_of_panic(panic: &panic::PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let panic = panic.payload_as_str().unwrap_or("without a message");
    tracing::error!(panic, place, thread, "a thread has panicked: a bug, please report it");
}
