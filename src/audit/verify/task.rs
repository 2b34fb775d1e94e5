//! The task that verifies the log once a day, beside the gateway.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Pace, Terms, Verified, VerifyError};
use crate::audit::Audit;
use crate::audit::query::QueryError;
use crate::audit::record::{Event, EventKind};
use crate::base::clock::Timestamp;
use crate::base::ids::random;

/// How old the newest verification may be, whichever gateway of the log made it.
const EVERY: Duration = Duration::from_hours(24);

/// How long after a start one begins that is due: a start has enough to do.
const AFTER_START: Duration = Duration::from_mins(10);

/// Where several gateways share a log, each waits for up to so long more, so that mostly one
/// verifies: the one that is first. Two that do it at once do no harm.
const SPREAD: Duration = Duration::from_mins(50);

/// How long it is waited after a fault.
const AFTER_FAULT: Duration = Duration::from_hours(1);

/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many findings an event names.
const NAMED_MAX: usize = 10;

/// The newest verification that is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastVerification {
    /// When it ended.
    pub at: Timestamp,
    /// How many leaves it looked at.
    pub leaves: u64,
    /// How many findings there were.
    pub found: u64,
}

/// The newest verification, as far as this process knows.
#[derive(Debug, Default)]
pub(in crate::audit) struct VerificationFigures(Mutex<Option<LastVerification>>);

impl VerificationFigures {
    pub(in crate::audit) fn last(&self) -> Option<LastVerification> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, last: LastVerification) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// The task itself.
#[derive(Debug)]
pub struct Verifying {
    audit: Audit,
    /// From when on the next one may be due.
    next: Timestamp,
}

impl Audit {
    /// The task that is to run beside the log.
    #[must_use]
    pub fn verifying(&self) -> Verifying {
        let next = self.shared.clock.now().plus(AFTER_START);
        let mut verifying = Verifying { audit: self.clone(), next };
        verifying.next = next.plus(verifying.spread());
        verifying
    }

    /// The newest verification, as far as this gateway knows.
    #[must_use]
    pub fn last_verification(&self) -> Option<LastVerification> {
        self.shared.verification.last()
    }
}

impl Verifying {
    /// Verifies once a day until `stop` is cancelled; `newest` gives the newest checkpoint that is
    /// remembered beside the key, with the name that findings call it by.
    pub async fn run(
        mut self,
        newest: impl Fn() -> Option<(String, String)>,
        stop: CancellationToken,
    ) {
        if let Err(error) = self.learn().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "no verification is known");
        }
        loop {
            if stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
            if self.audit.shared.clock.now() < self.next {
                continue;
            }
            match stop.run_until_cancelled(self.work(newest())).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.next = self.audit.shared.clock.now().plus(AFTER_FAULT);
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the log can't be verified: it is tried again in 1 h");
                }
            }
        }
    }

    /// Verifies where no gateway of the log has done so for a day.
    async fn work(&mut self, newest: Option<(String, String)>) -> Result<(), VerifyError> {
        self.learn().await?;
        let audit = &self.audit;
        let now = audit.shared.clock.now();
        let due = audit.last_verification().map_or(now, |last| last.at.plus(EVERY));
        if due > now {
            self.next = due.plus(self.spread());
            return Ok(());
        }
        let checkpoints = newest.into_iter().collect();
        let terms = Terms { checkpoints, pace: Pace::Beside, ..Terms::default() };
        let verified = audit.reader().verify(&terms, |_done, _all| {}).await?;
        let at = audit.shared.clock.now();
        tell(&verified);
        audit.note(event(&verified, at));
        let Verified { leaves, found, .. } = verified;
        audit.shared.verification.note(LastVerification { at, leaves, found });
        self.next = at.plus(EVERY + self.spread());
        Ok(())
    }

    /// How much longer this gateway waits than another one may.
    fn spread(&self) -> Duration {
        if self.audit.reader().is_shared() { part_of(SPREAD) } else { Duration::ZERO }
    }

    /// Takes note of the newest verification on record.
    async fn learn(&self) -> Result<(), QueryError> {
        let reader = self.audit.reader();
        let newest = reader.reads().newest_verification().await.map_err(QueryError::Store)?;
        let Some(word) = newest else { return Ok(()) };
        let detail: Value = serde_json::from_str(&word.detail).unwrap_or_default();
        let number = |name: &str| detail.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (leaves, found) = (number("leaves"), number("found"));
        let newer = LastVerification { at: word.at, leaves, found };
        if self.audit.last_verification().is_none_or(|last| last.at < newer.at) {
            self.audit.shared.verification.note(newer);
        }
        Ok(())
    }
}

fn tell(verified: &Verified) {
    let leaves = verified.leaves;
    match verified.findings.first() {
        None => tracing::info!(leaves, "the log was verified: it is sound"),
        Some(first) => tracing::error!(
            leaves,
            findings = verified.found,
            first = %first,
            "the log is not what it was: `changegate audit verify` tells everything that is found"
        ),
    }
}

fn event(verified: &Verified, at: Timestamp) -> Event {
    let named = verified.findings.iter().take(NAMED_MAX).map(ToString::to_string);
    let detail = json!({
        "leaves": verified.leaves,
        "found": verified.found,
        "pruned": verified.pruned,
        "signed": verified.signed,
        "findings": named.collect::<Vec<_>>(),
    });
    let (actor, client_ip, request_id) = (None, None, None);
    Event { at, kind: EventKind::Verification, actor, client_ip, request_id, detail }
}

/// A part of a length of time, another one in each process.
fn part_of(whole: Duration) -> Duration {
    let [byte] = random::<1>();
    whole * u32::from(byte) / 256
}
