//! Everything that is counted.

mod approvals;
mod repeats;
mod sinks;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::approvals::ApprovalFigures;
pub(crate) use self::repeats::RepeatAnswer;
use self::repeats::Repeats;
use self::sinks::SinkFigures;
use super::log_figures::LogFigures;
use super::rule_figures::RuleFigures;
use super::sink;
use crate::audit::Audit;
use crate::audit::record::Outcome;
use crate::base::clock::Timestamp;
use crate::policy::outcome::RuleOutcome;
use crate::policy::{Decision, Policy};
use crate::provider::Operation;

/// The most callers whose refusals are counted apart; the rest are counted together.
const SUBJECTS_MAX: usize = 1_000;

/// Upper bounds, in seconds, of a governed call's duration.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The class of a call, by what became of it at the gateway's door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallClass {
    Governed,
    Passthrough,
    Refused,
    /// A browser's question whether a page may call.
    Preflight,
}

/// Everything that is counted. Labels are bounded: none of them is a client's text.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// By class, kind of method, and class of status; resolved once, so that a call costs one
    /// addition.
    requests: [[[Counter; 5]; 2]; 4],
    changes: Family<ChangeLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    subjects: Mutex<HashSet<String>>,
    exchange_seconds: Histogram,
    connections: Gauge,
    connections_refused: Counter,
    reloads: Family<ReloadLabels, Counter>,
    last_reload_successful: Gauge,
    rate_limit_away: Gauge,
    rules: RuleFigures,
    pub(crate) repeats: Repeats,
    pub(crate) approvals: ApprovalFigures,
    pub(crate) sinks: SinkFigures,
    log: LogFigures,
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
struct BuildLabels {
    version: &'static str,
}

/// The subject of callers beyond [`SUBJECTS_MAX`].
const OTHERS: &str = "other";

