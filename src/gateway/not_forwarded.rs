//! A governed call that ends before anything of it is forwarded: why, and its record.

use std::cmp::Reverse;
use std::sync::Arc;

use http::StatusCode;

use super::call::{Call, CallBody, Decided};
use super::denial::Denial;
use super::forward::WholeResponse;
use super::idempotency::{NotClaimed, Repeat};
use super::identify::{Caller, RefusalSource, not_listed_message};
use super::mark::{mark, mark_approval};
use super::refusal::Refusal;
use super::response::Reply;
use super::shown_deployment::ShownDeployment;
use super::snapshot::SnapshotError;
use crate::audit::Unavailable;
use crate::audit::intent::Completion;
use crate::audit::query::QueryError;
use crate::audit::record::{Outcome, Reason, UpstreamAnswer, UpstreamCall};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::policy::evaluate::Findings;
use crate::policy::{Decision, Enforcement, Policy, Violation};

/// A call that ended before it was forwarded: the answer to its client, and its record, if any.
#[derive(Debug)]
pub(super) struct NotForwarded {
    answer: NotForwardedAnswer,
    record: Option<NotForwardedRecord>,
}

#[derive(Debug)]
enum NotForwardedAnswer {
    Own(Refusal),
    Upstream(WholeResponse),
    /// That of the first call with the same key, or what became of it.
    Repeat(Repeat),
}

#[derive(Debug)]
struct NotForwardedRecord {
    decision: Decision,
    outcome: Outcome,
    findings: Findings,
    before: Option<ShownDeployment>,
    upstream: Option<UpstreamAnswer>,
    /// The policy that has decided; `None` where none was asked.
    policy: Option<Arc<Policy>>,
    /// When it was asked.
    decided_at: Option<Timestamp>,
    /// The approval that a denied change waits for.
    denial: Option<Box<Denial>>,
}

impl NotForwarded {
    fn own(refusal: Refusal, decision: Decision, outcome: Outcome) -> Self {
        let record = NotForwardedRecord {
            decision,
            outcome,
            findings: Findings::default(),
            before: None,
            upstream: None,
            policy: None,
            decided_at: None,
            denial: None,
        };
        Self { answer: NotForwardedAnswer::Own(refusal), record: Some(record) }
    }

    fn with(mut self, change: impl FnOnce(&mut NotForwardedRecord)) -> Self {
        if let Some(record) = &mut self.record {
            change(record);
        }
        self
    }

    /// The body is not one strict object: 400, 413, 415.
    pub(super) fn unfit(refusal: Refusal) -> Self {
        Self::own(refusal, Decision::Refuse, Outcome::Refused)
    }

    /// A token that is not listed, where `actors.unknown` is `deny`: 403.
    pub(super) fn not_listed(caller: &Caller) -> Self {
        let message = not_listed_message(caller);
        let violation = Violation {
            rule: "actors.unknown".to_owned(),
            enforcement: Enforcement::Deny,
            path: String::new(),
            message: message.clone(),
            actual: None,
        };
        Self::own(Refusal::permission(message), Decision::Deny, Outcome::Denied)
            .with(|record| record.findings.violations = vec![violation])
    }

    /// The deployment's turn did not come: 503.
    pub(super) fn no_turn(why: &str) -> Self {
        let message = format!("{why}; nothing was changed: try again later");
        Self::own(Refusal::unavailable(message, Some(1)), Decision::Refuse, Outcome::Failed)
    }

    /// The deployment is too long for the memory that is left: 503.
    pub(super) fn no_room() -> Self {
        Self::own(Refusal::crowded(), Decision::Refuse, Outcome::Failed)
    }

    /// `If-Match` does not hold: 412.
    pub(super) fn precondition(before: Option<ShownDeployment>) -> Self {
        Self::own(Refusal::precondition(), Decision::Refuse, Outcome::Refused)
            .with(|record| record.before = before)
    }

    /// The policy denies: 403. The message tells of every violation, those that deny first.
    pub(super) fn denied(denial: Denial, before: Option<ShownDeployment>) -> Self {
        let Decided { decision, findings, policy, at, .. } = denial.decided.clone();
        // The first of the strictest is the one that clients are pointed to.
        let strictest = findings
            .violations
            .iter()
            .max_by_key(|found| (found.enforcement, Reverse(&found.path)));
        let place = strictest.map(|violation| dotted(&violation.path));
        // What is about the call has no place.
        let param = place.filter(|place| !place.is_empty());
        let message = policy.denial(&findings.violations);
        Self::own(Refusal::permission(message).param(param), decision, Outcome::Denied).with(
            |record| {
                record.before = before;
                record.findings = findings;
                record.policy = Some(policy);
                record.decided_at = at;
                record.denial = Some(Box::new(denial));
            },
        )
    }

    /// Upstream does not show the deployment to this caller. Its 401s are only counted.
    pub(super) fn unseen(unseen: SnapshotError) -> Self {
        match unseen {
            SnapshotError::Answered(answer) => Self::not_shown(answer),
            SnapshotError::Failed(refusal, status) => Self::failed(refusal, status),
        }
    }

