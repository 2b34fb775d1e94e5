//! Rows as records, whatever kind of store they are from.

use std::borrow::Cow;

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::approval::{BreakGlass, ChangeApproval, Decided};
use crate::audit::record::{
    Change, Client, Event, LateEnd, Reason, RefusedBody, Settlement, Unkept, UpstreamAnswer,
};
use crate::audit::store::Boxed;
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, ChangeId, Fingerprint};
use crate::deployment::predict::Omitted;
use crate::policy::Actor;
use crate::provider::Operation;

/// A column that does not hold what the schema promises.
#[derive(Debug, thiserror::Error)]
#[error("the column {0} holds something that this version does not know")]
pub(super) struct BadColumn(pub(super) &'static str);

/// The word that stands for a unit variant, in JSON and in the tables.
pub(super) fn word_of<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(Value::String(word)) => word,
        _not_a_word => String::new(),
    }
}

/// The unit variant that a column's word stands for.
pub(super) fn variant<T: for<'a> Deserialize<'a>>(word: &str) -> Result<T, WordError> {
    let word: StrDeserializer<'_, WordError> = word.into_deserializer();
    T::deserialize(word)
}

/// Bytes of a row.
pub(super) type Bytes<'r> = Cow<'r, [u8]>;

/// A row, by the names of its columns.
pub(in crate::audit) trait Row {
    fn integer(&self, column: &'static str) -> Result<Option<i64>, Boxed>;
    fn flag(&self, column: &'static str) -> Result<Option<bool>, Boxed>;
    fn text(&self, column: &'static str) -> Result<Option<&str>, Boxed>;
    fn bytes(&self, column: &'static str) -> Result<Option<Bytes<'_>>, Boxed>;
}

/// A value that a column holds.
pub(super) trait Cell<'r>: Sized {
    /// The value; `None` where there is none.
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed>;
}

/// The value in a column that may have none.
pub(super) fn maybe<'r, T: Cell<'r>>(
    row: &'r impl Row,
    column: &'static str,
) -> Result<Option<T>, Boxed> {
    T::read(row, column)
}

/// The value in a column that always has one.
pub(super) fn cell<'r, T: Cell<'r>>(row: &'r impl Row, column: &'static str) -> Result<T, Boxed> {
    Ok(T::read(row, column)?.ok_or(BadColumn(column))?)
}

/// A change without its bodies, from a row with every column of it.
pub(super) fn change(row: &impl Row) -> Result<Change, Boxed> {
    let mut redacted: Vec<String> = list(row, "redacted")?;
    redacted.extend(list::<String>(row, "after_redacted")?);
    let effect: Option<&str> = maybe(row, "effect")?;
    let (approval, break_glass) = approval(row)?;
    let reverts = maybe::<Bytes<'_>>(row, "reverts")?.map(|id| ChangeId::from_bytes(&id));
    Ok(Change {
        reverts: reverts.transpose()?,
        approval,
        break_glass,
        id: change_id(row)?,
        seq: cell(row, "seq")?,
        operation: operation(row)?,
        method: maybe(row, "method")?,
        deployment_id: maybe(row, "deployment_id")?,
        actor: actor(row)?.ok_or(BadColumn("actor_fingerprint"))?,
        client: Client {
            ip: cell(row, "client_ip")?,
            user_agent: maybe(row, "user_agent")?,
            retry: maybe(row, "client_retry")?,
        },
        request_id: cell(row, "request_id")?,
        received_at: cell(row, "received_at")?,
        decided_at: maybe(row, "decided_at")?,
        completed_at: maybe(row, "completed_at")?,
        decision: variant(cell(row, "decision")?)?,
        violations: list(row, "violations")?,
        standing: list(row, "standing")?,
        after_violations: list(row, "after_violations")?,
        outcome: variant(cell(row, "outcome")?)?,
        settled: settlement(row)?,
        late: late(row)?,
        upstream: upstream(row)?,
        bodies: None,
        body: refused_body(row)?,
        unkept: unkept(row)?,
        effect: effect.map(variant).transpose()?,
        redacted,
        policy_digest: cell(row, "policy_digest")?,
        provider: cell(row, "provider")?,
        upstream_name: cell(row, "upstream_name")?,
        node: cell(row, "node")?,
        reason: reason(row)?,
    })
}

/// An event and its place.
pub(super) fn event(row: &impl Row) -> Result<(i64, Event), Boxed> {
    let event = Event {
        at: cell(row, "at")?,
        kind: variant(cell(row, "kind")?)?,
        actor: actor(row)?,
        client_ip: maybe(row, "client_ip")?,
        request_id: maybe(row, "request_id")?,
        detail: serde_json::from_str(cell(row, "detail")?)?,
    };
    Ok((cell(row, "seq")?, event))
}

pub(super) fn change_id(row: &impl Row) -> Result<ChangeId, Boxed> {
    Ok(ChangeId::from_bytes(&cell::<Bytes<'_>>(row, "id")?)?)
}

pub(super) fn operation(row: &impl Row) -> Result<Operation, Boxed> {
    Ok(Operation::named(cell(row, "operation")?).ok_or(BadColumn("operation"))?)
}

/// How the call's method reads what the body omits.
pub(super) fn omitted(row: &impl Row) -> Result<Omitted, Boxed> {
    let is_put = maybe::<&str>(row, "method")? == Some("PUT");
    Ok(if is_put { Omitted::Open } else { Omitted::Preserved })
}

/// The bytes of a change's lists, of which each may be long.
pub(super) fn list_bytes(row: &impl Row) -> Result<usize, Boxed> {
    bytes_of(row, &["violations", "standing", "after_violations", "redacted", "after_redacted"])
}

/// The same of what is known before its end.
pub(super) fn list_bytes_before(row: &impl Row) -> Result<usize, Boxed> {
    bytes_of(row, &["violations", "standing", "redacted"])
}

fn bytes_of(row: &impl Row, columns: &[&'static str]) -> Result<usize, Boxed> {
    let mut bytes = 0;
    for column in columns {
        bytes += maybe::<&str>(row, column)?.map_or(0, str::len);
    }
    Ok(bytes)
}

pub(super) fn actor(row: &impl Row) -> Result<Option<Actor>, Boxed> {
    let Some(fingerprint) = maybe::<Bytes<'_>>(row, "actor_fingerprint")? else {
        return Ok(None);
    };
    Ok(Some(Actor {
        fingerprint: Fingerprint::from_bytes((&*fingerprint).try_into()?),
        name: maybe(row, "actor_name")?,
        team: maybe(row, "actor_team")?,
        person: maybe(row, "actor_person")?,
    }))
}

/// The approval that a change asked for or passed by, or how it passed by break-glass.
fn approval(row: &impl Row) -> Result<(Option<ChangeApproval>, Option<BreakGlass>), Boxed> {
    let Some(id) = maybe::<Bytes<'_>>(row, "approval_id")? else { return Ok((None, None)) };
    let (id, decided) = (ApprovalId::from_bytes(&id)?, decided(row)?);
    let asked_by = cell(row, "asked_by")?;
    let reason: Option<String> = maybe(row, "glass_reason")?;
    if let Some(reason) = reason {
        let glass = BreakGlass { reason, person: asked_by, approval: id, decided };
        return Ok((None, Some(glass)));
    }
    let change = ChangeId::from_bytes(&cell::<Bytes<'_>>(row, "approval_change")?)?;
    let asked_at = cell(row, "asked_at")?;
    Ok((Some(ChangeApproval { id, change, asked_by, asked_at, decided }), None))
}

fn decided(row: &impl Row) -> Result<Option<Decided>, Boxed> {
    let Some(verdict) = maybe::<&str>(row, "verdict")? else { return Ok(None) };
    Ok(Some(Decided {
        verdict: variant(verdict)?,
        by: cell(row, "verdict_by")?,
        token: cell(row, "verdict_token")?,
        reason: cell(row, "verdict_reason")?,
        at: cell(row, "verdict_at")?,
    }))
}

fn settlement(row: &impl Row) -> Result<Option<Settlement>, Boxed> {
    let (Some(by), Some(at)) = (maybe(row, "settled_by")?, maybe(row, "settled_at")?) else {
        return Ok(None);
    };
    Ok(Some(Settlement { by, at, applied: maybe(row, "applied")? }))
}

fn late(row: &impl Row) -> Result<Option<LateEnd>, Boxed> {
    let Some(outcome) = maybe::<&str>(row, "late_outcome")? else { return Ok(None) };
    let (outcome, node) = (variant(outcome)?, cell(row, "late_node")?);
    Ok(Some(LateEnd { node, outcome, at: cell(row, "late_at")? }))
}

fn upstream(row: &impl Row) -> Result<Option<UpstreamAnswer>, Boxed> {
    let Some(call) = maybe::<&str>(row, "upstream_call")? else { return Ok(None) };
    let call = variant(call)?;
    let (status, request_id) = (maybe(row, "upstream_status")?, maybe(row, "upstream_request_id")?);
    Ok(Some(UpstreamAnswer { call, status, request_id }))
}

fn reason(row: &impl Row) -> Result<Option<Reason>, Boxed> {
    let text: Option<&str> = maybe(row, "reason")?;
    Ok(text.map(serde_json::from_str).transpose()?)
}

fn refused_body(row: &impl Row) -> Result<Option<RefusedBody>, Boxed> {
    let Some(bytes) = maybe::<i64>(row, "body_bytes")? else { return Ok(None) };
    let bytes = u64::try_from(bytes)?;
    Ok(Some(RefusedBody { bytes, digest: maybe(row, "body_digest")? }))
}

/// The parts of a change that are not kept, its end aside.
pub(super) fn unkept_before(row: &impl Row) -> Result<Unkept, Boxed> {
    let text: Option<&str> = maybe(row, "unkept")?;
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
}

fn unkept(row: &impl Row) -> Result<Unkept, Boxed> {
    let read = |column| -> Result<Unkept, Boxed> {
        let text: Option<&str> = maybe(row, column)?;
        Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
    };
    let (mut unkept, end) = (read("unkept")?, read("after_unkept")?);
    unkept.after = end.after;
    unkept.erased.extend(end.erased);
    Ok(unkept)
}

pub(super) fn list<T: for<'a> Deserialize<'a>>(
    row: &impl Row,
    column: &'static str,
) -> Result<Vec<T>, Boxed> {
    let text: Option<&str> = maybe(row, column)?;
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
}

impl<'r> Cell<'r> for i64 {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        row.integer(column)
    }
}

impl<'r> Cell<'r> for u32 {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        Ok(row.integer(column)?.map(TryInto::try_into).transpose()?)
    }
}

impl<'r> Cell<'r> for u16 {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        Ok(row.integer(column)?.map(TryInto::try_into).transpose()?)
    }
}

impl<'r> Cell<'r> for bool {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        row.flag(column)
    }
}

impl<'r> Cell<'r> for &'r str {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        row.text(column)
    }
}

impl<'r> Cell<'r> for String {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        Ok(row.text(column)?.map(str::to_owned))
    }
}

impl<'r> Cell<'r> for Bytes<'r> {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        row.bytes(column)
    }
}

impl<'r> Cell<'r> for Timestamp {
    fn read(row: &'r impl Row, column: &'static str) -> Result<Option<Self>, Boxed> {
        Ok(row.integer(column)?.map(Self::from_millis))
    }
}
