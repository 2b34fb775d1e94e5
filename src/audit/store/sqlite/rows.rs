//! Rows as records.

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::audit::approval::{BreakGlass, ChangeApproval, Decided};
use crate::audit::record::{
    Change, Client, Event, Reason, RefusedBody, Settlement, Unkept, UpstreamAnswer,
};
use crate::audit::store::Boxed;
use crate::base::clock::Timestamp;
use crate::base::ids::{ApprovalId, ChangeId, Fingerprint};
use crate::deployment::predict::Omitted;
use crate::policy::Actor;
use crate::provider::Operation;

/// Every column of a change, whose bodies are read apart.
pub(super) const CHANGE: &str = "SELECT c.seq, c.id, c.operation, \
    c.actor_fingerprint, c.actor_name, c.actor_team, c.actor_person, c.client_ip, c.user_agent, \
    c.client_retry, c.request_id, \
    c.received_at, c.decided_at, c.decision, \
    c.violations, c.standing, c.before, c.body_bytes, c.body_digest, c.redacted, c.method, \
    c.unkept, e.unkept AS after_unkept, e.after_violations, \
    u.provider, u.name AS upstream_name, p.digest AS policy_digest, n.name AS node, \
    d.id AS deployment_id, e.reason, \
    coalesce(e.outcome, 'pending') AS outcome, e.completed_at, e.upstream_call, e.upstream_status, \
    e.upstream_request_id, e.after, e.effect, e.redacted AS after_redacted, \
    s.settled_by, s.at AS settled_at, s.applied, \
    a.id AS approval_id, a.change_id AS approval_change, \
    a.person AS asked_by, a.opened_at AS asked_at, a.reason AS glass_reason, \
    v.step AS verdict, v.person AS verdict_by, v.token AS verdict_token, \
    v.reason AS verdict_reason, v.at AS verdict_at \
    FROM changes c JOIN upstreams u ON u.number = c.upstream \
    JOIN policies p ON p.number = c.policy JOIN nodes n ON n.number = c.node \
    LEFT JOIN deployments d ON d.number = c.deployment \
    LEFT JOIN ends e ON e.seq = c.seq LEFT JOIN settlements s ON s.seq = c.seq \
    LEFT JOIN approvals a ON a.id = c.approval LEFT JOIN approval_steps v ON v.number = \
    (SELECT max(number) FROM approval_steps WHERE approval = a.number AND person IS NOT NULL)";

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

/// A change without its bodies, from a row with the columns of [`CHANGE`].
pub(super) fn change(row: &SqliteRow) -> Result<Change, Boxed> {
    let mut redacted: Vec<String> = list(row, "redacted")?;
    redacted.extend(list::<String>(row, "after_redacted")?);
    let effect: Option<String> = row.try_get("effect")?;
    let (approval, break_glass) = approval(row)?;
    Ok(Change {
        approval,
        break_glass,
        id: change_id(row)?,
        seq: row.try_get("seq")?,
        operation: operation(row)?,
        method: row.try_get("method")?,
        deployment_id: row.try_get("deployment_id")?,
        actor: actor(row)?.ok_or(BadColumn("actor_fingerprint"))?,
        client: Client {
            ip: row.try_get("client_ip")?,
            user_agent: row.try_get("user_agent")?,
            retry: row.try_get("client_retry")?,
        },
        request_id: row.try_get("request_id")?,
        received_at: Timestamp::from_millis(row.try_get("received_at")?),
        decided_at: time(row, "decided_at")?,
        completed_at: time(row, "completed_at")?,
        decision: variant(row.try_get("decision")?)?,
        violations: list(row, "violations")?,
        standing: list(row, "standing")?,
        after_violations: list(row, "after_violations")?,
        outcome: variant(row.try_get("outcome")?)?,
        settled: settlement(row)?,
        late: None,
        upstream: upstream(row)?,
        bodies: None,
        body: refused_body(row)?,
        unkept: unkept(row)?,
        effect: effect.map(|word| variant(&word)).transpose()?,
        redacted,
        policy_digest: row.try_get("policy_digest")?,
        provider: row.try_get("provider")?,
        upstream_name: row.try_get("upstream_name")?,
        node: row.try_get("node")?,
        reason: reason(row)?,
    })
}

/// An event and its place.
pub(super) fn event(row: &SqliteRow) -> Result<(i64, Event), Boxed> {
    let event = Event {
        at: Timestamp::from_millis(row.try_get("at")?),
        kind: variant(row.try_get("kind")?)?,
        actor: actor(row)?,
        client_ip: row.try_get("client_ip")?,
        request_id: row.try_get("request_id")?,
        detail: serde_json::from_str(row.try_get("detail")?)?,
    };
    Ok((row.try_get("seq")?, event))
}

pub(super) fn change_id(row: &SqliteRow) -> Result<ChangeId, Boxed> {
    Ok(ChangeId::from_bytes(row.try_get("id")?)?)
}

pub(super) fn operation(row: &SqliteRow) -> Result<Operation, Boxed> {
    Ok(Operation::named(row.try_get("operation")?).ok_or(BadColumn("operation"))?)
}

