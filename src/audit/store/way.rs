//! The way of a walk through recorded changes: by deployment, so that the before of one is mostly
//! told by what differs from the before of the last.

use std::sync::Arc;

use serde_json::Value;

use super::rows::{
    BadColumn, Bytes, Row, actor, cell, change_id, list, list_bytes_before, maybe, operation,
    unkept_before, variant,
};
use crate::audit::document::unpack;
use crate::audit::question::{Filter, RecordedChange, parse};
use crate::audit::store::Boxed;

/// The most changes that are read at once, and the bytes of text after which no more are.
pub(super) const PART_MAX: i64 = 256;
pub(super) const PART_BYTES_MAX: usize = 8 << 20;

/// The most changes of one page of those that only an index finds.
pub(super) const PAGE_MAX: u16 = 64;

/// Where a walk goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Every change behind this one, by deployment and place; what made no deployment last.
    Deployments(i64, i64),
    NoDeployment(i64),
    /// The changes before this place that an index finds, page by page.
    Named(i64),
    Done,
}

impl Way {
    /// The way to what a filter finds, as far as to the place `until`.
    pub(super) fn to(filter: &Filter, until: i64) -> Self {
        let is_named = filter.q.is_some()
            || filter.rule.is_some()
            || filter.path.is_some()
            || filter.asked_path.is_some();
        if is_named { Self::Named(until + 1) } else { Self::Deployments(0, 0) }
    }

    /// The way behind the last that was found: its deployment's number and its place.
    pub(super) fn behind(self, last: Option<(Option<i64>, i64)>) -> Self {
        match (self, last) {
            (Self::Deployments(..), Some((Some(deployment), seq))) => {
                Self::Deployments(deployment, seq)
            }
            (Self::Deployments(..), _) => Self::NoDeployment(0),
            (Self::NoDeployment(_), Some((_, seq))) => Self::NoDeployment(seq),
            (Self::Named(_), _) => self,
            (Self::NoDeployment(_), None) | (Self::Done, _) => Self::Done,
        }
    }
}

/// Keeps of the places that an index named those that are still to be read. Where none was found,
/// none is there any more.
pub(super) fn still_named(named: &mut Vec<i64>, found: impl Iterator<Item = i64>) {
    let found: Vec<i64> = found.collect();
    named.retain(|seq| !found.is_empty() && !found.contains(seq));
}

/// A change as its row tells it, with the document before it.
pub(super) fn recorded(
    row: &impl Row,
    before: Option<Arc<Value>>,
    policy_digest: Arc<str>,
) -> Result<RecordedChange, Boxed> {
    let patch = maybe::<Bytes<'_>>(row, "patch")?;
    let patch = patch.map(|body| unpack(&body, None)).transpose()?;
    Ok(RecordedChange {
        seq: cell(row, "seq")?,
        id: change_id(row)?,
        provider: cell(row, "provider")?,
        operation: operation(row)?,
        method: maybe(row, "method")?,
        deployment_id: maybe(row, "deployment_id")?,
        actor: actor(row)?.ok_or(BadColumn("actor_fingerprint"))?,
        received_at: cell(row, "received_at")?,
        decided_at: maybe(row, "decided_at")?,
        decision: variant(cell(row, "decision")?)?,
        is_excepted: cell(row, "excepted")?,
        violations: list(row, "violations")?,
        standing: list(row, "standing")?,
        patch: patch.map(|text| parse(&text)).transpose()?,
        before,
        redacted: list(row, "redacted")?,
        unkept: unkept_before(row)?,
        policy_digest,
    })
}

/// The bytes of text that a row unpacks to, nearly.
pub(super) fn packed_bytes(row: &impl Row) -> Result<usize, Boxed> {
    let packed = |column| -> Result<usize, Boxed> {
        Ok(maybe::<Bytes<'_>>(row, column)?.map_or(0, |body| body.len()))
    };
    // A text packs to a fifth or so.
    Ok(list_bytes_before(row)? + 8 * (packed("patch")? + packed("body")?))
}
