//! The contents of a database file, found out before anything is written to it.

use std::io;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::error::primary_code;
use super::{BUSY_TIMEOUT, keys};
use crate::audit::store::{Beside, FindError, LogFacts};

/// Marks a database as a log (the first migration): "CGAT".
const APPLICATION_ID: i64 = 0x4347_4154;

/// Where the log went on, by the last event of one that is sealed.
const MOVED_TO: &str = "SELECT CASE kind WHEN 'move' THEN detail ->> '$.to' END FROM events \
    ORDER BY seq DESC LIMIT 1";

/// SQLite's word for a file that is not a database: `SQLITE_NOTADB`.
const NOT_A_DATABASE: u32 = 26;

/// Looks into the log at `database`, and alters nothing of it.
///
/// A reader needs SQLite's companion files, for which a full disk has no room. Who holds the lock
/// can do without: nobody else writes.
pub(in crate::audit::store) async fn find(
    database: &Path,
    beside: Beside,
) -> Result<LogFacts, FindError> {
    match std::fs::metadata(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LogFacts::default()),
        _there => {}
    }
    let options = SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    match look(&options.clone().read_only(true)).await {
        Err(FindError::Store(error)) if beside == Beside::Readers => {
            let alone = look(&options.locking_mode(SqliteLockingMode::Exclusive)).await;
            alone.map_err(|second| match second {
                FindError::Foreign => second,
                FindError::Store(_) => FindError::Store(error),
            })
        }
        found => found,
    }
}

async fn look(options: &SqliteConnectOptions) -> Result<LogFacts, FindError> {
    let looked = async {
        let mut connection = options.connect().await?;
        let found = read(&mut connection).await?;
        connection.close().await?;
        Ok(found)
    };
    match looked.await {
        Ok(found) => found.ok_or(FindError::Foreign),
        Err(error) if primary_code(&error) == Some(NOT_A_DATABASE) => Err(FindError::Foreign),
        Err(error) => Err(FindError::Store(error.into())),
    }
}

/// The facts found; `None` where it is the database of another program.
async fn read(connection: &mut SqliteConnection) -> Result<Option<LogFacts>, sqlx::Error> {
    if !is_ours(connection).await? {
        return Ok(None);
    }
    let mut found = LogFacts::default();
    for (table, row) in [
        ("changes", "SELECT EXISTS (SELECT 1 FROM changes)"),
        ("events", "SELECT EXISTS (SELECT 1 FROM events)"),
    ] {
        if has_table(connection, table).await? {
            found.has_rows |=
                sqlx::query_scalar::<_, bool>(row).fetch_one(&mut *connection).await?;
        }
    }
    if has_table(connection, "keys").await? {
        found.key = keys::in_force(connection).await?;
    }
    if has_table(connection, "events").await? {
        found.moved_to = sqlx::query_scalar(MOVED_TO).fetch_optional(connection).await?.flatten();
    }
    Ok(Some(found))
}

/// Whether it is a log, or nothing yet: one whose first start was broken off may have the list of
/// migrations alone.
async fn is_ours(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mark = sqlx::query_scalar::<_, i64>("PRAGMA application_id");
    match mark.fetch_one(&mut *connection).await? {
        APPLICATION_ID => return Ok(true),
        0 => {}
        _another => return Ok(false),
    }
    // A view or a trigger is somebody's, too.
    let objects = "SELECT count(*) FROM sqlite_master WHERE type <> 'index'";
    let objects: i64 = sqlx::query_scalar(objects).fetch_one(&mut *connection).await?;
    Ok(objects == 0 || objects == 1 && has_table(connection, "_sqlx_migrations").await?)
}

async fn has_table(connection: &mut SqliteConnection, name: &str) -> Result<bool, sqlx::Error> {
    let named = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)";
    sqlx::query_scalar(named).bind(name).fetch_one(connection).await
}
