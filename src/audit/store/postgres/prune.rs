//! The questions about what may be pruned, and the calls that prune and hold back.

use std::time::Instant;

use serde_json::{Value, json};

use super::error::code;
use super::literal::json as literal;
use super::select::Reads;
use crate::audit::record::Event;
use crate::audit::store::Boxed;
use crate::audit::store::prunable::{FromRow, PruneStep, Pruned};
use crate::audit::store::rows::cell;
use crate::base::ids::Hex;

/// The word of the function that something is named which would be gone.
const NAMED: &str = "CG006";

/// A step holds up nobody but who asks where readers stop; it counts as a part of what it took.
const COUNTS_FOR: u32 = 8;

impl Reads {
    /// What a statement about what may be pruned finds.
    pub(in crate::audit::store) async fn found<T: FromRow>(
        &self,
        statement: &str,
    ) -> Result<Vec<T>, Boxed> {
        let rows = self.evidence.ask().await?.rows(statement).await?;
        rows.iter().map(T::of).collect()
    }

    /// Carries out a step in one transaction, or nothing of it.
    pub(in crate::audit::store) async fn prune(&self, step: &PruneStep) -> Result<Pruned, Boxed> {
        Ok(match self.step("prune_v1", &told(step)).await? {
            Pruned::Done(took) => Pruned::Done(took / COUNTS_FOR),
            other => other,
        })
    }

    /// Has a function carry out a step in one transaction, or nothing of it.
    pub(super) async fn step(&self, function: &str, step: &Value) -> Result<Pruned, Boxed> {
        let call = format!("SELECT changegate.{function}({}::jsonb) AS word", literal(step)?);
        #[expect(clippy::disallowed_methods, reason = "how long the step takes, in real time")]
        let begun = Instant::now();
        let row = match self.evidence.ask().await?.row(&call).await {
            Err(error) if code(&error).as_deref() == Some(NAMED) => return Ok(Pruned::Overtaken),
            row => row?.ok_or("the function says nothing")?,
        };
        Ok(match cell(&row, "word")? {
            "done" => Pruned::Done(begun.elapsed()),
            "busy" => Pruned::Busy,
            _overtaken => Pruned::Overtaken,
        })
    }

    /// Writes a word on a hold.
    pub(in crate::audit) async fn hold(&self, event: &Event) -> Result<(), Boxed> {
        let call = format!(
            "SELECT changegate.hold_v1({}, {}::jsonb)",
            event.at.millis(),
            literal(&event.detail)?
        );
        self.evidence.ask().await?.row(&call).await?;
        Ok(())
    }
}

/// A step as the function takes it.
fn told(step: &PruneStep) -> Value {
    let repacked = step.repacked.iter();
    let repacked: Vec<Value> =
        repacked.map(|(number, body)| json!([number, format!("\\x{}", Hex(body))])).collect();
    json!({
        "now": step.bounds.now.millis(),
        "settled": step.bounds.settled.millis(),
        "holds": step.holds,
        "changes": step.changes,
        "events": step.events,
        "touched": step.touched,
        "broken": step.broken,
        "snapshots": step.snapshots,
        "repacked": repacked,
        "detail": step.event.detail,
    })
}
