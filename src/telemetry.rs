//! The gateway's word on itself: log lines and metrics.

mod line;
mod sink;

use std::collections::HashSet;
use std::io::{IsTerminal as _, stderr};
use std::panic;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

pub(crate) use self::sink::{flush, say};
use crate::audit::record::Outcome;
use crate::audit::{Audit, Health};
use crate::policy::Decision;
use crate::provider::Operation;

/// The most callers whose refusals are counted apart; the rest are counted together.
const SUBJECTS_MAX: usize = 1_000;

/// Upper bounds, in seconds, of a governed call's duration.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Starts logging to standard error: for people on a terminal, as JSON otherwise. `filter` is in
/// the syntax of `tracing_subscriber::EnvFilter`; by default `info`. From then on nothing waits
/// for standard error, and nothing fails with it: see [`sink`].
pub fn init(filter: Option<&str>) {
    let filter = EnvFilter::try_new(filter.unwrap_or("info"))
        .unwrap_or_else(|_unreadable| EnvFilter::new("info"));
    let sink = sink::start();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    // Fails only where logging was started before, which is as good.
    let _ = if stderr().is_terminal() {
        // Colours are what may steer it: all the rest is plain.
        let writer = move || sink::Coloured(Arc::clone(&sink));
        lines.with_target(false).with_writer(writer).fmt_fields(line::Fields).try_init()
    } else {
        let writer = move || sink::Lines(Arc::clone(&sink));
        lines.with_writer(writer).json().flatten_event(true).try_init()
    };
    panic::set_hook(Box::new(tell_of_panic));
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

/// The class of a call, by what became of it at the gateway's door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallClass {
    Governed,
    Passthrough,
    Refused,
}

/// Everything that is counted. Labels are bounded: none of them is a client's text.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// By class, kind of method, and class of status; resolved once, so that a call costs one
    /// addition.
    requests: [[[Counter; 5]; 2]; 3],
    changes: Family<ChangeLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    subjects: Mutex<HashSet<String>>,
    exchange_seconds: Histogram,
    connections: Gauge,
    connections_refused: Counter,
    reloads: Family<ReloadLabels, Counter>,
    after_violations: Family<RuleLabels, Counter>,
    log: LogFigures,
}

/// The log's own counts, copied when the metrics are read.
#[derive(Debug, Default)]
struct LogFigures {
    commits: Counter,
    rows: Counter,
    events_dropped: Counter,
    waiting: Gauge,
    open: Gauge,
    writable: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    class: &'static str,
    kind: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    operation: &'static str,
    outcome: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    status: u16,
    subject: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: String,
}

