//! What became of asking witnesses.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::audit::witness::WitnessStanding;

/// The counts of each witness, by its URL without the scheme.
#[derive(Debug, Default)]
pub(super) struct WitnessFigures {
    cosigned_at: Family<WitnessLabels, Gauge>,
    failures: Family<WitnessLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabels {
    witness: String,
}

impl WitnessFigures {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let figures = Self::default();
        let help = "When the witness last signed a checkpoint of this gateway, in seconds since \
            the Unix epoch; 0 before. Its signature was held against evidence.witness_keys where \
            these are configured";
        let name = "witness_cosigned_timestamp_seconds";
        registry.register(name, help, figures.cosigned_at.clone());
        let help = "Times that the witness was asked for a signature and nothing came of it";
        registry.register("witness_failures", help, figures.failures.clone());
        figures
    }

    pub(super) fn copy(&self, witnesses: Vec<WitnessStanding>) {
        for WitnessStanding { name, cosigned, failures, .. } in witnesses {
            let labels = WitnessLabels { witness: name };
            let at = cosigned.map_or(0, |tree| tree.at.unix_seconds());
            self.cosigned_at.get_or_create_owned(&labels).set(at);
            let counter = self.failures.get_or_create_owned(&labels);
            counter.inner().store(failures, Ordering::Relaxed);
        }
    }
}
