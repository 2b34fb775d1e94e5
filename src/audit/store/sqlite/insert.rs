//! The statements that write.

use std::sync::LazyLock;

use serde::Serialize;
use sqlx::{Error, SqliteConnection};

use super::bulk::{Bulk, Insert, Query};
use super::{seal, sinks, steps};
use crate::audit::document::Snapshot;
use crate::audit::idempotency::{IN_FORCE, IdempotencyKey};
use crate::audit::originals::{Half, SealedOriginals};
use crate::audit::record::{Event, Settlement, Unkept};
use crate::audit::store::batch::{Batch, Change, End};
use crate::audit::store::rows::word_of;
use crate::audit::touched::Touched;
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;

static UPSTREAMS: LazyLock<Bulk> = LazyLock::new(|| name("upstreams (name, provider)", 2));

static NODES: LazyLock<Bulk> = LazyLock::new(|| name("nodes (name)", 1));

static POLICIES: LazyLock<Bulk> = LazyLock::new(|| name("policies (digest, text)", 2));

static DEPLOYMENTS: LazyLock<Bulk> = LazyLock::new(|| name("deployments (upstream, id)", 2));

static PLACES: LazyLock<Bulk> = LazyLock::new(|| name("places (path)", 1));

/// A statement that adds names to their table, where they are not in it.
fn name(into: &str, width: usize) -> Bulk {
    let values = if width == 1 { "column1" } else { "column1, column2" };
    Bulk::new(&Insert { into, values, width, join: None, conflict: "ON CONFLICT DO NOTHING" })
}

static SNAPSHOTS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "snapshots (number, digest, base, depth, body)",
        values: "column1, column2, column3, column4, column5",
        width: 5,
        join: None,
        conflict: "",
    })
});

static CHANGES: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "changes (id, upstream, policy, node, operation, deployment, actor_fingerprint, \
            actor_name, actor_team, client_ip, user_agent, request_id, received_at, decision, \
            violations, standing, patch, before, body_bytes, body_digest, redacted, method, \
            unkept, client_retry, actor_person, decided_at, approval, reverts, sealed)",
        values: "column1, \
            (SELECT number FROM upstreams WHERE name = column2 AND provider = column3), \
            (SELECT number FROM policies WHERE digest = column4), \
            (SELECT number FROM nodes WHERE name = column5), column6, \
            (SELECT number FROM deployments WHERE id = column7 AND upstream = column8), \
            column9, column10, column11, column12, column13, column14, column15, column16, \
            column17, column18, column19, column20, column21, column22, column23, column24, \
            column25, column26, column27, column28, column29, \
            column30, column31",
        width: 31,
        join: None,
        conflict: "",
    })
});

/// The table refuses a key that is in force already.
static IDEMPOTENCY_KEYS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "idempotency_keys (digest, seq, request, until_at)",
        values: "column2, c.seq, column3, c.received_at + column4",
        width: 4,
        join: Some(("changes c", "c.id = column1")),
        conflict: "",
    })
});

/// Adds nothing where the change has ended before: a retry may come after a commit that was not
/// known to have succeeded.
static ENDS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "ends (seq, outcome, completed_at, upstream_call, upstream_status, \
            upstream_request_id, after, effect, reason, redacted, unkept, after_violations, \
            touched, sealed)",
        values: "c.seq, column2, column3, column4, column5, column6, column7, column8, column9, \
            column10, column11, column12, column13, column14",
        width: 14,
        join: Some(("changes c", "c.id = column1")),
        conflict: "ON CONFLICT (seq) DO NOTHING",
    })
});

static TOUCHED: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "touched (place, seq, kind)",
        values: "(SELECT number FROM places WHERE path = column2), c.seq, column3",
        width: 3,
        join: Some(("changes c", "c.id = column1")),
        conflict: "ON CONFLICT DO NOTHING",
    })
});

/// Adds nothing where they are there already, for the same reason as an end.
static ORIGINALS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "originals (seq, half, key, wrapped, body)",
        values: "c.seq, column2, column3, column4, column5",
        width: 5,
        join: Some(("changes c", "c.id = column1")),
        conflict: "ON CONFLICT DO NOTHING",
    })
});

