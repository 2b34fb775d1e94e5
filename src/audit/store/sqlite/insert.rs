//! The statements that write.

use serde::Serialize;
use sqlx::{Error, SqliteConnection};

use super::rows::word_of;
use crate::audit::entry::{Ending, Entry, Opening, Snapshot};
use crate::audit::record::{Event, Settlement};

const SNAPSHOT: &str = "INSERT INTO snapshots (digest, body, bytes) VALUES (?, ?, ?) \
    ON CONFLICT (digest) DO NOTHING";

const CHANGE: &str = "INSERT INTO changes (\
    id, provider, operation, actor_fingerprint, actor_name, actor_team, client_ip, user_agent, \
    request_id, received_at, decision, violations, standing, patch_digest, before_digest, \
    body_bytes, body_digest, policy_digest, redacted, deployment_id, \
    outcome, completed_at, forwarded, upstream_status, upstream_request_id, after_digest, effect, \
    paths, after_redacted) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Matches nothing where the change has ended before: a retry may come after a commit that was
/// not known to have succeeded.
const END: &str = "UPDATE changes SET outcome = ?, completed_at = ?, forwarded = ?, \
    upstream_status = ?, upstream_request_id = ?, after_digest = ?, effect = ?, paths = ?, \
    after_redacted = ?, deployment_id = coalesce(deployment_id, ?) \
    WHERE id = ? AND outcome = 'pending'";

const SETTLEMENT: &str = "INSERT INTO settlements (seq, told_by, at, applied) VALUES (?, ?, ?, ?) \
    ON CONFLICT (seq) DO NOTHING";

const EVENT: &str = "INSERT INTO events (at, kind, actor_fingerprint, actor_name, actor_team, \
    client_ip, request_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Writes one entry, inside a transaction.
pub(super) async fn entry(connection: &mut SqliteConnection, entry: &Entry) -> Result<(), Error> {
    match entry {
        Entry::Opening(opening) => change(connection, opening, None).await,
        Entry::Whole(opening, ending) => change(connection, opening, Some(ending)).await,
        Entry::Ending(ending) => end(connection, ending).await,
        Entry::Settling(seq, settlement) => settle(connection, *seq, settlement).await,
        Entry::Happening(event) => happen(connection, event).await,
    }
}

async fn change(
    connection: &mut SqliteConnection,
    opening: &Opening,
    ending: Option<&Ending>,
) -> Result<(), Error> {
    let after = ending.and_then(|ending| ending.after.as_ref());
    for document in [opening.patch.as_ref(), opening.before.as_ref(), after].into_iter().flatten() {
        snapshot(connection, document).await?;
    }
    let intent = &opening.intent;
    let created = ending.and_then(|ending| ending.completion.deployment_id.as_deref());
    let body = intent.refused_body.as_ref();
    let query = sqlx::query(CHANGE)
        .bind(intent.id.as_bytes().as_slice())
        .bind(intent.provider)
        .bind(intent.operation.name())
        .bind(intent.actor.fingerprint.as_u64().to_be_bytes().to_vec())
        .bind(intent.actor.name.as_deref())
        .bind(intent.actor.team.as_deref())
        .bind(intent.client.ip.as_str())
        .bind(intent.client.user_agent.as_deref())
        .bind(opening.request_id.as_str())
        .bind(intent.received_at.millis())
        .bind(word_of(&intent.ruling))
        .bind(list(&intent.violations)?)
        .bind(list(&intent.standing)?)
        .bind(digest(opening.patch.as_ref()))
        .bind(digest(opening.before.as_ref()))
        .bind(body.map(|body| i64::try_from(body.bytes).unwrap_or(i64::MAX)))
        .bind(body.and_then(|body| body.digest.as_deref()))
        .bind(intent.policy_digest.as_str())
        .bind(list(&opening.redacted)?)
        .bind(intent.deployment_id.as_deref().or(created));
    bind_end(query, ending)?.execute(connection).await.map(drop)
}

async fn end(connection: &mut SqliteConnection, ending: &Ending) -> Result<(), Error> {
    if let Some(after) = &ending.after {
        snapshot(connection, after).await?;
    }
    bind_end(sqlx::query(END), Some(ending))?
        .bind(ending.completion.deployment_id.as_deref())
        .bind(ending.id.as_bytes().as_slice())
        .execute(connection)
        .await
        .map(drop)
}

/// Binds the columns from `outcome` to `after_redacted`, which an insert and an update share.
fn bind_end(query: Query, ending: Option<&Ending>) -> Result<Query, Error> {
    let Some(ending) = ending else { return Ok(query.bind("pending")) };
    let completion = &ending.completion;
    let upstream = completion.upstream.as_ref();
    Ok(query
        .bind(word_of(&completion.outcome))
        .bind(completion.completed_at.millis())
        .bind(upstream.is_some())
        .bind(upstream.and_then(|answer| answer.status))
        .bind(upstream.and_then(|answer| answer.request_id.as_deref()))
        .bind(digest(ending.after.as_ref()))
        .bind(completion.effect.as_ref().map(word_of))
        .bind(list(&ending.paths)?)
        .bind(list(&ending.redacted)?))
}

async fn snapshot(connection: &mut SqliteConnection, snapshot: &Snapshot) -> Result<(), Error> {
    let query = sqlx::query(SNAPSHOT)
        .bind(snapshot.digest.as_slice())
        .bind(snapshot.body.as_slice())
        .bind(snapshot.bytes);
    query.execute(connection).await.map(drop)
}

async fn settle(
    connection: &mut SqliteConnection,
    seq: i64,
    settlement: &Settlement,
) -> Result<(), Error> {
    let query = sqlx::query(SETTLEMENT)
        .bind(seq)
        .bind(settlement.by.as_str())
        .bind(settlement.at.millis())
        .bind(settlement.applied);
    query.execute(connection).await.map(drop)
}

async fn happen(connection: &mut SqliteConnection, event: &Event) -> Result<(), Error> {
    let actor = event.actor.as_ref();
    let query = sqlx::query(EVENT)
        .bind(event.at.millis())
        .bind(word_of(&event.kind))
        .bind(actor.map(|actor| actor.fingerprint.as_u64().to_be_bytes().to_vec()))
        .bind(actor.and_then(|actor| actor.name.as_deref()))
        .bind(actor.and_then(|actor| actor.team.as_deref()))
        .bind(event.client_ip.as_deref())
        .bind(event.request_id.as_deref())
        .bind(event.detail.to_string());
    query.execute(connection).await.map(drop)
}

fn digest(snapshot: Option<&Snapshot>) -> Option<Vec<u8>> {
    snapshot.map(|snapshot| snapshot.digest.to_vec())
}

/// A list as JSON; an empty one is nothing.
fn list<T: Serialize>(items: &[T]) -> Result<Option<String>, Error> {
    if items.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(items).map(Some).map_err(|error| Error::Encode(error.into()))
}
