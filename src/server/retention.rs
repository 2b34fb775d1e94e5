//! The task that prunes what the configuration in force does not keep.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::tasks::Vital;
use crate::audit::retention::{HoldSubject, Retention};
use crate::config::ConfiguredHold;
use crate::gateway::Gateway;

/// The retention of the configuration in force, in the words of the log.
pub(super) fn kept(gateway: &Gateway) -> Retention {
    let live = gateway.live();
    let (config, sinks) = (&live.config.retention, &live.config.sinks);
    let subject = |hold: &ConfiguredHold| match hold.clone() {
        ConfiguredHold::Deployment(id) => HoldSubject::Deployment(id),
        ConfiguredHold::Actor(name) => HoldSubject::Actor(name),
        ConfiguredHold::Team(name) => HoldSubject::Team(name),
    };
    Retention {
        max_age: config.max_age,
        max_changes: config.max_changes,
        holds: config.holds.iter().map(subject).collect(),
        sinks: sinks.iter().map(|sink| sink.name.to_string()).collect(),
    }
}

/// Starts the task among the server's chores.
pub(super) fn start(
    gateway: &Arc<Gateway>,
    chores: &mut JoinSet<()>,
    vital: &Vital,
    stop: CancellationToken,
) {
    let (gateway, pruning) = (Arc::clone(gateway), gateway.audit.pruning());
    let running = vital.running("the task that prunes old records");
    chores.spawn(async move {
        let _running = running;
        pruning.run(|| kept(&gateway), stop).await;
    });
}