const RESULTS: [&str; 2] = ["ok", "error"];
const CLASSES: [&str; 4] = ["governed", "passthrough", "refused", "preflight"];
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
    /// Nothing counted yet, by a gateway that starts `now`. What is counted by names that are
    /// known beforehand is there from the start, at 0: a rise from nothing at all is seen by no
    /// alert.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut all = Registry::default();
        register_start(&mut all, now);
        let registry = all.sub_registry_with_prefix("changegate");
        let requests = Family::<RequestLabels, Counter>::default();
        let changes = changes_at_zero();
        let refusals = refusals_at_zero();
        let exchange_seconds = Histogram::new(SECONDS);
        let connections = Gauge::default();
        let connections_refused = Counter::default();
        let reloads = Family::default();
        for result in RESULTS {
            reloads.get_or_create_owned(&ReloadLabels { result });
        }
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
        let last_reload_successful = Gauge::default();
        last_reload_successful.set(1);
        registry.register(
            "config_last_reload_successful",
            "1 where the configuration on disk is in force, 0 where it was refused",
            last_reload_successful.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Log lines that could not be written, or for which there was no room",
            sink::dropped(),
        );
        let rate_limit_away = rate_limit_away(registry);
        let rules = RuleFigures::registered(registry);
        let repeats = Repeats::registered(registry);
        let approvals = ApprovalFigures::registered(registry);
        let sinks = SinkFigures::registered(registry);
        let log = LogFigures::registered(registry);
        let resolved = CLASSES.map(|class| {
            let owned =
                |kind, status| requests.get_or_create_owned(&RequestLabels { class, kind, status });
            KINDS.map(|kind| STATUSES.map(|status| owned(kind, status)))
        });
        Self {
            registry: all,
            requests: resolved,
            changes,
            refusals,
            subjects: Mutex::default(),
            exchange_seconds,
            connections,
            connections_refused,
            reloads,
            last_reload_successful,
            rate_limit_away,
            rules,
            repeats,
            approvals,
            sinks,
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
        self.changes.get_or_create(&ChangeLabels::of(operation, outcome, decision)).inc();
    }

    /// Counts a 401 or 429 of the gateway's own.
    pub(crate) fn refusal(&self, status: u16, subject: &str) {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = subjects.contains(subject)
            || (subjects.len() < SUBJECTS_MAX && subjects.insert(subject.to_owned()));
        drop(subjects);
        let subject = if apart { subject } else { OTHERS }.to_owned();
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

    /// Counts the rules of this policy from now on.
    pub(crate) fn put_in_force(&self, policy: &Policy) {
        self.rules.put_in_force(policy);
    }

    /// Counts the outcome of each rule of `policy` on one call.
    pub(crate) fn rules(&self, policy: &Policy, outcomes: &[RuleOutcome]) {
        self.rules.count(policy, outcomes);
    }

    /// Counts a rule that was found broken after a change, though that was not predicted.
    pub(crate) fn after_violation(&self, rule: &str) {
        self.rules.count_after_violation(rule);
    }

    /// Counts a reading of the configuration.
    pub(crate) fn reload(&self, succeeded: bool) {
        let [ok, error] = RESULTS;
        let result = if succeeded { ok } else { error };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
        self.last_reload_successful.set(i64::from(succeeded));
    }

    /// Everything counted, in the `OpenMetrics` text format, while the limits that gateways share
    /// are there or not.
    #[must_use]
    pub fn encode(&self, audit: &Audit, limits_are_away: bool) -> String {
        self.rate_limit_away.set(i64::from(limits_are_away));
        self.log.copy(audit);
        self.text()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The gauge of the limits that gateways share.
fn rate_limit_away(registry: &mut Registry) -> Gauge {
    let gauge = Gauge::default();
    let help = "1 where rate_limit.backend does not answer, so that limits are not shared, else 0";
    registry.register("rate_limit_away", help, gauge.clone());
    gauge
}

/// When the gateway started, under the name that every program has for it, and which version it is.
fn register_start(registry: &mut Registry, now: Timestamp) {
    let started = Gauge::<f64, AtomicU64>::default();
    started.set(Duration::from_millis(now.millis().unsigned_abs()).as_secs_f64());
    let help = "When the gateway started, in seconds since the Unix epoch";
    registry.register("process_start_time_seconds", help, started);
    let build = Family::<BuildLabels, Gauge>::default();
    build.get_or_create_owned(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("changegate_build_info", "1, and which version this is", build);
}

fn changes_at_zero() -> Family<ChangeLabels, Counter> {
    let changes = Family::default();
    for operation in Operation::ALL {
        for outcome in Outcome::ENDS {
            for decision in Decision::ALL {
                let labels = ChangeLabels::of(operation, outcome, decision);
                changes.get_or_create_owned(&labels);
            }
        }
    }
    changes
}

/// Callers have no names beforehand; those beyond the bound have.
fn refusals_at_zero() -> Family<RefusalLabels, Counter> {
    let refusals = Family::default();
    for status in [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        let labels = RefusalLabels { status: status.as_u16(), subject: OTHERS.to_owned() };
        refusals.get_or_create_owned(&labels);
    }
    refusals
}

impl ChangeLabels {
    fn of(operation: Operation, outcome: Outcome, decision: Decision) -> Self {
        let (operation, outcome) = (operation.name(), outcome.name());
        Self { operation, outcome, decision: decision.name() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_bounded_labels() {
        let metrics = Metrics::new(Timestamp::from_millis(1_800_000_000_500));
        metrics.request(CallClass::Governed, true, StatusCode::OK);
        metrics.change(Operation::Update, Outcome::Applied, Decision::Allow);
        for n in 0..2_000 {
            metrics.refusal(429, &format!("pat_{n}"));
        }
        let text = metrics.text();
        assert!(text.contains(
            "changegate_requests_total{class=\"governed\",kind=\"write\",status=\"2xx\"} 1"
        ));
        assert!(text.contains("outcome=\"applied\",decision=\"allow\"} 1\n"));
        assert!(text.contains("changegate_refusals_total{status=\"429\",subject=\"other\"} 1000"));
        assert!(text.contains("process_start_time_seconds 1800000000.5\n"), "{text}");
    }

    #[test]
    fn what_can_be_named_beforehand_is_there_at_zero() {
        let text = Metrics::new(Timestamp::from_millis(0)).text();
        let changes = text.lines().filter(|line| line.starts_with("changegate_changes_total{"));
        assert_eq!(changes.filter(|line| line.ends_with("} 0")).count(), 6 * 6 * 4);
        for series in [
            "changegate_requests_total{class=\"governed\",kind=\"write\",status=\"5xx\"} 0",
            "changegate_reloads_total{result=\"error\"} 0",
            "changegate_refusals_total{status=\"429\",subject=\"other\"} 0",
            "changegate_connections_refused_total 0",
            "changegate_audit_left_open 0",
        ] {
            assert!(text.contains(&format!("{series}\n")), "{series}");
        }
        assert!(text.contains(concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")));
    }
}
