//! Break-glass: a listed person makes a change pass that the policy denies, and says why.

use crate::audit::approval::{ApprovalPart, BrokenGlass, NewApproval, NewTerms};
use crate::base::clock::Timestamp;
use crate::base::ids::ApprovalId;
use crate::gateway::break_glass::{BREAK_GLASS, GlassHeader};
use crate::gateway::call::{Call, Decided};
use crate::gateway::not_forwarded::NotForwarded;
use crate::policy::Enforcement;

/// The time within which `break_glass.per_day` counts, in milliseconds.
const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

/// The review of a change that may pass, or the sentence that says why it may not; `None` where it
/// was not asked for.
pub(super) async fn broken(
    call: &Call,
    decided: &Decided,
    now: Timestamp,
) -> Result<Option<Result<ApprovalPart, String>>, NotForwarded> {
    let Some(header) = &call.break_glass else { return Ok(None) };
    let (person, reason) = match allowed(call, decided, header) {
        Ok(allowed) => allowed,
        Err(why) => return Ok(Some(Err(why))),
    };
    let since = Timestamp::from_millis(now.millis().saturating_sub(DAY_MILLIS));
    let read = call.connection.gateway.audit.reader().broken_glass(person, since).await;
    let BrokenGlass { count, unreviewed } = read.map_err(|error| NotForwarded::unread(&error))?;
    if let Some(id) = unreviewed {
        return Ok(Some(Err(format!(
            "{} was not taken: somebody else has to review the last time first (changegate \
             approval approve {id})",
            BREAK_GLASS.as_str()
        ))));
    }
    let per_day = decided.policy.break_glass.as_ref().map_or(0, |terms| terms.per_day);
    if count >= per_day {
        return Ok(Some(Err(format!(
            "{} was not taken: {person} has used it {count} times within 24 hours \
             (break_glass.per_day)",
            BREAK_GLASS.as_str()
        ))));
    }
    let violations = decided.findings.violations.iter();
    let mut rules: Vec<String> = violations
        .filter(|violation| violation.enforcement >= Enforcement::Approve)
        .map(|violation| violation.rule.clone())
        .collect();
    rules.sort();
    rules.dedup();
    let (id, terms) = (ApprovalId::new(now), NewTerms::BreakGlass { reason });
    let new = NewApproval { id, person: person.to_owned(), opened_at: now, rules, terms };
    Ok(Some(Ok(ApprovalPart::BreaksGlass(Box::new(new)))))
}

/// The person and the reason, where the policy lists the person and the reason says something.
fn allowed<'c>(
    call: &'c Call,
    decided: &Decided,
    header: &GlassHeader,
) -> Result<(&'c str, String), String> {
    let not_taken = |why: &str| format!("{} was not taken: {why}", BREAK_GLASS.as_str());
    let Some(terms) = &decided.policy.break_glass else {
        return Err(not_taken("the policy has no [break_glass]"));
    };
    let person = call.caller.actor.person.as_deref();
    let Some(person) = person.filter(|person| terms.persons.iter().any(|one| one == person)) else {
        return Err(not_taken("the person behind this token is not in break_glass.persons"));
    };
    match header {
        GlassHeader::Unfit => Err(not_taken("send it once, in UTF-8")),
        GlassHeader::Reason(text) => {
            let reason = decided.policy.approvals.reason(text).map_err(|fix| not_taken(&fix))?;
            Ok((person, reason))
        }
    }
}
