//! What all sinks of a gateway go by.

use std::sync::Arc;

use crate::audit::Audit;
use crate::audit::sinks::SinkHolder;
use crate::base::clock::Clock;
use crate::telemetry::Metrics;

/// The parts that all sinks share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) audit: Audit,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) holder: SinkHolder,
    pub(super) node: Arc<str>,
}