    fn not_shown(answer: WholeResponse) -> Self {
        let record = (answer.status != StatusCode::UNAUTHORIZED).then(|| NotForwardedRecord {
            decision: Decision::Refuse,
            outcome: Outcome::Rejected,
            findings: Findings::default(),
            before: None,
            upstream: Some(answer.told(UpstreamCall::Read)),
            policy: None,
            decided_at: None,
            denial: None,
        });
        Self { answer: NotForwardedAnswer::Upstream(answer), record }
    }

    /// The deployment could not be read: 502 or 504.
    fn failed(refusal: Refusal, status: Option<StatusCode>) -> Self {
        let status = status.map(|status| status.as_u16());
        Self::own(refusal, Decision::Refuse, Outcome::Failed).with(|record| {
            record.upstream = status.map(|_| UpstreamAnswer {
                call: UpstreamCall::Read,
                status,
                request_id: None,
            });
        })
    }

    /// The log can't take the intent: 503, and there is nothing to record it in.
    pub(super) fn unrecorded(unavailable: &Unavailable) -> Self {
        tracing::error!(error = unavailable as &dyn std::error::Error, "a change is not recorded");
        Self { answer: NotForwardedAnswer::Own(store_down()), record: None }
    }

    /// The log can't be asked for approvals: 503, and the call is not recorded.
    pub(super) fn unread(error: &QueryError) -> Self {
        tracing::error!(error = error as &dyn std::error::Error, "approvals can't be read");
        Self { answer: NotForwardedAnswer::Own(store_down()), record: None }
    }

    /// Its `Idempotency-Key` was used before: the record is that of the first call, unless this one
    /// asks something else.
    pub(super) fn not_claimed(not_claimed: NotClaimed) -> Self {
        match not_claimed {
            NotClaimed::Repeat(repeat) => {
                Self { answer: NotForwardedAnswer::Repeat(repeat), record: None }
            }
            NotClaimed::Other(change) => {
                Self::own(Refusal::key_of_another(change), Decision::Refuse, Outcome::Refused)
            }
            NotClaimed::Untold(unavailable) => Self::unrecorded(&unavailable),
        }
    }

    /// Tells of what is not recorded: a call that came before, or that upstream took the credential
    /// for no one's.
    fn note(&self, call: &Call) {
        match &self.answer {
            NotForwardedAnswer::Own(_) => {}
            NotForwardedAnswer::Upstream(answer) => {
                let subject = RefusalSource::Actor(call.caller.actor.fingerprint);
                call.connection.gateway.refuse(answer.status, subject);
            }
            NotForwardedAnswer::Repeat(repeat) => repeat.note(call),
        }
    }

    /// Makes the record durable, then answers.
    pub(super) async fn record(mut self, call: &Call, body: &CallBody) -> Reply {
        let mut approval = None;
        let marked = match self.record {
            None => {
                self.note(call);
                None
            }
            Some(mut record) => {
                let (decision, outcome) = (record.decision, record.outcome);
                let violations = record.findings.violations.clone();
                let policy = record.policy.unwrap_or_else(|| call.connection.gateway.policy());
                let asked =
                    record.denial.as_mut().and_then(|denial| denial.decided.approval.take());
                let (findings, at) = (record.findings, record.decided_at);
                let decided = Decided { decision, findings, policy, at, approval: asked };
                let mut intent = call.intent(body, decided, record.before);
                if let (Some(denial), NotForwardedAnswer::Own(refusal)) =
                    (&record.denial, &mut self.answer)
                {
                    approval = denial.settle(&mut intent, &mut refusal.message);
                }
                let figures = &call.connection.gateway.metrics.approvals;
                let asked = intent.approval.as_ref().and_then(|part| figures.of_part(part));
                let end = Completion {
                    completed_at: call.completed_at(),
                    outcome,
                    upstream: record.upstream,
                    reason: self.answer.reason(),
                    deployment_id: None,
                    after: None,
                    effect: None,
                    after_violations: Vec::new(),
                };
                if let Err(unavailable) = call.connection.gateway.audit.record(intent, end).await {
                    let stop = Self::unrecorded(&unavailable);
                    return stop.answer.into_reply(call, None);
                }
                super::report(call, decision, outcome, &violations);
                asked.inspect(|counter| _ = counter.inc());
                Some(decision)
            }
        };
        let record = marked.map(|_| call.change);
        let mut reply = self.answer.into_reply(call, record);
        if let Some(decision) = marked {
            mark(&mut reply, call, decision);
            mark_approval(&mut reply, approval);
        }
        reply
    }
}

impl NotForwardedAnswer {
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Own(refusal) => Some(refusal.reason()),
            Self::Upstream(answer) => Some(answer.reason()),
            Self::Repeat(_) => None,
        }
    }

    fn into_reply(self, call: &Call, record: Option<ChangeId>) -> Reply {
        match self {
            Self::Own(refusal) => refusal.into_reply(&call.context.request_id, record),
            Self::Upstream(answer) => answer.into_reply(call.ends()),
            Self::Repeat(repeat) => repeat.into_reply(call),
        }
    }
}

fn store_down() -> Refusal {
    Refusal::unavailable(
        "the audit store can't take the record, so nothing was forwarded: try again later",
        Some(1),
    )
}

/// A JSON Pointer as the dotted path that the envelope's `param` takes.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}
