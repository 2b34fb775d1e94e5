//! The log in one SQLite file: how it is opened, written and given up on.

mod approvals;
mod asking;
mod backup;
mod bulk;
mod columns;
mod counts;
mod erase;
mod error;
mod events;
mod filter;
mod found;
mod insert;
mod keys;
mod leaves;
mod lock;
mod names;
mod originals;
mod pages;
mod prune;
mod seal;
mod search;
mod searched;
mod select;
mod sinks;
mod source;
mod space;
mod steps;
mod verify;
mod walk;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection};

pub(super) use self::asking::Documents;
use self::error::{
    ambiguous, damaged, may_pass, moved, of_statement, spares_connection, touches_file, unavailable,
};
pub(super) use self::found::find;
pub(super) use self::lock::Lock;
use self::lock::{FileId, file_id};
pub(super) use self::select::Reads;
pub(super) use self::source::Source;
use self::space::{WAL_BYTES_KEPT, WAL_PAGES_MAX};
pub(super) use self::walk::Walk;
use super::batch::{Batch, KnownNumbers};
use super::{Boxed, Preparation, StoreError};
use crate::audit::entry::{Entry, Written};

/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The one connection that writes.
#[derive(Debug)]
pub(in crate::audit) struct Writes {
    database: PathBuf,
    /// None after a fault, until it is opened again.
    connection: Option<SqliteConnection>,
    /// The lock of the file that was opened at the start: no other one is ever written to.
    lock: Lock,
    file: FileId,
    /// Whether the file is to be checked when it is opened again.
    suspect: bool,
    /// Where the next snapshot goes.
    next: i64,
    names: KnownNumbers,
    /// The work that is still to be done before anything is written.
    preparation: Option<Preparation>,
    /// How many changes a crash had left open.
    swept: u64,
    /// How many entries were written since all changes were counted; one at the start.
    uncounted: usize,
    /// How long the write-ahead log was when it was last tried to cut it.
    trimmed_at: u64,
}

/// The results of a batch's entries, one each.
type Answers = Vec<Result<Written, StoreError>>;

impl Writes {
    /// Opens the database that `lock` is of and prepares it. Where that fails in a way that may
    /// pass, such as for want of room, it is made up for as soon as it can be, and the fault is
    /// told.
    pub(in crate::audit) async fn open(
        lock: Lock,
        preparation: Preparation,
    ) -> Result<(Self, Option<StoreError>), Boxed> {
        let mut store = Self {
            database: lock.path().to_owned(),
            connection: None,
            file: lock.file_id()?,
            lock,
            suspect: false,
            next: 1,
            names: KnownNumbers::default(),
            preparation: Some(preparation),
            swept: 0,
            uncounted: 1,
            trimmed_at: 0,
        };
        match store.ready().await {
            Ok(connection) => {
                store.connection = Some(connection);
                Ok((store, None))
            }
            Err(fault) if may_pass(&fault) => Ok((store, Some(fault))),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The asking side of the database.
    pub(in crate::audit) fn reads(&self) -> Reads {
        Reads::of(&self.database).beside(self.lock.descriptor())
    }

    /// How many changes a crash had left open; they are `unknown` now.
    pub(in crate::audit) fn swept(&self) -> u64 {
        self.swept
    }

    async fn prepare(
        &mut self,
        connection: &mut SqliteConnection,
        Preparation { key, at }: Preparation,
    ) -> Result<(), sqlx::Error> {
        migrator().run_direct(None, connection, false).await.map_err(of_another_version)?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let swept = sqlx::query(
            "INSERT INTO ends (seq, outcome, completed_at) SELECT seq, 'unknown', ? FROM pending",
        );
        let swept = swept.bind(at.millis()).execute(&mut *transaction).await?;
        if let Some(key) = key {
            keys::adopt(&mut transaction, key, at).await?;
        }
        transaction.commit().await?;
        self.swept = swept.rows_affected();
        self.preparation = None;
        Ok(())
    }

    /// Writes `entries` in one transaction, with one commit. Where the tables refuse one of them,
    /// the others are written all the same: each has its own answer then.
    pub(in crate::audit) async fn write(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Answers, StoreError> {
        let mut connection = self.ready().await?;
        let written = match self.transact(&mut connection, entries).await {
            Err(StoreError::Refused(_)) => self.transact_each(&mut connection, entries).await,
            written => written,
        };
        self.keep(connection, written)
    }

    async fn transact(
        &mut self,
        connection: &mut SqliteConnection,
        entries: &[&Entry],
    ) -> Result<Answers, StoreError> {
        let (mut batch, mut next) = (Batch::default(), self.next);
        let answers = entries.iter().map(|entry| Ok(batch.add(entry, &mut next, &self.names)));
        let answers = answers.collect();
        let mut transaction = begin(connection).await?;
        if let Err(error) = insert::batch(&mut transaction, &batch).await {
            let fault = of_statement(error);
            // Where a statement broke, SQLite may have rolled back by itself, and has nothing left
            // to roll back: the connection is given up, and what broke is what is told.
            if spares_connection(&fault) {
                transaction.rollback().await.map_err(unavailable)?;
            }
            return Err(fault);
        }
        transaction.commit().await.map_err(ambiguous)?;
        self.uncounted += entries.len();
        self.next = next;
        self.names.learn(&batch);
        Ok(answers)
    }

    /// As `transact`, with a savepoint around each entry.
    async fn transact_each(
        &mut self,
        connection: &mut SqliteConnection,
        entries: &[&Entry],
    ) -> Result<Answers, StoreError> {
        let mut transaction = begin(connection).await?;
        let (mut next, nothing) = (self.next, KnownNumbers::default());
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut batch = Batch::default();
            let written = batch.add(entry, &mut next, &nothing);
            let mut savepoint = transaction.begin().await.map_err(unavailable)?;
            let done = insert::batch(&mut savepoint, &batch).await.map_err(of_statement);
            match &done {
                Ok(()) => savepoint.commit().await.map_err(unavailable)?,
                Err(StoreError::Refused(_)) => savepoint.rollback().await.map_err(unavailable)?,
                Err(fault) => return Err(fault.clone()),
            }
            answers.push(done.map(|()| written));
        }
        transaction.commit().await.map_err(ambiguous)?;
        self.uncounted += entries.len();
        self.next = next;
        Ok(answers)
    }

    /// Finds out whether the file is still where others find it. This costs no sync.
    pub(in crate::audit) fn look(&self) -> Result<(), StoreError> {
        let found = file_id(&self.database).ok();
        if found == Some(self.file) { Ok(()) } else { Err(moved()) }
    }

    /// Empties the write-ahead log, closes the database and gives its lock back.
    pub(in crate::audit) async fn close(mut self) -> Result<Lock, StoreError> {
        if let Some(mut connection) = self.connection.take() {
            let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection);
            emptied.await.map_err(unavailable)?;
            connection.close().await.map_err(unavailable)?;
        }
        Ok(self.lock)
    }

    /// The connection, opened again where a fault has closed it. There is none while the file is
    /// not where others find it: SQLite would go on writing to one that was removed. Nor is one
    /// opened to another file in its place: changes that are open are not in there, and what the
    /// write-ahead log holds belongs to the former.
    async fn ready(&mut self) -> Result<SqliteConnection, StoreError> {
        self.look()?;
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.reopen().await.inspect_err(|fault| self.suspect |= touches_file(fault)),
        }
    }

