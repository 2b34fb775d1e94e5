//! The statements by which leaves come into the tree, and trees are signed.

use sqlx::{Error, SqliteConnection};

use crate::audit::sealed::{Sealed, SignedTree};
use crate::audit::store::batch::Batch;

/// Leaves from `?1` up to `?2`, by their hashes and salts, 64 bytes each.
const LEAVES: &str = "UPDATE leaves SET hash = substr(?3, 64 * (position - ?1) + 1, 32), \
    salt = substr(?3, 64 * (position - ?1) + 33, 32) WHERE position >= ?1 AND position < ?2";

/// The size below zero, which the table refuses, stands for another tree than the one before.
const TREE: &str = "UPDATE tree SET size = CASE WHEN size = ?1 THEN ?2 ELSE -1 END";

const CHECKPOINT: &str = "INSERT INTO checkpoint (one, size, at, note) VALUES (1, ?, ?, ?) \
    ON CONFLICT (one) DO UPDATE SET size = excluded.size, at = excluded.at, note = excluded.note";

/// Writes what a batch has of them, inside its transaction.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    batch: &Batch<'_>,
) -> Result<(), Error> {
    for sealed in &batch.sealings {
        leaves(connection, sealed).await?;
    }
    for signed in &batch.checkpoints {
        checkpoint(connection, signed).await?;
    }
    for (key, at) in &batch.log_keys {
        let key = sqlx::query("INSERT INTO log_keys (vkey, at) VALUES (?, ?)")
            .bind((*key).to_owned())
            .bind(at.millis());
        key.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn leaves(connection: &mut SqliteConnection, sealed: &Sealed) -> Result<(), Error> {
    let (first, end) = (number(sealed.first), number(sealed.frontier.size()));
    let tree = sqlx::query(TREE).bind(first).bind(end);
    tree.execute(&mut *connection).await?;
    let leaves = sqlx::query(LEAVES).bind(first).bind(end).bind(sealed.bytes());
    leaves.execute(&mut *connection).await?;
    for full in &sealed.completed {
        let full = sqlx::query("INSERT INTO subtrees (level, number, hash) VALUES (?, ?, ?)")
            .bind(i64::from(full.level))
            .bind(number(full.index))
            .bind(full.hash.to_vec());
        full.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn checkpoint(connection: &mut SqliteConnection, signed: &SignedTree) -> Result<(), Error> {
    let checkpoint = sqlx::query(CHECKPOINT)
        .bind(number(signed.size))
        .bind(signed.at.millis())
        .bind(signed.note.clone());
    checkpoint.execute(connection).await.map(drop)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
