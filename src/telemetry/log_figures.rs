//! The log's own counts, copied when the metrics are read.

mod witnesses;

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::witnesses::WitnessFigures;
use crate::audit::{Audit, Health};
use crate::base::clock::Timestamp;

/// The counts of the log.
#[derive(Debug, Default)]
pub(super) struct LogFigures {
    commits: Counter,
    rows: Counter,
    events_dropped: Counter,
    waiting: Gauge,
    open: Gauge,
    left_open: Gauge,
    writable: Gauge,
    nodes: Gauge,
    lease_seconds: Gauge,
    leaves: Gauge,
    behind: Gauge,
    checkpoint_age: Gauge,
    verified_at: Gauge,
    findings: Gauge,
    pruned_changes: Counter,
    pruned_events: Counter,
    pruned_at: Gauge,
    prune_overdue: Gauge,
    witnesses: WitnessFigures,
}

impl LogFigures {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let log = Self { witnesses: WitnessFigures::registered(registry), ..Self::default() };
        for (name, help, counter) in [
            ("audit_commits", "Transactions that the log committed", &log.commits),
            ("audit_rows", "Rows that the log committed", &log.rows),
            ("audit_events_dropped", "Events that were not kept", &log.events_dropped),
            (
                "audit_pruned_changes",
                "Old changes that this gateway has pruned",
                &log.pruned_changes,
            ),
            ("audit_pruned_events", "Old events that it has pruned", &log.pruned_events),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("audit_waiting", "Records that wait for the next transaction", &log.waiting),
            ("audit_open", "Changes begun and not finished", &log.open),
            (
                "audit_left_open",
                "Changes that the start found open after a crash, unknown since",
                &log.left_open,
            ),
            ("audit_writable", "1 where the log can be written, else 0", &log.writable),
            ("nodes", "Gateways that live and share the log, this one among them", &log.nodes),
            (
                "lease_seconds",
                "For how long changes are still sent if the lease is not renewed; 0 where the log \
                 has one gateway alone",
                &log.lease_seconds,
            ),
            ("evidence_leaves", "Records that are in the tree over the log", &log.leaves),
            (
                "evidence_behind_seconds",
                "For how long there may be finished records that are not in the tree",
                &log.behind,
            ),
            (
                "evidence_checkpoint_age_seconds",
                "How old the newest checkpoint of this gateway is; -1 where there is none",
                &log.checkpoint_age,
            ),
            (
                "evidence_verified_timestamp_seconds",
                "When the log was verified last, by any of its gateways, in seconds since the Unix \
                 epoch; 0 where that is not known",
                &log.verified_at,
            ),
            ("evidence_findings", "How many findings that verification had", &log.findings),
            (
                "audit_pruned_timestamp_seconds",
                "When this gateway last pruned anything, in seconds since the Unix epoch; 0 before",
                &log.pruned_at,
            ),
            (
                "audit_prune_overdue_seconds",
                "For how long the oldest record that can go has been due to, as far as is known",
                &log.prune_overdue,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        log
    }

    /// Copies what the log has counted.
    pub(super) fn copy(&self, audit: &Audit) {
        let (counters, gateways) = (audit.counters(), audit.gateways());
        for (counter, count) in [
            (&self.commits, counters.commits),
            (&self.rows, counters.rows),
            (&self.events_dropped, counters.events_dropped),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
        for (gauge, count) in [
            (&self.waiting, counters.commands_waiting as u64),
            (&self.open, counters.changes_open as u64),
            (&self.left_open, counters.changes_left_open),
            (&self.writable, u64::from(audit.health() == Health::Writable)),
            (&self.nodes, gateways.nodes),
            (&self.lease_seconds, gateways.lease.map_or(0, |lease| lease.seconds_left)),
        ] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let evidence = audit.evidence();
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        self.leaves.set(i64::try_from(evidence.leaves).unwrap_or(i64::MAX));
        self.behind.set(seconds(evidence.behind));
        self.checkpoint_age.set(evidence.checkpoint_age.map_or(-1, seconds));
        let verified = audit.last_verification();
        self.verified_at.set(verified.map_or(0, |last| last.at.unix_seconds()));
        let found = verified.map_or(0, |last| last.found);
        self.findings.set(i64::try_from(found).unwrap_or(i64::MAX));
        let retention = audit.retention();
        self.pruned_changes.inner().store(retention.changes, Ordering::Relaxed);
        self.pruned_events.inner().store(retention.events, Ordering::Relaxed);
        self.pruned_at.set(retention.pruned_at.map_or(0, Timestamp::unix_seconds));
        self.prune_overdue.set(seconds(retention.overdue));
        self.witnesses.copy(audit.witnesses());
    }
}
