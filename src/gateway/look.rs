//! The authenticated look at upstream that comes before anything dear is done for a call: a caller
//! who is not known is asked for, and one who has not been shown the deployment lately is shown
//! it, before the body is judged and before a place in line is taken.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::body::Received;
use super::call::{Call, Requester};
use super::forward::WholeResponse;
use super::identify::{RefusalSource, not_listed_message};
use super::known::is_of_the_message;
use super::memory::MemoryShare;
use super::refusal::Refusal;
use super::response::Reply;
use super::shown_deployment::ShownDeployment;
use super::snapshot::{self, SnapshotError};
use super::turn::{Turn, TurnWatch};

/// How old a look may be that serves as the snapshot before the change.
const FRESH_MAX: Duration = Duration::from_secs(1);

/// A look at the deployment that was taken outside its turn.
#[derive(Debug)]
pub(super) struct FirstLook {
    at: Instant,
    watch: TurnWatch,
    /// `None` where it can't serve as the snapshot before the change.
    seen: Result<Option<ShownDeployment>, Box<SnapshotError>>,
}

/// Upstream does not take the token, or was not heard: the call is counted and leaves no record.
#[derive(Debug)]
pub(super) enum NotKnown {
    /// Upstream's 401, or an answer that tells nothing of the token.
    Refused(WholeResponse),
    /// No answer, and what the client is told.
    Unheard(Refusal),
}

/// Asks upstream for a caller who is not known, or not known to see the deployment; `None` where
/// nothing needs to be asked, or where there is no deployment to look at.
pub(super) async fn introduce(call: &Call) -> Result<Option<FirstLook>, NotKnown> {
    let gateway = &call.connection.gateway;
    let token = call.caller.token_fingerprint;
    let now = call.context.instant;
    let Some(deployment) = &call.deployment else {
        // Whether a token is what it says shows by an answer.
        if call.caller.claims.is_some() || !gateway.known.is_taken(token, now) {
            ask(call.asker()).await?;
        }
        return Ok(None);
    };
    if call.caller.claims.is_none() && gateway.known.is_shown(token, deployment, now) {
        return Ok(None);
    }
    let watch = gateway.turns.watch(deployment);
    let at = gateway.clock.instant();
    let seen = snapshot::read(call, &deployment.id).await;
    match seen {
        Err(SnapshotError::Answered(answer)) if answer.status == StatusCode::UNAUTHORIZED => {
            Err(NotKnown::Refused(answer))
        }
        Err(SnapshotError::Answered(answer))
            if is_of_the_message(answer.status) && !gateway.known.is_taken(token, now) =>
        {
            Err(NotKnown::Refused(answer))
        }
        Err(SnapshotError::Failed(refusal, None)) if !gateway.known.is_taken(token, now) => {
            Err(NotKnown::Unheard(refusal))
        }
        seen => {
            // Where somebody has the turn, it will not be what stands before the change.
            let seen = seen.map(|seen| Some(seen).filter(|_| watch.may_be_followed()));
            Ok(Some(FirstLook { at, watch, seen: seen.map_err(Box::new) }))
        }
    }
}

/// Asks for the shortest list of deployments there is: any answer but 401 takes the token.
pub(super) async fn ask(asker: Requester<'_>) -> Result<(), NotKnown> {
    match snapshot::list(asker).await {
        Ok(answer)
            if answer.status == StatusCode::UNAUTHORIZED || is_of_the_message(answer.status) =>
        {
            Err(NotKnown::Refused(answer))
        }
        // Whose a service account's token is shows by a 2xx alone.
        Ok(answer) if asker.caller.claims.is_some() && !answer.status.is_success() => {
            Err(NotKnown::Refused(answer))
        }
        Ok(_taken) => Ok(()),
        Err(refusal) => Err(NotKnown::Unheard(refusal)),
    }
}

impl NotKnown {
    /// The answer to the call, which is counted by its address: nobody knows whose token it is.
    /// A fault of the call itself, as far as it was looked at, comes first.
    pub(super) fn reply(self, call: &Call, received: Received) -> Reply {
        let own = match (received, self) {
            (Received::Unread, _) => Refusal::permission(not_listed_message(&call.caller)),
            (Received::Unfit(unfit), _) => unfit.refusal,
            (Received::Whole(_), Self::Unheard(refusal)) => refusal,
            (Received::Whole(_), Self::Refused(answer)) => {
                count(call, answer.status);
                return answer.into_reply(call.ends());
            }
        };
        count(call, own.status);
        own.into_reply(&call.context.request_id, None)
    }
}

fn count(call: &Call, status: StatusCode) {
    call.connection.gateway.refuse(status, RefusalSource::Address(call.context.address.network()));
}

impl FirstLook {
    /// The look's answer, where the deployment was not shown.
    pub(super) fn seen(self) -> Result<Self, Box<SnapshotError>> {
        match self.seen {
            Ok(_) => Ok(self),
            Err(unseen) => Err(unseen),
        }
    }

    /// This look, with memory held for the deployment seen, or without it where too little is left.
    pub(super) fn within(mut self, held: &mut MemoryShare) -> Self {
        if let Ok(seen) = &mut self.seen
            && seen.as_ref().is_some_and(|seen| !held.grow(seen.bytes + seen.parsed_bytes))
        {
            *seen = None;
        }
        self
    }

    /// The deployment seen, if it is still the one before the change: nobody else has had the
    /// turn since, and only a moment has passed.
    pub(super) fn still_holds(self, turn: &Turn, now: Instant) -> Option<ShownDeployment> {
        let is_fresh = now.saturating_duration_since(self.at) < FRESH_MAX;
        self.seen.ok().flatten().filter(|_| is_fresh && turn.follows(&self.watch, self.at))
    }
}
