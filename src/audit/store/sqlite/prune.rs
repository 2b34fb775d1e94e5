//! The statements that prune, and give room back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Error, Sqlite, SqliteConnection, Transaction};

use super::asking::Asking;
use super::error::{ambiguous, of_statement, spares_connection, unavailable};
use super::select::Reads;
use super::{Writes, begin};
use crate::audit::store::prunable::{
    Candidate, FromRow, PruneStep, Pruned, candidates, dangling, list,
};
use crate::audit::store::rows::word_of;
use crate::audit::store::{Boxed, StoreError};

/// The newest word on holds.
pub(super) const NEWEST_HOLD: &str = "SELECT coalesce(max(seq), 0) FROM events WHERE kind = 'hold'";

/// Rows that name others go before those: a child's index would be needed for each of them, and
/// the step has found them all.
pub(super) const WITHOUT_KEYS: &str = "PRAGMA foreign_keys = OFF";
const WITH_KEYS: &str = "PRAGMA foreign_keys = ON";

/// How many pages are left free for what comes next: 1 MiB.
const FREE_PAGES_KEPT: i64 = 256;

/// How many pages are given back at a time.
const PAGES_AT_ONCE: i64 = 128;

impl Reads {
    /// What a statement about what may be pruned finds.
    pub(in crate::audit::store) async fn found<T: FromRow>(
        &self,
        statement: &str,
    ) -> Result<Vec<T>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let query = sqlx::query(AssertSqlSafe(statement.to_owned()));
        let rows = query.fetch_all(&mut *asking).await?;
        rows.iter().map(T::of).collect()
    }
}

impl Writes {
    /// Carries out a step in one transaction, or nothing of it.
    pub(in crate::audit) async fn prune(&mut self, step: &PruneStep) -> Result<Pruned, StoreError> {
        let mut connection = self.ready().await?;
        let pruned = prune(&mut connection, step).await;
        self.keep(connection, pruned)
    }

    /// Gives some of the free pages back to the file system, all of them in the end or all but what
    /// the next records take; tells whether there are more.
    pub(in crate::audit) async fn shrink(&mut self, all: bool) -> Result<bool, StoreError> {
        let mut connection = self.ready().await?;
        let kept = if all { 0 } else { FREE_PAGES_KEPT };
        let shrunk = shrink(&mut connection, kept).await.map_err(unavailable);
        self.keep(connection, shrunk)
    }
}

async fn prune(connection: &mut SqliteConnection, step: &PruneStep) -> Result<Pruned, StoreError> {
    sqlx::raw_sql(WITHOUT_KEYS).execute(&mut *connection).await.map_err(unavailable)?;
    let pruned = transact(connection, step).await;
    with_keys(connection, pruned).await
}

/// Has keys held again after a step, where the connection is used any further.
pub(super) async fn with_keys(
    connection: &mut SqliteConnection,
    done: Result<Pruned, StoreError>,
) -> Result<Pruned, StoreError> {
    match &done {
        Err(fault) if !spares_connection(fault) => {}
        _trusted => {
            sqlx::raw_sql(WITH_KEYS).execute(connection).await.map_err(unavailable)?;
        }
    }
    done
}

async fn transact(
    connection: &mut SqliteConnection,
    step: &PruneStep,
) -> Result<Pruned, StoreError> {
    let mut transaction = begin(connection).await?;
    #[expect(clippy::disallowed_methods, reason = "how long the writer is held up, in real time")]
    let begun = Instant::now();
    let done = match is_as_found(&mut transaction, step).await {
        Ok(true) => take(&mut transaction, step).await,
        kept => kept,
    };
    settled(transaction, begun, done.map_err(of_statement)).await
}

/// Ends the transaction of a step: with all of it, where everything was as it was found.
pub(super) async fn settled(
    transaction: Transaction<'_, Sqlite>,
    begun: Instant,
    done: Result<bool, StoreError>,
) -> Result<Pruned, StoreError> {
    match done {
        Ok(true) => {
            let took: Duration = begun.elapsed();
            transaction.commit().await.map_err(ambiguous)?;
            Ok(Pruned::Done(took))
        }
        Ok(false) => {
            transaction.rollback().await.map_err(unavailable)?;
            Ok(Pruned::Overtaken)
        }
        Err(fault) => {
            if spares_connection(&fault) {
                transaction.rollback().await.map_err(unavailable)?;
            }
            Err(fault)
        }
    }
}

