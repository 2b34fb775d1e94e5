//! The judging itself, for whoever asks: in turn with all who read bodies, within a time.

use std::sync::Arc;

use serde_json::json;
use tokio::task::spawn_blocking;

use super::{EvaluationAnswer, EvaluationRequest, ready};
use crate::admin::Api;
use crate::admin::access::Asker;
use crate::admin::answer::Problem;
use crate::admin::api::{QUESTION_MAX, within};
use crate::audit::record::{Event, EventKind};
use crate::policy::{Decision, Violation};
use crate::provider::Operation;

impl Api {
    /// Judges a change that nobody makes, and leaves a word of it in the log. Who asks has the turn
    /// of the asker's questions for bodies.
    pub(crate) async fn judge(
        &self,
        asker: &Asker,
        request: impl FnOnce() -> Result<EvaluationRequest, Problem>,
    ) -> Result<EvaluationAnswer, Problem> {
        let (operation, answer) = self.judged(asker, request).await?;
        note(self, asker, operation, &answer);
        Ok(answer)
    }

    /// The rules that a deployment breaks as it is, as the log last saw it.
    pub(crate) async fn standing(
        &self,
        asker: &Asker,
        deployment_id: &str,
    ) -> Result<Vec<Violation>, Problem> {
        let _own = asker.share.bodies.acquire().await.map_err(|_closed| Problem::no_room())?;
        let deployment_id = Some(deployment_id.to_owned());
        let asked = EvaluationRequest { deployment_id, ..EvaluationRequest::default() };
        Ok(self.judged(asker, || Ok(asked)).await?.1.standing)
    }

    async fn judged(
        &self,
        asker: &Asker,
        request: impl FnOnce() -> Result<EvaluationRequest, Problem>,
    ) -> Result<(Operation, EvaluationAnswer), Problem> {
        asker.may_look_inside()?;
        within(QUESTION_MAX, async {
            // A document may take many times its length, and a policy long to read.
            let turn = Arc::clone(&self.bodies).acquire_owned().await;
            let turn = turn.map_err(|_closed| Problem::no_room())?;
            let work = ready(self, asker, request()?).await?;
            let operation = work.operation;
            let redactor = self.state.audit.redactor_of_nothing_recorded();
            // Not among the work of governed calls, which must not wait for it.
            let working = spawn_blocking(move || {
                // Held until it is done, whether anybody still waits for it or not.
                let _turn = turn;
                work.answer(&redactor)
            });
            let answer = working.await.map_err(|broken| Problem::broke_off(&broken))??;
            Ok((operation, answer))
        })
        .await
    }
}

/// Leaves a word of it in the log.
fn note(api: &Api, asker: &Asker, operation: Operation, answer: &EvaluationAnswer) {
    let decision = answer.decision.map_or("not_judged", Decision::name);
    let by = asker.holder.as_ref().map(|holder| holder.name.clone());
    let detail = json!({
        "operation": operation,
        "decision": decision,
        "policy_digest": answer.policy_digest,
        "by": by,
    });
    api.state.audit.note(Event {
        at: api.state.clock.now(),
        kind: EventKind::Evaluation,
        actor: None,
        client_ip: None,
        request_id: None,
        detail,
    });
}
