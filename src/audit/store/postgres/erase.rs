//! The call that erases.

use serde_json::{Value, json};

use super::literal::hex;
use super::select::Reads;
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::store::Boxed;
use crate::audit::store::erasable::{EraseStep, SealedRecord};
use crate::audit::store::prunable::Pruned;

impl Reads {
    /// Carries out a step in one transaction, or nothing of it.
    pub(in crate::audit::store) async fn erase(&self, step: &EraseStep) -> Result<Pruned, Boxed> {
        self.step("erase_v1", &told(step)).await
    }
}

/// A step as the function takes it.
fn told(step: &EraseStep) -> Value {
    let all = |kind, of: fn(&SealedRecord) -> Value| step.of(kind).map(of).collect::<Vec<_>>();
    let leaves = step.leaves.iter().map(|leaf| {
        json!({
            "position": leaf.position,
            "entry": hex(&leaf.entry),
            "former": hex(&leaf.former),
            "salt": hex(&leaf.salt),
        })
    });
    let repacked = step.repacked.iter();
    let repacked = repacked.map(|(number, body)| json!([number, hex(body)]));
    json!({
        "now": step.event.at.millis(),
        "holds": step.holds,
        "changes": all(LeafKind::Change, change),
        "late": all(LeafKind::Late, late),
        "events": all(LeafKind::Event, event),
        "approvals": all(LeafKind::Approval, number),
        "steps": all(LeafKind::Step, number),
        "leaves": leaves.collect::<Vec<_>>(),
        "originals": step.originals,
        "touched": step.touched,
        "places": step.places(),
        "snapshots": step.snapshots,
        "repacked": repacked.collect::<Vec<_>>(),
        "detail": step.event.detail,
    })
}

fn change(record: &SealedRecord) -> Value {
    let row = &record.row;
    json!({
        "seq": record.reference,
        "violations": row.text("violations"),
        "standing": row.text("standing"),
        "body_digest": row.text("body_digest"),
        "redacted": row.text("redacted"),
        "unkept": row.text("unkept"),
        "has_patch": row.has("patch"),
        "has_before": row.has("before"),
        "reason": row.text("reason"),
        "after_redacted": row.text("after_redacted"),
        "after_unkept": row.text("after_unkept"),
        "after_violations": row.text("after_violations"),
        "has_after": row.has("after"),
        "has_touched": row.has("touched"),
    })
}

fn late(record: &SealedRecord) -> Value {
    let row = &record.row;
    json!({
        "seq": record.reference,
        "reason": row.text("reason"),
        "redacted": row.text("redacted"),
        "unkept": row.text("unkept"),
        "after_violations": row.text("after_violations"),
        "has_after": row.has("after"),
    })
}

fn event(record: &SealedRecord) -> Value {
    json!({"seq": record.reference, "detail": record.row.text("detail")})
}

fn number(record: &SealedRecord) -> Value {
    json!(record.reference)
}
