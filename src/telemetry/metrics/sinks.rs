//! What sinks have been sent.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counts of each sink, by its name in the configuration.
#[derive(Debug, Default)]
pub(crate) struct SinkFigures {
    lag: Family<SinkLabels, Gauge>,
    sent: Family<SinkLabels, Counter>,
    failures: Family<SinkLabels, Counter>,
    dead: Family<SinkLabels, Counter>,
    pruned: Family<SinkLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
}

impl SinkFigures {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let figures = Self::default();
        let help = "Finished records that the sink is still to be sent, or passes over";
        registry.register("sink_lag_positions", help, figures.lag.clone());
        registry.register("sink_sent", "Records that the sink took", figures.sent.clone());
        registry.register("sink_failures", "Attempts that failed", figures.failures.clone());
        let help = "Records that the sink refused for themselves, or that were gone";
        registry.register("sink_dead_letters", help, figures.dead.clone());
        let help = "Records that were pruned before the sink came to them";
        registry.register("sink_pruned", help, figures.pruned.clone());
        figures
    }

    /// Has the counts of a sink be there, at 0.
    pub(crate) fn begin(&self, sink: &str) {
        for counts in [&self.sent, &self.failures, &self.dead, &self.pruned] {
            counts.get_or_create_owned(&SinkLabels::of(sink));
        }
        self.lag(sink, 0);
    }

    /// Forgets a sink that is not configured any more.
    pub(crate) fn end(&self, sink: &str) {
        let labels = SinkLabels::of(sink);
        for counts in [&self.sent, &self.failures, &self.dead, &self.pruned] {
            counts.remove(&labels);
        }
        self.lag.remove(&labels);
    }

    /// Counts records that the sink took.
    pub(crate) fn sent(&self, sink: &str, count: u64) {
        self.sent.get_or_create(&SinkLabels::of(sink)).inc_by(count);
    }

    /// Counts an attempt that failed.
    pub(crate) fn failed(&self, sink: &str) {
        self.failures.get_or_create(&SinkLabels::of(sink)).inc();
    }

    /// Counts a record that was passed over.
    pub(crate) fn dead(&self, sink: &str) {
        self.dead.get_or_create(&SinkLabels::of(sink)).inc();
    }

    /// Counts records that were pruned before the sink came to them.
    pub(crate) fn pruned(&self, sink: &str, count: u64) {
        self.pruned.get_or_create(&SinkLabels::of(sink)).inc_by(count);
    }

    /// Tells how many records lie before the sink.
    pub(crate) fn lag(&self, sink: &str, positions: u64) {
        let positions = i64::try_from(positions).unwrap_or(i64::MAX);
        self.lag.get_or_create(&SinkLabels::of(sink)).set(positions);
    }
}

impl SinkLabels {
    fn of(sink: &str) -> Self {
        Self { sink: sink.to_owned() }
    }
}