const CLASSES: [&str; 3] = ["governed", "passthrough", "refused"];
const KINDS: [&str; 2] = ["read", "write"];
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// A client's connection, counted as open.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("changegate");
        let requests = Family::<RequestLabels, Counter>::default();
        let changes = Family::default();
        let refusals = Family::default();
        let exchange_seconds = Histogram::new(SECONDS);
        let connections = Gauge::default();
        let connections_refused = Counter::default();
        let reloads = Family::default();
        registry.register("requests", "Calls answered", requests.clone());
        registry.register("changes", "Governed calls recorded", changes.clone());
        registry.register("refusals", "401s and 429s, by caller", refusals.clone());
        registry.register(
            "exchange_seconds",
            "From a governed call's head to its recorded end",
            exchange_seconds.clone(),
        );
        registry.register("connections", "Client connections open", connections.clone());
        registry.register(
            "connections_refused",
            "Client connections closed for being one too many of their address",
            connections_refused.clone(),
        );
        registry.register("reloads", "Readings of the configuration", reloads.clone());
        registry.register(
            "log_lines_dropped",
            "Log lines that could not be written, or for which there was no room",
            sink::dropped(),
        );
        let after_violations = Family::default();
        registry.register(
            "after_violations",
            "Rules found broken after a change, though that was not predicted",
            after_violations.clone(),
        );
        let log = LogFigures::default();
        for (name, help, counter) in [
            ("audit_commits", "Transactions that the log committed", &log.commits),
            ("audit_rows", "Rows that the log committed", &log.rows),
            ("audit_events_dropped", "Events that were not kept", &log.events_dropped),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("audit_waiting", "Records that wait for the next transaction", &log.waiting),
            ("audit_open", "Changes begun and not finished", &log.open),
            ("audit_writable", "1 where the log can be written, else 0", &log.writable),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let resolved = CLASSES.map(|class| {
            KINDS.map(|kind| {
                STATUSES.map(|status| {
                    requests.get_or_create_owned(&RequestLabels { class, kind, status })
                })
            })
        });
        Self {
            registry,
            requests: resolved,
            changes,
            refusals,
            subjects: Mutex::default(),
            exchange_seconds,
            connections,
            connections_refused,
            reloads,
            after_violations,
            log,
        }
    }

    /// Counts an answered call.
    pub(crate) fn request(&self, class: CallClass, writes: bool, status: StatusCode) {
        let hundred = usize::from(status.as_u16() / 100).saturating_sub(1);
        let counter = self
            .requests
            .get(class as usize)
            .and_then(|kinds| kinds.get(usize::from(writes)))
            .and_then(|statuses| statuses.get(hundred));
        if let Some(counter) = counter {
            counter.inc();
        }
    }

    /// Counts a recorded governed call.
    pub(crate) fn change(&self, operation: Operation, outcome: Outcome, decision: Decision) {
        let labels = ChangeLabels {
            operation: operation.name(),
            outcome: outcome.name(),
            decision: decision.name(),
        };
        self.changes.get_or_create(&labels).inc();
    }

    /// Counts a 401 or 429 of the gateway's own.
    pub(crate) fn refusal(&self, status: u16, subject: &str) {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = subjects.contains(subject)
            || (subjects.len() < SUBJECTS_MAX && subjects.insert(subject.to_owned()));
        drop(subjects);
        let subject = if apart { subject } else { "other" }.to_owned();
        self.refusals.get_or_create(&RefusalLabels { status, subject }).inc();
    }

    /// Notes how long a governed call took.
    pub(crate) fn exchange_took(&self, time: Duration) {
        self.exchange_seconds.observe(time.as_secs_f64());
    }

    /// Counts a client's connection as open until the guard is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Counts a connection that was closed for being one too many of its address.
    pub(crate) fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Counts a rule that was found broken after a change, though that was not predicted.
    pub(crate) fn after_violation(&self, rule: &str) {
        self.after_violations.get_or_create(&RuleLabels { rule: rule.to_owned() }).inc();
    }

    /// Counts a reading of the configuration.
    pub(crate) fn reload(&self, succeeded: bool) {
        let result = if succeeded { "ok" } else { "error" };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Everything counted, in the `OpenMetrics` text format that Prometheus reads.
    #[must_use]
    pub fn encode(&self, audit: &Audit) -> String {
        let counters = audit.counters();
        for (counter, count) in [
            (&self.log.commits, counters.commits),
            (&self.log.rows, counters.rows),
            (&self.log.events_dropped, counters.events_dropped),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
        for (gauge, count) in [
            (&self.log.waiting, counters.commands_waiting as u64),
            (&self.log.open, counters.changes_open as u64),
            (&self.log.writable, u64::from(audit.health() == Health::Writable)),
        ] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.text()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_bounded_labels() {
        let metrics = Metrics::new();
        metrics.request(CallClass::Governed, true, StatusCode::OK);
        metrics.change(Operation::Update, Outcome::Applied, Decision::Allow);
        for n in 0..2_000 {
            metrics.refusal(429, &format!("pat_{n}"));
        }
        let text = metrics.text();
        assert!(text.contains(
            "changegate_requests_total{class=\"governed\",kind=\"write\",status=\"2xx\"} 1"
        ));
        assert!(text.contains("outcome=\"applied\""));
        assert!(text.contains("changegate_refusals_total{status=\"429\",subject=\"other\"} 1000"));
    }
}