/// Whether nothing keeps what the step takes, now that nobody else writes.
async fn is_as_found(connection: &mut SqliteConnection, step: &PruneStep) -> Result<bool, Error> {
    let newest: i64 = sqlx::query_scalar(NEWEST_HOLD).fetch_one(&mut *connection).await?;
    if newest != step.holds {
        return Ok(false);
    }
    let which = format!("c.seq IN ({})", list(&step.changes));
    let found = sqlx::query(AssertSqlSafe(candidates(&step.bounds, false, &which)));
    let found = found.fetch_all(connection).await?;
    let is_free = |row| Candidate::of(row).is_ok_and(|candidate| candidate.kept.is_none());
    Ok(found.len() == step.changes.len() && found.iter().all(is_free))
}

/// Deletes all of it. Tells whether nothing is left that names what is gone.
async fn take(connection: &mut SqliteConnection, step: &PruneStep) -> Result<bool, Error> {
    sqlx::raw_sql(AssertSqlSafe(statements(step))).execute(&mut *connection).await?;
    for (rule, seq) in &step.broken {
        let broken = sqlx::query("DELETE FROM broken WHERE rule = ? AND seq = ?");
        broken.bind(rule.clone()).bind(*seq).execute(&mut *connection).await?;
    }
    for (number, body) in &step.repacked {
        let alone = "UPDATE snapshots SET base = NULL, depth = 0, body = ? WHERE number = ?";
        sqlx::query(alone).bind(body.clone()).bind(*number).execute(&mut *connection).await?;
    }
    let snapshots = list(&step.snapshots);
    let gone = format!("DELETE FROM snapshots WHERE number IN ({snapshots})");
    sqlx::query(AssertSqlSafe(gone)).execute(&mut *connection).await?;
    let dangling = AssertSqlSafe(dangling(&step.snapshots, false));
    let dangling: i64 = sqlx::query_scalar(dangling).fetch_one(&mut *connection).await?;
    let event = &step.event;
    sqlx::query("INSERT INTO events (at, kind, detail) VALUES (?, ?, ?)")
        .bind(event.at.millis())
        .bind(word_of(&event.kind))
        .bind(event.detail.to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM pruning").execute(connection).await?;
    Ok(dangling == 0)
}

/// The statements that name nothing but numbers: one message to SQLite's thread.
fn statements(step: &PruneStep) -> String {
    let (changes, events) = (list(&step.changes), list(&step.events));
    let mut text = format!("INSERT INTO pruning VALUES (1, {});", step.event.at.millis());
    let mut touched = step.touched.clone();
    touched.sort_unstable();
    for same in touched.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        let seqs: Vec<i64> = same.iter().map(|(_place, _kind, seq)| *seq).collect();
        if let Some((place, kind, _seq)) = same.first() {
            let seqs = list(&seqs);
            let _infallible = write!(
                text,
                "DELETE FROM touched WHERE place = {place} AND kind = {kind} AND seq IN ({seqs});"
            );
        }
    }
    for (table, column, numbers) in [
        ("idempotency_keys", "seq", &changes),
        ("settlements", "seq", &changes),
        ("originals", "seq", &changes),
        ("ends", "seq", &changes),
        ("changes", "seq", &changes),
        ("events", "seq", &events),
    ] {
        let _infallible = write!(text, "DELETE FROM {table} WHERE {column} IN ({numbers});");
    }
    let leaves = list(&step.leaves);
    let _infallible =
        write!(text, "UPDATE leaves SET salt = NULL, entry = NULL WHERE position IN ({leaves});");
    text
}

async fn shrink(connection: &mut SqliteConnection, kept: i64) -> Result<bool, Error> {
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *connection).await?;
    let pages = (free - kept).min(PAGES_AT_ONCE);
    if pages <= 0 {
        return Ok(false);
    }
    let shrink = AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})"));
    sqlx::query(shrink).fetch_all(connection).await?;
    Ok(free - pages > kept)
}
