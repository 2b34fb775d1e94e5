//! The statements that erase, and leave nothing in the file of what they took.

use std::fmt::Write as _;
use std::time::Instant;

use sqlx::{AssertSqlSafe, Error, SqliteConnection};

use super::error::{of_statement, unavailable};
use super::prune::{NEWEST_HOLD, WITHOUT_KEYS, settled, with_keys};
use super::{Writes, begin};
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::store::erasable::{ERASED, EraseStep, SealedRecord};
use crate::audit::store::prunable::{Pruned, dangling, list};
use crate::audit::store::rows::word_of;
use crate::audit::store::{OwnedRow, StoreError};

const CHANGE: &str = "UPDATE changes SET violations = ?, standing = ?, body_digest = ?, \
    redacted = ?, unkept = ?, patch = CASE WHEN ? THEN patch END, \
    before = CASE WHEN ? THEN before END WHERE seq = ?";

const END: &str = "UPDATE ends SET reason = ?, redacted = ?, unkept = ?, after_violations = ?, \
    after = CASE WHEN ? THEN after END, touched = CASE WHEN ? THEN touched END WHERE seq = ?";

const LEAF: &str = "UPDATE leaves SET entry = ?, salt = ? WHERE position = ? AND salt = ?";

/// What is deleted is overwritten, also in pages that are free then.
const OVERWRITE: &str = "PRAGMA secure_delete = ON";

impl Writes {
    /// Carries out a step in one transaction, or nothing of it.
    pub(in crate::audit) async fn erase(&mut self, step: &EraseStep) -> Result<Pruned, StoreError> {
        let mut connection = self.ready().await?;
        let erased = erase(&mut connection, step).await;
        self.keep(connection, erased)
    }

    /// Writes the file anew without what was deleted, and cuts the write-ahead log to nothing.
    /// Tells whether no reader stood in the way.
    pub(in crate::audit) async fn scour(&mut self) -> Result<bool, StoreError> {
        let mut connection = self.ready().await?;
        let scoured = scour(&mut connection).await.map_err(unavailable);
        self.keep(connection, scoured)
    }
}

async fn scour(connection: &mut SqliteConnection) -> Result<bool, Error> {
    sqlx::raw_sql("VACUUM").execute(&mut *connection).await?;
    let checkpoint = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)");
    let (busy, _pages, _moved): (i64, i64, i64) = checkpoint.fetch_one(connection).await?;
    Ok(busy == 0)
}

async fn erase(connection: &mut SqliteConnection, step: &EraseStep) -> Result<Pruned, StoreError> {
    for setting in [OVERWRITE, WITHOUT_KEYS] {
        sqlx::raw_sql(setting).execute(&mut *connection).await.map_err(unavailable)?;
    }
    let erased = transact(connection, step).await;
    with_keys(connection, erased).await
}

async fn transact(
    connection: &mut SqliteConnection,
    step: &EraseStep,
) -> Result<Pruned, StoreError> {
    let mut transaction = begin(connection).await?;
    #[expect(clippy::disallowed_methods, reason = "how long the step takes, in real time")]
    let begun = Instant::now();
    let newest = sqlx::query_scalar(NEWEST_HOLD).fetch_one(&mut *transaction).await;
    let done = match newest.map_err(of_statement) {
        Ok(newest) if newest == step.holds => {
            take(&mut transaction, step).await.map_err(of_statement)
        }
        newest => newest.map(|_another: i64| false),
    };
    settled(transaction, begun, done).await
}

