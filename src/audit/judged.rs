//! Recorded changes, judged anew.

use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::query::{QueryError, Reader, RecordedChange};
use crate::audit::record::{Bodies, Change};
use crate::base::clock::Clock;
use crate::deployment::patch::Patch;
use crate::deployment::predict::Omitted;
use crate::policy::load::load;
use crate::policy::recorded::{Recorded, Rejudged, patch_of, rejudge, restore};
use crate::policy::replay::{Moved, decisive};
use crate::policy::subject::Subject;
use crate::policy::{Decision, Policy};
use crate::provider::{Operation, Provider};

/// The most recorded policies that are kept ready.
const POLICIES_MAX: usize = 256;

/// A recorded change, ready to be judged.
pub(crate) struct ReadyChange {
    pub(crate) change: RecordedChange,
    pub(crate) provider: &'static Provider,
    patch: Patch,
    lacks_body: bool,
}

impl ReadyChange {
    /// Makes a change ready; gives it back where no policy was asked about it, or its provider
    /// is not known.
    pub(crate) fn of(mut change: RecordedChange) -> Result<Self, Box<RecordedChange>> {
        let provider = Provider::named(&change.provider);
        let (Some(provider), Some(_)) = (provider, change.decided_at) else {
            return Err(Box::new(change));
        };
        let mut body = change.patch.take();
        let lacks_before = change.before.is_none() && change.operation != Operation::Create;
        let is_unkept = change.unkept.patch.is_some() || change.unkept.before.is_some();
        let lacks_body = body.is_none() || lacks_before || is_unkept;
        if let Some(body) = &mut body {
            restore(body, change.before.as_deref(), &change.standing, &change.redacted);
        }
        Ok(Self { patch: patch_of(body), lacks_body, provider, change })
    }

    /// The same of a whole change.
    pub(crate) fn of_whole(change: Change) -> Result<Self, Box<RecordedChange>> {
        let (patch, before) = match change.bodies {
            Some(Bodies { patch, before, .. }) => (patch, before.map(Arc::new)),
            None => (None, None),
        };
        Self::of(RecordedChange {
            seq: change.seq,
            id: change.id,
            provider: change.provider,
            operation: change.operation,
            method: change.method,
            deployment_id: change.deployment_id,
            actor: change.actor,
            received_at: change.received_at,
            decided_at: change.decided_at,
            decision: change.decision,
            is_excepted: change.decision != Decision::Deny
                && (change.approval.is_some() || change.break_glass.is_some()),
            violations: change.violations,
            standing: change.standing,
            patch,
            before,
            redacted: change.redacted,
            unkept: change.unkept,
            policy_digest: change.policy_digest.into(),
        })
    }

    /// Has `judge` look at the change.
    pub(crate) fn seen<T>(&self, clock: &Clock, judge: impl FnOnce(&Recorded<'_>) -> T) -> T {
        let change = &self.change;
        let is_put = change.method.as_deref() == Some("PUT");
        let subject = Subject {
            provider: self.provider,
            operation: change.operation,
            omitted: if is_put { Omitted::Open } else { Omitted::Preserved },
            before: change.before.as_deref(),
            patch: &self.patch,
            actor: &change.actor,
            now: change.decided_at.unwrap_or(change.received_at),
            clock,
        };
        judge(&Recorded {
            subject,
            redacted: &change.redacted,
            lacks_body: self.lacks_body,
            is_plain: false,
        })
    }

    /// Judges the change by a policy.
    pub(crate) fn judged(&self, policy: &Policy, clock: &Clock) -> Rejudged {
        self.seen(clock, |recorded| rejudge(policy, recorded))
    }

    /// The change with its decisions, then and now, as `policy` makes the latter.
    pub(crate) fn moved(&self, policy: &Policy, rejudged: &Rejudged) -> Moved {
        let recorded = &self.change;
        // What somebody had approved would be denied again, until somebody approves it.
        let is_kept = recorded.is_excepted && rejudged.decision == Some(Decision::Deny);
        let new = if is_kept { Some(recorded.decision) } else { rejudged.decision };
        let is_moved = new != Some(recorded.decision);
        let fingerprint = || recorded.actor.fingerprint.to_string();
        Moved {
            seq: recorded.seq,
            id: recorded.id,
            received_at: recorded.received_at,
            deployment_id: recorded.deployment_id.clone().filter(|_| is_moved),
            actor: recorded.actor.name.clone().unwrap_or_else(fingerprint),
            old: recorded.decision,
            new,
            rules: if is_moved { decisive(policy, rejudged) } else { Vec::new() },
        }
    }

    /// The body as it is judged.
    pub(crate) fn patch(&self) -> &Patch {
        &self.patch
    }
}

/// The policies that are recorded with changes; `None` stands for one that this version can't read.
pub(crate) struct RecordedPolicies<'r> {
    reader: &'r Reader,
    known: HashMap<(Arc<str>, &'static str), Option<Arc<Policy>>>,
}

impl<'r> RecordedPolicies<'r> {
    pub(crate) fn of(reader: &'r Reader) -> Self {
        Self { reader, known: HashMap::new() }
    }

    /// The policy that a change was judged by.
    pub(crate) async fn get(
        &mut self,
        change: &ReadyChange,
    ) -> Result<Option<Arc<Policy>>, QueryError> {
        let key = (Arc::clone(&change.change.policy_digest), change.provider.name);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let text = self.reader.policy(&key.0).await?;
        let policy = text.and_then(|text| load(&text, change.provider).ok()).map(Arc::new);
        if self.known.len() >= POLICIES_MAX {
            self.known.clear();
        }
        self.known.insert(key, policy.clone());
        Ok(policy)
    }
}