static EVENTS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "events (at, kind, actor_fingerprint, actor_name, actor_team, client_ip, \
            request_id, detail, actor_person)",
        values: "column1, column2, column3, column4, column5, column6, column7, column8, column9",
        width: 9,
        join: None,
        conflict: "",
    })
});

static SETTLEMENTS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&Insert {
        into: "settlements (seq, settled_by, at, applied)",
        values: "column1, column2, column3, column4",
        width: 4,
        join: None,
        conflict: "ON CONFLICT (seq) DO NOTHING",
    })
});

const MADE: &str = "UPDATE changes SET deployment = \
    (SELECT number FROM deployments WHERE id = ? AND upstream = ?) \
    WHERE id = ? AND operation = 'create' AND deployment IS NULL";

/// Writes a batch, inside a transaction: what others name before those that name it.
pub(super) async fn batch(
    connection: &mut SqliteConnection,
    batch: &Batch<'_>,
) -> Result<(), Error> {
    let pair = |query: Query, one: &str, other: &str| Ok(query.bind(text(one)).bind(text(other)));
    let upstreams = &batch.upstreams;
    UPSTREAMS.write(connection, upstreams, |query, names| pair(query, names.0, names.1)).await?;
    NODES.write(connection, &batch.nodes, |query, name| Ok(query.bind(text(name)))).await?;
    let policies = &batch.policies;
    POLICIES
        .write(connection, policies, |query, policy| pair(query, &policy.digest, &policy.text))
        .await?;
    PLACES.write(connection, &batch.places, |query, path| Ok(query.bind(text(path)))).await?;
    let deployments = &batch.deployments;
    DEPLOYMENTS.write(connection, deployments, |query, key| pair(query, key.0, key.1)).await?;
    SNAPSHOTS
        .write(connection, &batch.snapshots, |query, (number, document)| {
            Ok(snapshot(query, *number, document))
        })
        .await?;
    CHANGES.write(connection, &batch.changes, change).await?;
    let keys = &batch.idempotency_keys;
    IDEMPOTENCY_KEYS.write(connection, keys, |query, key| Ok(idempotency_key(query, *key))).await?;
    steps::write(connection, &batch.approvals).await?;
    ENDS.write(connection, &batch.ends, end).await?;
    TOUCHED.write(connection, &batch.touched, |query, row| Ok(touched(query, *row))).await?;
    let originals = &batch.originals;
    ORIGINALS.write(connection, originals, |query, row| Ok(original(query, *row))).await?;
    for (id, made) in &batch.made {
        let query = sqlx::query(MADE).bind(text(&made.id)).bind(text(&made.upstream));
        let query = query.bind(id.as_bytes().to_vec());
        query.execute(&mut *connection).await?;
    }
    let settlements = &batch.settlements;
    SETTLEMENTS.write(connection, settlements, |query, row| Ok(settlement(query, *row))).await?;
    EVENTS.write(connection, &batch.events, |query, event| Ok(happening(query, event))).await?;
    seal::write(connection, batch).await?;
    sinks::write(connection, &batch.sinks).await
}

fn snapshot(query: Query, number: i64, snapshot: &Snapshot) -> Query {
    query
        .bind(number)
        .bind(snapshot.digest.to_vec())
        .bind(snapshot.base.map(|base| base.number))
        .bind(snapshot.depth())
        .bind(snapshot.body.clone())
}

fn change(query: Query, change: &Change<'_>) -> Result<Query, Error> {
    let opening = change.opening;
    let intent = &opening.intent;
    let body = intent.refused_body.as_ref();
    let query = query
        .bind(intent.id.as_bytes().to_vec())
        .bind(text(&intent.upstream))
        .bind(intent.provider.name)
        .bind(text(&intent.policy.digest))
        .bind(text(&intent.node))
        .bind(intent.operation.name())
        .bind(change.deployment_id.map(text))
        .bind(text(&intent.upstream))
        .bind(intent.actor.fingerprint.as_u64().to_be_bytes().to_vec())
        .bind(intent.actor.name.as_deref().map(text))
        .bind(intent.actor.team.as_deref().map(text))
        .bind(text(&intent.client.ip))
        .bind(intent.client.user_agent.as_deref().map(text))
        .bind(text(&opening.request_id))
        .bind(intent.received_at.millis())
        .bind(intent.decision.name())
        .bind(list(&intent.violations)?)
        .bind(list(&intent.standing)?)
        .bind(opening.patch.as_deref().cloned())
        .bind(change.before)
        .bind(body.map(|body| i64::try_from(body.bytes).unwrap_or(i64::MAX)))
        .bind(body.and_then(|body| body.digest.as_deref()).map(text))
        .bind(list(&opening.redacted)?)
        .bind(intent.method.as_str().to_owned())
        .bind(unkept(&opening.unkept)?)
        .bind(intent.client.retry)
        .bind(intent.actor.person.as_deref().map(text))
        .bind(intent.decided_at.map(Timestamp::millis))
        .bind(intent.approval.as_ref().map(|part| part.id().as_bytes().to_vec()))
        .bind(intent.reverts.map(|id| id.as_bytes().to_vec()))
        .bind(opening.originals.as_ref().map(|sealed| sealed.digest().to_vec()));
    Ok(query)
}

