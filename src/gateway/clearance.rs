//! The way past a rule that holds a change up: an approval that somebody has given, or break-glass.
//!
//! Nothing is decided here that the log does not decide again: an approval is used in the
//! transaction that writes the intent, and of many calls that want to use it one does.

mod asked;
mod glass;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use self::asked::Asked;
use super::call::{Call, Decided, Judged};
use super::denial::Denial;
use super::not_forwarded::NotForwarded;
use super::shown_deployment::ShownDeployment;
use crate::audit::approval::{
    ApprovalPart, ApprovalState, LiveApproval, LiveApprovals, NewApproval, NewTerms,
};
use crate::base::clock::Timestamp;
use crate::base::ids::ApprovalId;
use crate::policy::approvals::ApprovalTerms;
use crate::policy::evaluate::Findings;
use crate::policy::{Decision, Enforcement};

/// The most approvals that one actor may have asked for and not used: somebody has to look at each.
const LIVE_OF_ACTOR_MAX: usize = 20;

/// The most that all together may.
const LIVE_MAX: usize = 1_000;

/// The fate of a change that rules hold up until it is approved.
enum Answer {
    /// It passes by this approval.
    Passes(ApprovalId),
    /// It waits for one that is asked for, already or now.
    Waits(ApprovalPart, String),
    /// No approval is asked for, and why.
    Nothing(String),
}

/// Looks for what lets a change pass that the policy denies. What passes by itself does.
pub(super) async fn seek(
    call: &Call,
    judged: &Judged,
    before: Option<&ShownDeployment>,
    mut decided: Decided,
) -> Result<Decided, NotForwarded> {
    if decided.decision != Decision::Deny {
        return Ok(decided);
    }
    let now = call.connection.gateway.clock.now();
    let (mut told, mut turn) = (None, None);
    if is_approvable(&decided.findings) {
        turn = take_turn(call).await?;
        match answer(call, judged, before, &decided, now).await? {
            Answer::Passes(id) => {
                decided.decision = milder(&decided.findings);
                decided.approval = Some(ApprovalPart::Uses { id, at: now });
                return Ok(decided);
            }
            Answer::Waits(part, sentence) => {
                decided.approval = Some(part);
                told = Some(sentence);
            }
            Answer::Nothing(sentence) => told = Some(sentence),
        }
    }
    let glass = match glass::broken(call, &decided, now).await? {
        None => None,
        Some(Ok(part)) => {
            (decided.decision, decided.approval) = (Decision::Allow, Some(part));
            return Ok(decided);
        }
        Some(Err(sentence)) => Some(sentence),
    };
    Err(NotForwarded::denied(Denial::new(decided, (told, glass), turn), before.cloned()))
}

/// Counts what became of an approval by a change that passes, once its intent is durable.
pub(super) fn tell(call: &Call, cleared: &Decided) {
    let figures = &call.connection.gateway.metrics.approvals;
    if let Some(counter) = cleared.approval.as_ref().and_then(|part| figures.of_part(part)) {
        counter.inc();
    }
}

/// Whether somebody's approval would let the change pass: what another rule denies, nobody can
/// approve.
fn is_approvable(findings: &Findings) -> bool {
    let strictest = findings.violations.iter().map(|violation| violation.enforcement).max();
    strictest == Some(Enforcement::Approve)
}

/// The decision that rules which don't ask for approval come to.
fn milder(findings: &Findings) -> Decision {
    let warns = |enforcement| enforcement == Enforcement::Warn;
    let mut all = findings.violations.iter().map(|violation| violation.enforcement);
    if all.any(warns) { Decision::Warn } else { Decision::Allow }
}

async fn take_turn(call: &Call) -> Result<Option<OwnedMutexGuard<()>>, NotForwarded> {
    let gateway = &call.connection.gateway;
    let wait = call.connection.live.config.limits.turn_timeout;
    let turn = timeout(wait, gateway.asking.take(call.caller.actor.fingerprint)).await;
    turn.map_err(|_elapsed| {
        NotForwarded::no_turn("too many calls with this token ask for approval")
    })
}

