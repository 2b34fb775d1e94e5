//! The log's use of the disk beside its records, and whether there is room for more of them.

use std::path::PathBuf;

use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::Writes;
use super::error::{ambiguous, unavailable};
use crate::audit::store::StoreError;
use crate::base::clock::Timestamp;

/// The bytes of write-ahead log that stay on the disk.
pub(super) const WAL_BYTES_KEPT: u32 = 4 << 20;

/// The pages of write-ahead log, of 4 KiB, after which SQLite moves them into the database, inside
/// a commit.
pub(super) const WAL_PAGES_MAX: &str = "1000";

/// How much the write-ahead log grows before it is tried again to cut it: a reader may be in the
/// way.
const GROWTH_BYTES: u64 = 1 << 20;

/// How much a probe writes, in bytes: as much as a batch of records. A few small rows may still
/// fit where no batch does.
const BALLAST_BYTES: u32 = 512 * 1024;

/// Cuts the write-ahead log to nothing, where no reader stands in the way: none is waited for.
const EMPTY_WAL: &str =
    "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 2000";

impl Writes {
    /// Finds out whether a batch of records can be written, and gives back first what the
    /// write-ahead log takes.
    pub(in crate::audit) async fn probe(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.ready().await?;
        let written = try_out(&mut connection, now).await.map_err(ambiguous);
        self.keep(connection, written)
    }

    /// Moves what is committed from the write-ahead log into the database, as far as no reader
    /// stands in the way.
    pub(in crate::audit) async fn checkpoint(&mut self) -> Result<(), StoreError> {
        let mut connection = self.ready().await?;
        let moved = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut connection).await;
        self.keep(connection, moved.map(drop).map_err(unavailable))?;
        if self.wal_bytes() > u64::from(WAL_BYTES_KEPT) { self.empty_wal().await } else { Ok(()) }
    }

    /// Cuts the write-ahead log where a large transaction, or one beside a reader, has let it grow
    /// far beyond what is kept.
    pub(in crate::audit) async fn trim(&mut self) -> Result<(), StoreError> {
        let bytes = self.wal_bytes();
        if bytes <= 2 * u64::from(WAL_BYTES_KEPT) {
            self.trimmed_at = 0;
            return Ok(());
        }
        if bytes < self.trimmed_at + GROWTH_BYTES {
            return Ok(());
        }
        self.trimmed_at = bytes;
        self.empty_wal().await
    }

    async fn empty_wal(&mut self) -> Result<(), StoreError> {
        let mut connection = self.ready().await?;
        let emptied = connection.execute(sqlx::raw_sql(EMPTY_WAL)).await;
        self.keep(connection, emptied.map(drop).map_err(unavailable))
    }

    /// How long the write-ahead log is.
    pub(super) fn wal_bytes(&self) -> u64 {
        let mut path = self.database.as_os_str().to_owned();
        path.push("-wal");
        std::fs::metadata(PathBuf::from(path)).map_or(0, |found| found.len())
    }
}

async fn try_out(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(EMPTY_WAL)).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let beat = sqlx::query(
        "INSERT INTO heartbeat (one, at) VALUES (1, ?) \
         ON CONFLICT (one) DO UPDATE SET at = excluded.at",
    );
    beat.bind(now.millis()).execute(&mut *transaction).await?;
    let ballast = sqlx::query(
        "INSERT INTO ballast (one, room) VALUES (1, zeroblob(?)) \
         ON CONFLICT (one) DO UPDATE SET room = excluded.room",
    );
    ballast.bind(BALLAST_BYTES).execute(&mut *transaction).await?;
    transaction.commit().await?;
    sqlx::query("DELETE FROM ballast").execute(&mut *connection).await?;
    Ok(())
}
