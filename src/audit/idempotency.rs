//! The `Idempotency-Key`s in force: of all calls with one key, one is carried out.
//!
//! A key is written with the intent of its call, in one transaction, and the tables take it once:
//! whatever is killed, and whoever else writes the log, no second call is forwarded under it.

use std::time::Duration;

use tokio::time::timeout;

use super::record::{Change, Outcome};
use super::{ANSWER_WAIT, Audit, Congestion, Unavailable};
use crate::base::clock::Timestamp;

/// How long a key is in force, from the head of the call that brought it first.
pub const IN_FORCE: Duration = Duration::from_hours(24);

/// The statuses by which upstream says that nothing was done, and that the same call may go well
/// later: they leave the key unused. The tables say so again.
const AGAIN: [u16; 5] = [401, 408, 409, 425, 429];

/// The key of a call, in keyed digests that tell neither the key nor what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Names the key among those of its actor, method, route and deployment.
    pub digest: [u8; 16],
    /// Names what was asked with it: two calls that ask the same have the same.
    pub request: [u8; 16],
}

/// The call that was forwarded under a key in force.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlierCall {
    /// As in [`IdempotencyKey`].
    pub request: [u8; 16],
    /// Its change, without bodies.
    pub change: Change,
}

/// Whether the key of a call with this end, and this answer of upstream's, stays in force: it does
/// not where it is sure that nothing was done, and that trying again is right.
#[must_use]
pub fn stays_in_force(outcome: Outcome, status: Option<u16>) -> bool {
    match outcome {
        Outcome::Failed => false,
        Outcome::Rejected => !status.is_some_and(|status| AGAIN.contains(&status)),
        _ => true,
    }
}

impl Audit {
    /// The call that was forwarded under the key of this digest, where the key is in force `now`.
    pub async fn earlier_call(
        &self,
        digest: [u8; 16],
        now: Timestamp,
    ) -> Result<Option<EarlierCall>, Unavailable> {
        let asked = timeout(ANSWER_WAIT, self.shared.reader.earlier_call(digest, now));
        let found = asked.await.map_err(|_elapsed| Congestion::Late)?;
        found.map_err(|source| Unavailable { source: Some(source), is_refused: false })
    }
}
