//! Changes made around the gateway: a deployment that is not as the last change left it. Nothing of
//! this is in the way of a call: one that finds such a deployment is answered first.

use std::sync::Arc;

use serde_json::json;

use super::call::Call;
use super::context::Gateway;
use super::left::Left;
use super::shown_deployment::ShownDeployment;
use crate::audit::query::Drift;
use crate::audit::record::{Event, EventKind};
use crate::base::ids::{ChangeId, unhex};
use crate::deployment::digest::etag_bytes;
use crate::deployment::key::DeploymentKey;
use crate::offload;
use crate::provider::Provider;

/// The most memory that a deployment may take in a look beside calls: one that takes more is looked
/// at while its call still holds it.
const LOOK_BYTES_MAX: usize = 1 << 20;

/// A deployment that may have been changed around the gateway.
#[derive(Debug)]
pub(super) struct Suspicion {
    before: ShownDeployment,
    /// The digest of what the last change left, where that is known.
    left: Option<[u8; 16]>,
}

/// Compares the deployment before a call with what the last change left, as far as that costs
/// nothing: what came again byte for byte is the same.
pub(super) fn suspect(call: &Call, before: Option<&ShownDeployment>) -> Option<Suspicion> {
    let (deployment, before) = (call.deployment.as_ref()?, before?);
    let watch = &call.connection.gateway.drift;
    let left = watch.left().get(deployment).map(|left| (before.shown.is(&left.shown), left.digest));
    if let Some((true, _digest)) = left {
        return None;
    }
    let shown = before.shown.downgrade();
    watch.learn(deployment, Some(Left { shown, digest: None }));
    Some(Suspicion { before: before.clone(), left: left.and_then(|(_, digest)| digest) })
}

/// Remembers what a call that was forwarded has made of its deployment, with its entity tag.
pub(super) fn learn(call: &Call, after: Option<&ShownDeployment>, tag: Option<&str>) {
    let Some(deployment) = &call.deployment else { return };
    let digest = tag.and_then(|tag| unhex(tag.trim_matches('"')));
    let left = after.map(|after| Left { shown: after.shown.downgrade(), digest });
    call.connection.gateway.drift.learn(deployment, left);
}

/// Finds out, beside the call that was recorded by now, whether a suspicion holds.
pub(super) async fn look_into(call: &Call, suspicion: Suspicion) {
    let Some(deployment) = call.deployment.clone() else { return };
    let (provider, change) = (call.provider(), call.change);
    let gateway = Arc::clone(&call.connection.gateway);
    let is_small = suspicion.before.parsed_bytes <= LOOK_BYTES_MAX;
    let looks = Arc::clone(&gateway.drift.looks);
    let tasks = gateway.exchanges.clone();
    let look = look(gateway, provider, (deployment, change), suspicion);
    match looks.try_acquire_owned() {
        Ok(permit) if is_small => drop(tasks.spawn(async move {
            look.await;
            drop(permit);
        })),
        _ => look.await,
    }
}

async fn look(
    gateway: Arc<Gateway>,
    provider: &'static Provider,
    (deployment, change): (DeploymentKey, ChangeId),
    Suspicion { before, left }: Suspicion,
) {
    let (key, shown) = (gateway.key.clone(), before.shown.clone());
    let digest = move || etag_bytes(&key, provider, shown.value());
    let digest = offload::run(before.bytes, digest).await;
    if let Some(known) = gateway.drift.left().get_mut(&deployment)
        && before.shown.is(&known.shown)
    {
        known.digest = Some(digest);
    }
    if left == Some(digest) {
        return;
    }
    match gateway.audit.reader().drift_before(change, left.is_some()).await {
        Ok(Some(drift)) => report(&gateway, &drift),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the log does not tell of changes made around it"),
    }
}

/// An event, a count and a line for a change made around the gateway.
fn report(gateway: &Gateway, drift: &Drift) {
    gateway.metrics.repeats.drifted();
    tracing::warn!(
        change = %drift.change,
        after = %drift.after,
        places = drift.places,
        "a deployment was changed around the gateway"
    );
    gateway.audit.note(Event {
        at: gateway.clock.now(),
        kind: EventKind::Drift,
        actor: None,
        client_ip: None,
        request_id: None,
        detail: json!(drift),
    });
}