fn idempotency_key(query: Query, (id, key): (ChangeId, IdempotencyKey)) -> Query {
    query
        .bind(id.as_bytes().to_vec())
        .bind(key.digest.to_vec())
        .bind(key.request.to_vec())
        .bind(i64::try_from(IN_FORCE.as_millis()).unwrap_or(i64::MAX))
}

fn end(query: Query, end: &End<'_>) -> Result<Query, Error> {
    let completion = &end.ending.completion;
    let upstream = completion.upstream.as_ref();
    let query = query
        .bind(end.ending.id.as_bytes().to_vec())
        .bind(completion.outcome.name())
        .bind(completion.completed_at.millis())
        .bind(upstream.map(|answer| word_of(&answer.call)))
        .bind(upstream.and_then(|answer| answer.status))
        .bind(upstream.and_then(|answer| answer.request_id.as_deref()).map(text))
        .bind(end.after)
        .bind(completion.effect.as_ref().map(word_of))
        .bind(completion.reason.as_ref().map(json).transpose()?)
        .bind(list(&end.ending.redacted)?)
        .bind(unkept(&end.ending.unkept)?)
        .bind(list(&completion.after_violations)?)
        .bind(end.ending.touched_digest.map(Vec::from))
        .bind(end.ending.originals.as_ref().map(|sealed| sealed.digest().to_vec()));
    Ok(query)
}

fn touched(query: Query, (id, touched): (ChangeId, &Touched)) -> Query {
    let kind = touched.touch.kind(touched.is_whole);
    query.bind(id.as_bytes().to_vec()).bind(text(&touched.path)).bind(kind)
}

fn original(query: Query, (id, half, sealed): (ChangeId, Half, &SealedOriginals)) -> Query {
    query
        .bind(id.as_bytes().to_vec())
        .bind(half.number())
        .bind(sealed.key.as_bytes().to_vec())
        .bind(sealed.wrapped.clone())
        .bind(sealed.body.clone())
}

fn settlement(query: Query, (seq, settlement): (i64, &Settlement)) -> Query {
    query.bind(seq).bind(text(&settlement.by)).bind(settlement.at.millis()).bind(settlement.applied)
}

fn happening(query: Query, event: &Event) -> Query {
    let actor = event.actor.as_ref();
    query
        .bind(event.at.millis())
        .bind(word_of(&event.kind))
        .bind(actor.map(|actor| actor.fingerprint.as_u64().to_be_bytes().to_vec()))
        .bind(actor.and_then(|actor| actor.name.as_deref()).map(text))
        .bind(actor.and_then(|actor| actor.team.as_deref()).map(text))
        .bind(event.client_ip.as_deref().map(text))
        .bind(event.request_id.as_deref().map(text))
        .bind(event.detail.to_string())
        .bind(actor.and_then(|actor| actor.person.as_deref()).map(text))
}

/// An owned copy: a bound value is kept until SQLite's thread has written it.
fn text(text: &str) -> String {
    text.to_owned()
}

/// Bodies that are not kept, as JSON; nothing where all are.
fn unkept(unkept: &Unkept) -> Result<Option<String>, Error> {
    (!unkept.is_empty()).then(|| json(unkept)).transpose()
}

/// A list as JSON; an empty one is nothing.
fn list<T: Serialize>(items: &[T]) -> Result<Option<String>, Error> {
    (!items.is_empty()).then(|| json(items)).transpose()
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Encode(error.into()))
}