/// How the call's method reads what the body omits.
pub(super) fn omitted(row: &SqliteRow) -> Result<Omitted, Boxed> {
    let is_put = row.try_get::<Option<&str>, _>("method")? == Some("PUT");
    Ok(if is_put { Omitted::Open } else { Omitted::Preserved })
}

/// The bytes of a change's lists, of which each may be long.
pub(super) fn list_bytes(row: &SqliteRow) -> Result<usize, Boxed> {
    bytes_of(row, &["violations", "standing", "after_violations", "redacted", "after_redacted"])
}

/// The same of what is known before its end.
pub(super) fn list_bytes_before(row: &SqliteRow) -> Result<usize, Boxed> {
    bytes_of(row, &["violations", "standing", "redacted"])
}

fn bytes_of(row: &SqliteRow, columns: &[&str]) -> Result<usize, Boxed> {
    let mut bytes = 0;
    for column in columns {
        bytes += row.try_get::<Option<&str>, _>(*column)?.map_or(0, str::len);
    }
    Ok(bytes)
}

pub(super) fn actor(row: &SqliteRow) -> Result<Option<Actor>, Boxed> {
    let Some(fingerprint) = row.try_get::<Option<&[u8]>, _>("actor_fingerprint")? else {
        return Ok(None);
    };
    Ok(Some(Actor {
        fingerprint: Fingerprint::from_bytes(fingerprint.try_into()?),
        name: row.try_get("actor_name")?,
        team: row.try_get("actor_team")?,
        person: row.try_get("actor_person")?,
    }))
}

/// The approval that a change asked for or passed by, or how it passed by break-glass.
fn approval(row: &SqliteRow) -> Result<(Option<ChangeApproval>, Option<BreakGlass>), Boxed> {
    let Some(id) = row.try_get::<Option<&[u8]>, _>("approval_id")? else { return Ok((None, None)) };
    let (id, decided) = (ApprovalId::from_bytes(id)?, decided(row)?);
    let asked_by = row.try_get("asked_by")?;
    let reason: Option<String> = row.try_get("glass_reason")?;
    if let Some(reason) = reason {
        let glass = BreakGlass { reason, person: asked_by, approval: id, decided };
        return Ok((None, Some(glass)));
    }
    let change = ChangeId::from_bytes(row.try_get("approval_change")?)?;
    let asked_at = Timestamp::from_millis(row.try_get("asked_at")?);
    Ok((Some(ChangeApproval { id, change, asked_by, asked_at, decided }), None))
}

fn decided(row: &SqliteRow) -> Result<Option<Decided>, Boxed> {
    let Some(verdict) = row.try_get::<Option<&str>, _>("verdict")? else { return Ok(None) };
    Ok(Some(Decided {
        verdict: variant(verdict)?,
        by: row.try_get("verdict_by")?,
        token: row.try_get("verdict_token")?,
        reason: row.try_get("verdict_reason")?,
        at: Timestamp::from_millis(row.try_get("verdict_at")?),
    }))
}

fn settlement(row: &SqliteRow) -> Result<Option<Settlement>, Boxed> {
    let (Some(by), Some(at)) = (row.try_get("settled_by")?, time(row, "settled_at")?) else {
        return Ok(None);
    };
    Ok(Some(Settlement { by, at, applied: row.try_get("applied")? }))
}

fn upstream(row: &SqliteRow) -> Result<Option<UpstreamAnswer>, Boxed> {
    let Some(call) = row.try_get::<Option<&str>, _>("upstream_call")? else { return Ok(None) };
    let call = variant(call)?;
    let (status, request_id) =
        (row.try_get("upstream_status")?, row.try_get("upstream_request_id")?);
    Ok(Some(UpstreamAnswer { call, status, request_id }))
}

fn reason(row: &SqliteRow) -> Result<Option<Reason>, Boxed> {
    let text: Option<&str> = row.try_get("reason")?;
    Ok(text.map(serde_json::from_str).transpose()?)
}

fn refused_body(row: &SqliteRow) -> Result<Option<RefusedBody>, Boxed> {
    let Some(bytes) = row.try_get::<Option<i64>, _>("body_bytes")? else { return Ok(None) };
    let bytes = u64::try_from(bytes)?;
    Ok(Some(RefusedBody { bytes, digest: row.try_get("body_digest")? }))
}

/// The parts of a change that are not kept, its end aside.
pub(super) fn unkept_before(row: &SqliteRow) -> Result<Unkept, Boxed> {
    let text: Option<&str> = row.try_get("unkept")?;
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
}

fn unkept(row: &SqliteRow) -> Result<Unkept, Boxed> {
    let read = |column| -> Result<Unkept, Boxed> {
        let text: Option<&str> = row.try_get(column)?;
        Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
    };
    Ok(Unkept { after: read("after_unkept")?.after, ..read("unkept")? })
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, Boxed> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

pub(super) fn list<T: for<'a> Deserialize<'a>>(
    row: &SqliteRow,
    column: &str,
) -> Result<Vec<T>, Boxed> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
}