    async fn reopen(&mut self) -> Result<SqliteConnection, StoreError> {
        let mut connection = options(&self.database).connect().await.map_err(unavailable)?;
        if self.suspect {
            let check = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection);
            let verdict: String = check.await.map_err(unavailable)?;
            if verdict != "ok" {
                return Err(damaged(verdict));
            }
            self.suspect = false;
        }
        if let Some(preparation) = self.preparation {
            self.prepare(&mut connection, preparation).await.map_err(unavailable)?;
        }
        // Never back: what was deleted meanwhile may still be remembered by its number.
        let next = next_snapshot(&mut connection).await.map_err(unavailable)?;
        self.next = self.next.max(next);
        self.names = KnownNumbers::default();
        Ok(connection)
    }

    /// Keeps the connection for the next time, unless there was a fault. After one its state is
    /// SQLite's secret: a transaction may be open or rolled back, pages in memory may not be those
    /// on disk. A new connection knows.
    fn keep<T>(
        &mut self,
        connection: SqliteConnection,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &done {
            Err(fault) if !spares_connection(fault) => self.suspect |= touches_file(fault),
            _trusted => self.connection = Some(connection),
        }
        done
    }
}

async fn begin(
    connection: &mut SqliteConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, StoreError> {
    connection.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)
}

async fn next_snapshot(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let number = "SELECT coalesce(max(number), 0) + 1 FROM snapshots";
    sqlx::query_scalar(number).fetch_one(connection).await
}

/// An error of the migrations; where the tables are another version's, it says so.
fn of_another_version(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionMismatch(_)
        | MigrateError::VersionTooNew(..) => sqlx::Error::Configuration(
            "its tables are those of another version of the gateway: open it with that version, or \
             name another file in `audit.database`"
                .into(),
        ),
        error => error.into(),
    }
}

/// `synchronous = FULL`: a commit has reached the disk before it is answered. With NORMAL a
/// commit in WAL mode is not synced at all, and a power cut takes it back. A statement of many rows
/// keeps what it may have to take back in memory; SQLite would write it to a temporary file.
fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        // Only an empty file takes it: what is pruned is given back page by page.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("temp_store", "MEMORY")
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", WAL_PAGES_MAX)
        .pragma("journal_size_limit", WAL_BYTES_KEPT.to_string())
        .disable_statement_logging()
}

fn migrator() -> Migrator {
    let migrations = [("log", include_str!("../../../migrations/sqlite/0001_log.sql"))];
    let simple = |(version, (name, sql)): (i64, (&'static str, &'static str))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(migrations).map(simple).collect())
}

/// Runs `sql` on a connection of its own, as another program would: for tests.
#[cfg(test)]
pub(in crate::audit) async fn interfere(database: &Path, sql: &str) -> Result<(), String> {
    let mut connection = options(database).connect().await.map_err(|error| error.to_string())?;
    let statements = sqlx::AssertSqlSafe(sql.to_owned());
    let done = sqlx::raw_sql(statements).execute(&mut connection).await;
    let done = done.map(drop).map_err(|error| error.to_string());
    connection.close().await.map_err(|error| error.to_string())?;
    done
}

#[cfg(test)]
mod tests;
