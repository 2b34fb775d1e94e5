//! Counts of rare events: calls whose `Idempotency-Key` was used before, and changes made around
//! the gateway.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The answer to such a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepeatAnswer {
    /// That of the first call.
    Replayed,
    /// That the first call is on its way.
    Running,
    /// The end of the first call.
    Ended,
    /// That the first call asked something else.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepeatLabels {
    answer: &'static str,
}

/// Such calls, by their answers, and changes made around the gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeats(Family<RepeatLabels, Counter>, Counter);

impl RepeatAnswer {
    const ALL: [Self; 4] = [Self::Replayed, Self::Running, Self::Ended, Self::Other];

    /// The name that metrics and log lines use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Other => "other_request",
        }
    }
}

impl Repeats {
    /// None counted yet, each there from the start.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let repeats = Self::default();
        for answer in RepeatAnswer::ALL {
            repeats.0.get_or_create_owned(&RepeatLabels { answer: answer.name() });
        }
        let help = "Governed calls whose Idempotency-Key was used before";
        registry.register("repeats", help, repeats.0.clone());
        let help = "Changes made around the gateway that a governed call has found";
        registry.register("drifts", help, repeats.1.clone());
        repeats
    }

    /// Counts a change made around the gateway.
    pub(crate) fn drifted(&self) {
        self.1.inc();
    }

    /// Counts one.
    pub(crate) fn count(&self, answer: RepeatAnswer) {
        self.0.get_or_create(&RepeatLabels { answer: answer.name() }).inc();
    }
}
