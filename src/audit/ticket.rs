//! Records of changes: written whole, or opened, with a ticket for the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::call_facts::CallFacts;
use super::entry::{CompletionRow, Entry, Former, IntentRow, Written};
use super::intent::{Completion, Intent};
use super::lease::Fence;
use super::queue::Queued;
use super::record::Outcome;
use super::redact::Redactor;
use super::store::StoreError;
use super::{Audit, Congestion, Unavailable};
use crate::base::ids::ChangeId;
use crate::deployment::key::DeploymentKey;
use crate::offload;

/// An open record: its intent is durable, and a place for its completion is reserved. It must be
/// finished; where it is dropped instead (a panic), its outcome is `unknown`.
#[must_use = "an open record must be finished"]
#[derive(Debug)]
pub struct Ticket {
    audit: Audit,
    redactor: Arc<Redactor>,
    asked: CallFacts,
    change: ChangeId,
    deployment: Option<DeploymentKey>,
    /// The turn that it was opened within.
    fence: Option<Fence>,
    /// How long its bodies are, in bytes.
    bytes: usize,
    /// The beginning of the change.
    former: Former,
    /// Where the completion goes; none once it has gone.
    place: Option<mpsc::OwnedPermit<Queued>>,
    /// How the change ends where nobody finishes it. Until the caller has this ticket nothing is
    /// forwarded, even where the intent has reached the disk unnoticed.
    if_dropped: Outcome,
}

/// How finishing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The completion is durable.
    Durable,
    /// It could not be written in time; it stays queued and is retried until the store is back.
    Deferred,
}

impl Audit {
    /// Makes the record of a call that ended without being forwarded durable, whole.
    pub async fn record(
        &self,
        intent: Intent,
        mut end: Completion,
    ) -> Result<ChangeId, Unavailable> {
        let (change, asked) = (intent.id, CallFacts::by(&intent));
        let redactor = self.redactor_of(&intent);
        let (bytes, shared) = (intent.bytes, Arc::clone(&self.shared));
        let made = offload::run(bytes, move || {
            let denial = intent.policy.denial(&intent.violations);
            let (opening, former) = IntentRow::of(intent, &redactor, &shared.latest)?;
            // What a denial quotes is concealed as it is in its violations.
            if let Some(message) = end.reason.as_mut().and_then(|reason| reason.message.as_mut())
                && let Some(rest) = message.strip_prefix(&denial)
            {
                let denial = opening.intent.policy.denial(&opening.intent.violations);
                *message = format!("{denial}{rest}");
            }
            let ending = CompletionRow::of(change, end, &redactor, &asked, &former);
            Ok::<_, io::Error>(Entry::Whole(Box::new(opening), Box::new(ending)))
        });
        self.submit(made.await?).await?;
        Ok(change)
    }

    /// Makes an intent durable. Nothing that may change a deployment is forwarded before.
    pub async fn open(&self, intent: Intent) -> Result<Ticket, Unavailable> {
        let place = self.shared.queues.endings.clone().try_reserve_owned();
        let place = place.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Congestion::TooManyOpen,
            mpsc::error::TrySendError::Closed(_) => Congestion::Closed,
        })?;
        let (change, asked) = (intent.id, CallFacts::by(&intent));
        let (deployment, fence) = (intent.deployment(), intent.fence.clone());
        let redactor = Arc::new(self.redactor_of(&intent));
        let (bytes, shared, by) = (intent.bytes, Arc::clone(&self.shared), Arc::clone(&redactor));
        let made = offload::run(bytes, move || IntentRow::of(intent, &by, &shared.latest));
        let (opening, former) = made.await?;
        let mut ticket = Ticket {
            audit: self.clone(),
            redactor,
            asked,
            change,
            deployment,
            fence,
            bytes,
            former,
            place: Some(place),
            if_dropped: Outcome::Failed,
        };
        let written = self.submit(Entry::Intent(Box::new(opening))).await;
        // Of what was refused nothing is there that could be ended.
        if written.as_ref().is_err_and(|unavailable| unavailable.is_refused) {
            ticket.place = None;
        }
        let written = written?;
        ticket.if_dropped = Outcome::Unknown;
        if let Some(before) = &mut ticket.former.before {
            before.stored = written.before;
        }
        Ok(ticket)
    }
}

impl Ticket {
    /// The change's id.
    #[must_use]
    pub fn change(&self) -> ChangeId {
        self.change
    }

    /// Whether the change may be sent: no other gateway can have been given the turn that it was
    /// opened within.
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        let now = self.audit.shared.clock.instant();
        self.fence.as_ref().is_none_or(|fence| fence.lease.is_trusted(now))
    }

    /// Makes the completion durable, waiting at most `wait` for it.
    pub async fn finish(mut self, completion: Completion, wait: Duration) -> Finished {
        let created = completion.deployment_id.clone();
        let (change, asked) = (self.change, self.asked.clone());
        let former = std::mem::take(&mut self.former);
        let by = Arc::clone(&self.redactor);
        let made = move || CompletionRow::of(change, completion, &by, &asked, &former);
        let ending = offload::run(self.bytes, made).await;
        let created = created.map(|id| DeploymentKey::new(&self.asked.upstream, id));
        self.deployment = self.deployment.take().or(created);
        let Some(answered) = self.hand_in(ending) else { return Finished::Deferred };
        match timeout(wait, answered).await {
            Ok(Ok(Ok(_written))) => Finished::Durable,
            _not_yet_written => Finished::Deferred,
        }
    }

    /// Gives the end to the writer, which then never loses it but with the process.
    fn hand_in(
        &mut self,
        mut ending: CompletionRow,
    ) -> Option<oneshot::Receiver<Result<Written, StoreError>>> {
        let place = self.place.take()?;
        ending.deployment = self.deployment.as_ref().map(|deployment| {
            let id = self.redactor.scrub(&deployment.id);
            DeploymentKey::new(&deployment.upstream, id)
        });
        ending.fence.clone_from(&self.fence);
        if let (Outcome::Unknown, Some(deployment)) = (ending.completion.outcome, &self.deployment)
        {
            let shared = &self.audit.shared;
            shared.unsettled.add(deployment, 1, shared.clock.instant());
        }
        let (answer, answered) = oneshot::channel();
        place.send(Queued { entry: Entry::Completion(Box::new(ending)), answer: Some(answer) });
        Some(answered)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.place.is_some() {
            if self.if_dropped == Outcome::Unknown {
                tracing::error!(change = %self.change, "a change was not finished: it is unclear");
            }
            let now = self.audit.shared.clock.now();
            let _nobody_waits =
                self.hand_in(CompletionRow::bare(self.change, self.if_dropped, now));
        }
    }
}