/// Takes all of it. Tells whether everything was as it was found, and nothing is left that names
/// what is gone.
async fn take(connection: &mut SqliteConnection, step: &EraseStep) -> Result<bool, Error> {
    sqlx::raw_sql(AssertSqlSafe(statements(step))).execute(&mut *connection).await?;
    for record in step.of(LeafKind::Change) {
        change(connection, record).await?;
    }
    for record in step.of(LeafKind::Event) {
        let event = sqlx::query("UPDATE events SET detail = ? WHERE seq = ?");
        let event = event.bind(text(&record.row, "detail")).bind(record.reference);
        event.execute(&mut *connection).await?;
    }
    for (number, body) in &step.repacked {
        let alone = "UPDATE snapshots SET base = NULL, depth = 0, body = ? WHERE number = ?";
        sqlx::query(alone).bind(body.clone()).bind(*number).execute(&mut *connection).await?;
    }
    let gone = format!("DELETE FROM snapshots WHERE number IN ({})", list(&step.snapshots));
    sqlx::query(AssertSqlSafe(gone)).execute(&mut *connection).await?;
    let dangling = AssertSqlSafe(dangling(&step.snapshots, false));
    let dangling: i64 = sqlx::query_scalar(dangling).fetch_one(&mut *connection).await?;
    let mut is_as_found = dangling == 0;
    for leaf in &step.leaves {
        let altered = sqlx::query(LEAF)
            .bind(leaf.entry.clone())
            .bind(leaf.salt.to_vec())
            .bind(i64::try_from(leaf.position).unwrap_or(i64::MAX))
            .bind(leaf.former.to_vec());
        is_as_found &= altered.execute(&mut *connection).await?.rows_affected() == 1;
    }
    let event = &step.event;
    sqlx::query("INSERT INTO events (at, kind, detail) VALUES (?, ?, ?)")
        .bind(event.at.millis())
        .bind(word_of(&event.kind))
        .bind(event.detail.to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM pruning").execute(connection).await?;
    Ok(is_as_found)
}

fn text(row: &OwnedRow, column: &str) -> Option<String> {
    row.text(column).map(str::to_owned)
}

async fn change(connection: &mut SqliteConnection, record: &SealedRecord) -> Result<(), Error> {
    let row = &record.row;
    sqlx::query(CHANGE)
        .bind(text(row, "violations"))
        .bind(text(row, "standing"))
        .bind(text(row, "body_digest"))
        .bind(text(row, "redacted"))
        .bind(text(row, "unkept"))
        .bind(row.has("patch"))
        .bind(row.has("before"))
        .bind(record.reference)
        .execute(&mut *connection)
        .await?;
    sqlx::query(END)
        .bind(text(row, "reason"))
        .bind(text(row, "after_redacted"))
        .bind(text(row, "after_unkept"))
        .bind(text(row, "after_violations"))
        .bind(row.has("after"))
        .bind(row.has("touched"))
        .bind(record.reference)
        .execute(connection)
        .await?;
    Ok(())
}

/// The statements that name nothing but numbers: one message to SQLite's thread.
fn statements(step: &EraseStep) -> String {
    let mut text = format!("INSERT INTO pruning VALUES (1, {});", step.event.at.millis());
    for (seq, half) in &step.originals {
        let _infallible =
            write!(text, "DELETE FROM originals WHERE seq = {seq} AND half = {half};");
    }
    for (place, kind, seq) in &step.touched {
        let _infallible = write!(
            text,
            "DELETE FROM touched WHERE place = {place} AND kind = {kind} AND seq = {seq};"
        );
    }
    let _infallible = write!(
        text,
        "DELETE FROM places WHERE number IN ({}) \
         AND NOT EXISTS (SELECT 1 FROM touched WHERE place = number);",
        list(&step.places())
    );
    for (kind, table) in [(LeafKind::Approval, "approvals"), (LeafKind::Step, "approval_steps")] {
        let numbers: Vec<i64> = step.of(kind).map(|record| record.reference).collect();
        let _infallible = write!(
            text,
            "UPDATE {table} SET reason = '{ERASED}' WHERE number IN ({});",
            list(&numbers)
        );
    }
    let positions: Vec<i64> =
        step.leaves.iter().filter_map(|leaf| i64::try_from(leaf.position).ok()).collect();
    let _infallible = write!(
        text,
        "UPDATE dead_letters SET reason = '{ERASED}' WHERE position IN ({});",
        list(&positions)
    );
    text
}
