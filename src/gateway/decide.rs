//! The pure parts of a governed call, done where long documents are worked on: what the policy
//! says of the change, and later what became of it.

use std::sync::Arc;

use super::call::{Call, Decided, Judged};
use super::forward::Forwarded;
use super::identify::Caller;
use super::shown_deployment::ShownDeployment;
use crate::audit::Shown;
use crate::audit::record::Outcome;
use crate::base::clock::{Clock, Timestamp};
use crate::deployment::diff::{self, Effect};
use crate::deployment::digest::etag;
use crate::deployment::patch::Patch;
use crate::deployment::predict::Omitted;
use crate::offload;
use crate::policy::evaluate::{Evaluation, judge_after};
use crate::policy::outcome::{Breach, RuleOutcome};
use crate::policy::subject::Subject;
use crate::policy::{self, Policy, Violation};
use crate::provider::{Operation, Provider};

/// The most rules that could not be evaluated which a log line names.
const FAILING_NAMED_MAX: usize = 10;

/// The change as it came out, beside the change as it was predicted.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) effect: Option<Effect>,
    /// Rules that the deployment breaks now, did not break before, and was not predicted to break.
    pub(super) after_violations: Vec<Violation>,
    /// The entity tag of what an applied call has made of the deployment.
    pub(super) tag: Option<String>,
}

/// A call as the pure parts see it, theirs for as long as they take.
struct OwnedSubject {
    provider: &'static Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<Shown>,
    patch: Arc<Patch>,
    caller: Arc<Caller>,
    now: Timestamp,
    clock: Clock,
}

/// Predicts the change, and judges it by the policy that is in force now that its turn has come.
pub(super) async fn evaluate(
    call: &Call,
    judged: &Judged,
    before: Option<ShownDeployment>,
) -> Decided {
    let policy = call.connection.gateway.policy();
    let bytes = judged.bytes.len() + before.as_ref().map_or(0, |before| before.bytes);
    let bytes = policy.weight_of(bytes);
    let asked = OwnedSubject::of(call, judged, before);
    let (decided, outcomes) = offload::run(bytes, move || {
        let Evaluation { findings, outcomes, .. } =
            policy::evaluate::evaluate(&policy, &asked.subject());
        let (decision, at) = (findings.decision(), Some(asked.now));
        (Decided { decision, findings, policy, at, approval: None }, outcomes)
    })
    .await;
    tell(call, &decided.policy, &outcomes);
    decided
}

/// Counts what the rules came to, and names in the diagnostic log those that could not be
/// evaluated: they are to be fixed, whatever their enforcement.
fn tell(call: &Call, policy: &Policy, outcomes: &[RuleOutcome]) {
    call.connection.gateway.metrics.rules(policy, outcomes);
    let fails = |outcome: &RuleOutcome| outcome.breach().is_some_and(|it| it != Breach::Broken);
    let failing = policy.rules.iter().zip(outcomes).filter(|(_, outcome)| fails(outcome));
    let mut failing = failing.map(|(rule, outcome)| format!("{} ({})", rule.name, outcome.name()));
    let named: Vec<String> = failing.by_ref().take(FAILING_NAMED_MAX).collect();
    if !named.is_empty() {
        tracing::warn!(
            request_id = %call.context.request_id,
            change = %call.change,
            rules = named.join(", "),
            more = failing.count(),
            "rules could not be evaluated: they count as broken"
        );
    }
}

/// Compares what an applied call has made of the deployment with what was predicted.
pub(super) async fn compare(
    call: &Call,
    judged: &Judged,
    before: Option<ShownDeployment>,
    decided: &Decided,
    forwarded: &Forwarded,
    after: Option<ShownDeployment>,
) -> Compared {
    let Some(after) = after.filter(|_| forwarded.outcome == Outcome::Applied) else {
        return Compared::default();
    };
    let before_bytes = before.as_ref().map_or(0, |before| before.bytes);
    let bytes = decided.policy.weight_of(judged.bytes.len() + before_bytes + after.bytes);
    let (key, decided) = (call.connection.gateway.key.clone(), decided.clone());
    let shows_deployment = call.operation != Operation::Run;
    let mut asked = OwnedSubject::of(call, judged, before);
    // A call is judged once: what time has brought meanwhile is none of its doing.
    asked.now = decided.at.unwrap_or(asked.now);
    offload::run(bytes, move || {
        let (subject, after) = (asked.subject(), after.document());
        let prediction = subject.predict();
        let before = subject.before;
        let effect = diff::effect(asked.provider, asked.operation, before, &prediction, after);
        // What is exactly as predicted was judged. On create the server fills the rest in.
        let was_judged = effect == Effect::Exact && asked.operation != Operation::Create;
        let after_violations = if was_judged {
            Vec::new()
        } else {
            judge_after(&decided.policy, &subject, &prediction, &decided.findings, after)
        };
        let tag = shows_deployment.then(|| etag(&key, asked.provider, after));
        Compared { effect: Some(effect), after_violations, tag }
    })
    .await
}

impl OwnedSubject {
    fn of(call: &Call, judged: &Judged, before: Option<ShownDeployment>) -> Self {
        Self {
            provider: call.provider(),
            operation: call.operation,
            omitted: Omitted::by(&call.method),
            before: before.map(|before| before.shown),
            patch: Arc::clone(&judged.patch),
            caller: Arc::clone(&call.caller),
            now: call.connection.gateway.clock.now(),
            clock: call.connection.gateway.clock.clone(),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            provider: self.provider,
            operation: self.operation,
            omitted: self.omitted,
            before: self.before.as_ref().map(Shown::value),
            patch: &self.patch,
            actor: &self.caller.actor,
            now: self.now,
            clock: &self.clock,
        }
    }
}