async fn answer(
    call: &Call,
    judged: &Judged,
    before: Option<&ShownDeployment>,
    decided: &Decided,
    now: Timestamp,
) -> Result<Answer, NotForwarded> {
    let Some(person) = &call.caller.actor.person else {
        return Ok(Answer::Nothing(
            "no approval is asked for, since the [[actor]] of this token has no `person`: have an \
             operator add one"
                .to_owned(),
        ));
    };
    if decided.findings.violations_omitted > 0 {
        return Ok(Answer::Nothing(
            "no approval is asked for, since more is broken than a record holds: fix some of it"
                .to_owned(),
        ));
    }
    let asked = Asked::of(call, judged, before, &decided.findings).await;
    let (audit, actor) = (&call.connection.gateway.audit, call.caller.actor.fingerprint);
    let unread = |error| NotForwarded::unread(&error);
    let mut live = audit.reader().live_approvals(actor, asked.digest, now).await.map_err(unread)?;
    if live.any_over {
        audit.expire_approvals(now).await.map_err(unread)?;
        live = audit.reader().live_approvals(actor, asked.digest, now).await.map_err(unread)?;
    }
    let terms = &decided.policy.approvals;
    Ok(match choose(&asked, &live) {
        Choice::Use(id) => Answer::Passes(id),
        Choice::Wait(id, until) => {
            Answer::Waits(ApprovalPart::Waits(id), instructions(id, until, terms))
        }
        Choice::Ask(voids) => ask(&asked, &live, voids, (person, now), decided),
    })
}

/// The next step, by the approvals that are asked for already.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Use(ApprovalId),
    Wait(ApprovalId, Timestamp),
    /// Ask for another one, which makes these void.
    Ask(Vec<(ApprovalId, String)>),
}

fn choose(asked: &Asked, live: &LiveApprovals) -> Choice {
    let is_of_this = |approval: &&LiveApproval| why_void(asked, approval).is_none();
    let standing = |state| move |approval: &&LiveApproval| approval.state == state;
    let fits = || live.same.iter().filter(is_of_this);
    if let Some(approved) = fits().find(standing(ApprovalState::Approved)) {
        return Choice::Use(approved.id);
    }
    if let Some(open) = fits().find(standing(ApprovalState::Open)) {
        return Choice::Wait(open.id, open.until);
    }
    let is_live = |approval: &&LiveApproval| {
        matches!(approval.state, ApprovalState::Open | ApprovalState::Approved)
    };
    let others = live.same.iter().filter(is_live);
    Choice::Ask(others.filter_map(|other| Some((other.id, why_void(asked, other)?))).collect())
}

/// Why an approval no longer is one of what is asked now; `None` where it is.
fn why_void(asked: &Asked, approval: &LiveApproval) -> Option<String> {
    if approval.base != asked.base {
        return Some("the deployment is no longer the one that it was asked for".to_owned());
    }
    let covered = asked.asks.iter().all(|ask| approval.asks.contains(ask));
    (!covered).then(|| "the policy asks for more now than was asked for".to_owned())
}

fn ask(
    asked: &Asked,
    live: &LiveApprovals,
    voids: Vec<(ApprovalId, String)>,
    (person, now): (&str, Timestamp),
    decided: &Decided,
) -> Answer {
    let (of_actor, of_all) = (live.of_actor - voids.len().min(live.of_actor), live.of_all);
    if of_actor >= LIVE_OF_ACTOR_MAX {
        return Answer::Nothing(format!(
            "no approval is asked for, since {of_actor} of this token wait already: have them \
             decided and use them first"
        ));
    }
    if of_all >= LIVE_MAX {
        return Answer::Nothing(format!(
            "no approval is asked for, since {of_all} wait already: have some decided first"
        ));
    }
    let terms = &decided.policy.approvals;
    let (id, expires_at) = (ApprovalId::new(now), now.plus(terms.expires_after));
    let violations = decided.findings.violations.iter();
    let asking = violations.filter(|violation| violation.enforcement == Enforcement::Approve);
    let mut rules: Vec<String> = asking.map(|violation| violation.rule.clone()).collect();
    rules.sort();
    rules.dedup();
    let (digest, base, asks) = (asked.digest, asked.base, asked.asks.clone());
    let terms_of_it = NewTerms::Request { expires_at, asked: digest, base, asks, voids };
    let person = person.to_owned();
    let new = NewApproval { id, person, opened_at: now, rules, terms: terms_of_it };
    let told = instructions(id, expires_at, terms);
    Answer::Waits(ApprovalPart::Asks(Box::new(new)), told)
}

fn instructions(id: ApprovalId, until: Timestamp, terms: &ApprovalTerms) -> String {
    format!(
        "{id} waits until {until} for somebody else's approval (changegate approval approve {id}): \
         send the same call again within {} of it",
        words(terms.run_within.as_secs())
    )
}

/// A number of seconds in the largest unit that takes it whole.
fn words(seconds: u64) -> String {
    for (unit, length) in [("h", 3_600), ("min", 60)] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return format!("{} {unit}", seconds / length);
        }
    }
    format!("{seconds} s")
}
