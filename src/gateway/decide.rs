//! The pure parts of a governed call, done where long documents are worked on: what the policy
//! says of the change, and later what became of it.

use std::sync::Arc;

use serde_json::Value;

use super::call::{Call, Evaluation, Judged};
use super::forward::Forwarded;
use super::seen::Seen;
use crate::audit::record::Outcome;
use crate::deployment::diff::{self, Effect};
use crate::deployment::digest::etag;
use crate::deployment::patch::Patch;
use crate::deployment::predict::{Omitted, Prediction, predict};
use crate::offload;
use crate::policy::Violation;
use crate::policy::decide::{Subject, decide, judge_after};
use crate::provider::{Operation, Provider};

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
struct Asked {
    provider: &'static Provider,
    operation: Operation,
    omitted: Omitted,
    before: Option<Arc<Value>>,
    patch: Arc<Patch>,
}

/// Predicts the change, and judges it by the policy that is in force now that its turn has come.
pub(super) async fn evaluate(call: &Call, judged: &Judged, before: Option<Seen>) -> Evaluation {
    let live = call.connection.gateway.live();
    let bytes = judged.bytes.len() + before.as_ref().map_or(0, |before| before.bytes);
    let asked = Asked::of(call, judged, before);
    offload::run(bytes, move || {
        let prediction = asked.predict();
        let decision = decide(&live.config.policy, &asked.subject(&prediction));
        Evaluation { decision, live }
    })
    .await
}

/// Compares what an applied call has made of the deployment with what was predicted.
pub(super) async fn compare(
    call: &Call,
    judged: &Judged,
    before: Option<Seen>,
    evaluation: &Evaluation,
    forwarded: &Forwarded,
    after: Option<Seen>,
) -> Compared {
    let Some(after) = after.filter(|_| forwarded.outcome == Outcome::Applied) else {
        return Compared::default();
    };
    let before_bytes = before.as_ref().map_or(0, |before| before.bytes);
    let bytes = judged.bytes.len() + before_bytes + after.bytes;
    let (key, evaluation) = (call.connection.gateway.key.clone(), evaluation.clone());
    let shows_deployment = call.operation != Operation::Run;
    let asked = Asked::of(call, judged, before);
    offload::run(bytes, move || {
        let (prediction, after) = (asked.predict(), &*after.document);
        let before = asked.before.as_deref();
        let effect = diff::effect(asked.provider, asked.operation, before, &prediction, after);
        let subject = asked.subject(&prediction);
        let policy = &evaluation.live.config.policy;
        // What is exactly as predicted was judged. On create the server fills the rest in.
        let was_judged = effect == Effect::Exact && asked.operation != Operation::Create;
        let after_violations = if was_judged {
            Vec::new()
        } else {
            judge_after(policy, &subject, &evaluation.decision, after)
        };
        let tag = shows_deployment.then(|| etag(&key, asked.provider, after));
        Compared { effect: Some(effect), after_violations, tag }
    })
    .await
}

impl Asked {
    fn of(call: &Call, judged: &Judged, before: Option<Seen>) -> Self {
        Self {
            provider: call.provider(),
            operation: call.operation,
            omitted: Omitted::by(&call.method),
            before: before.map(|before| before.document),
            patch: Arc::clone(&judged.patch),
        }
    }

    fn predict(&self) -> Prediction<'_> {
        predict(self.provider, self.operation, self.omitted, self.before.as_deref(), &self.patch)
    }

    fn subject<'a>(&'a self, prediction: &'a Prediction<'a>) -> Subject<'a> {
        Subject {
            provider: self.provider,
            before: self.before.as_deref(),
            patch: &self.patch,
            prediction,
        }
    }
}
