//! Unclear ends made clear: a later snapshot tells whether a change was applied.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::entry::Entry;
use super::query::Reader;
use super::question::Unclear;
use super::record::{Event, EventKind, Settlement};
use super::redact::{Redacted, Redactor};
use super::store::Boxed;
use super::unsettled::{DEPLOYMENTS_MAX, Unsettled};
use super::{Audit, Unavailable};
use crate::base::ids::ChangeId;
use crate::base::key::DigestScope;
use crate::deployment::diff::{self, Applied};
use crate::deployment::key::DeploymentKey;
use crate::deployment::patch::Patch;
use crate::deployment::predict::predict;
use crate::offload::{self, OFFLOADED_BYTES_MIN};
use crate::provider::Provider;

/// How long upstream may still be at work on a change whose answer nobody waits for any more:
/// twice as long as the gateway itself waits for one. What is not done until then says nothing.
const AT_WORK_MAX: Duration = Duration::from_mins(2);

/// A look at a deployment that tells of its unclear changes.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The change whose snapshot it is.
    pub by: ChangeId,
    /// Whether upstream is surely done with that change: what it has not done, it never will.
    pub is_over: bool,
}

impl Audit {
    /// Settles what is unsettled of that deployment by a snapshot of it. Costs nothing where
    /// there is nothing to settle. The deployment's turn must be held meanwhile.
    pub async fn settle(&self, deployment: &DeploymentKey, snapshot: &Value, look: Look) {
        if self.shared.unsettled.may_have(deployment) {
            self.settle_as(deployment, snapshot, look, told).await;
        }
    }

    /// Settles as `told` tells of each unclear change, given it and the redacted snapshot.
    pub(super) async fn settle_as(
        &self,
        deployment: &DeploymentKey,
        snapshot: &Value,
        look: Look,
        told: impl Fn(&Unclear, &Value) -> Applied + Send + 'static,
    ) {
        let scope = DigestScope::Deployment(deployment.id.as_str().into());
        let redactor = self.shared.redaction.load().within(scope);
        let stored = redactor.deployment_id(&deployment.id);
        let stored = DeploymentKey::new(&deployment.upstream, stored);
        let unclear = match self.shared.reader.unclear(&stored).await {
            Ok(unclear) => unclear,
            Err(error) => {
                let deployment = &*stored.id;
                return tracing::warn!(deployment, error, "can't tell what is unsettled");
            }
        };
        let snapshot = snapshot.clone();
        // Rare, and as long as it may be: never on a worker.
        let compared =
            offload::run(OFFLOADED_BYTES_MIN, move || compare(unclear, snapshot, &redactor, told));
        for (change, applied) in compared.await {
            if applied != Some(true) && self.may_be_at_work(deployment, &change, look) {
                continue;
            }
            if let Err(error) = self.settle_one(&change, applied, look.by).await {
                return tracing::warn!(change = %change.id, ?error, "a change stays unsettled");
            }
            self.shared.unsettled.settled(deployment, 1);
        }
    }

    /// Whether a later snapshot may tell more of a change than this one: upstream may be slow. What
    /// another change has overtaken since is told by none.
    fn may_be_at_work(&self, deployment: &DeploymentKey, change: &Unclear, look: Look) -> bool {
        let is_over = change.id == look.by && look.is_over;
        let since = self.shared.unsettled.since(deployment);
        let is_young = self.shared.clock.instant().saturating_duration_since(since) < AT_WORK_MAX;
        is_young && !is_over && !change.overtaken
    }

    async fn settle_one(
        &self,
        change: &Unclear,
        applied: Applied,
        by: ChangeId,
    ) -> Result<(), Unavailable> {
        let by = if by == change.id { "answer".to_owned() } else { by.to_string() };
        let at = self.shared.clock.now();
        let settlement = Settlement { by: by.clone(), at, applied };
        self.submit(Entry::Settling(change.seq, settlement)).await?;
        self.note(Event {
            at,
            kind: EventKind::Settlement,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({"change": change.id, "applied": applied, "by": by}),
        });
        Ok(())
    }
}

/// Holds a snapshot against each unclear change, both without their secrets.
fn compare(
    unclear: Vec<Unclear>,
    mut snapshot: Value,
    redactor: &Redactor,
    told: impl Fn(&Unclear, &Value) -> Applied,
) -> Vec<(Unclear, Applied)> {
    redactor.conceal(&mut snapshot, "", &mut Redacted::default());
    let compare = |mut change: Unclear| {
        let mut shown = snapshot.clone();
        if let Some(patch) = &change.patch {
            let before = change.before.as_mut();
            before.into_iter().chain([&mut shown]).for_each(|shown| {
                redactor.conceal_alike(patch, shown);
            });
        }
        let applied = told(&change, &shown);
        (change, applied)
    };
    unclear.into_iter().map(compare).collect()
}

/// The unclear changes that the log holds at a start.
pub(super) async fn unsettled(reader: &Reader, now: Instant) -> Result<Unsettled, Boxed> {
    let unsettled = Unsettled::at_start(now);
    let limit = i64::try_from(DEPLOYMENTS_MAX).unwrap_or(i64::MAX);
    for (deployment, changes) in reader.unsettled(limit.saturating_add(1)).await? {
        let changes = usize::try_from(changes).unwrap_or(usize::MAX);
        unsettled.add(&deployment, changes, now);
    }
    Ok(unsettled)
}

/// The word of a snapshot on a change, both without their secrets.
fn told(change: &Unclear, snapshot: &Value) -> Applied {
    if change.overtaken {
        return None;
    }
    let provider = Provider::named(&change.provider)?;
    let object = change.patch.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let before = change.before.as_ref();
    let patch = Patch { object };
    let prediction = predict(provider, change.operation, change.omitted, before, &patch);
    diff::settle(provider, change.operation, before, &prediction, snapshot)
}
