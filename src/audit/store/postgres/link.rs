//! A connection to the server, found fit to hold a log before it is used.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Error, PgConnection, Row as _};
use tokio::time::timeout;

use super::error::{UnfitServer, code, silent, unfit};
use crate::base::database::{PostgresHost, PostgresUrl, Protection};

/// The version of the tables that this program knows: the number of the last migration.
pub(super) const TABLES_VERSION: i32 = 1;

/// The oldest server, as `server_version_num` says it.
const SERVER_VERSION_MIN: i32 = 150_000;

/// How long a connection may take to be there, with its checks.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the client waits beyond the server's own limit on a statement.
const GRACE: Duration = Duration::from_secs(1);

/// Everything that must hold of a server, in one row.
const CHECK: &str = "SELECT current_setting('server_version_num')::int AS version, \
    current_setting('fsync')::bool AS fsync, pg_is_in_recovery() AS standby, \
    has_schema_privilege('changegate', 'USAGE') AS granted, \
    (SELECT coalesce(bool_or(row_security_active(c.oid)), false) FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'changegate' AND c.relkind IN ('r', 'p')) AS hides, \
    (SELECT max(version) FROM changegate.migrations) AS tables, \
    (SELECT serves_from FROM changegate.migrations ORDER BY version DESC LIMIT 1) AS serves_from, \
    EXISTS (SELECT FROM changegate.copies WHERE until_at IS NULL) AS copying, \
    CASE WHEN NOT pg_is_in_recovery() \
        THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline, \
    current_setting('synchronous_standby_names') = '' \
        AND EXISTS (SELECT FROM pg_stat_replication) AS lags";

/// How a server stands among others.
#[derive(Debug)]
pub(in crate::audit) struct Standing {
    /// Whether it has standbys none of which a commit waits for.
    pub(super) lags: bool,
    /// Another one from each failover on.
    pub(super) timeline: String,
}

/// The options of a connection.
pub(super) fn options(url: &PostgresUrl) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .username(&url.user)
        .port(url.port)
        .database(&url.name)
        .application_name("changegate")
        // Poolers refuse what they don't know.
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .ssl_mode(match url.protection {
            Protection::Disable => PgSslMode::Disable,
            Protection::Prefer => PgSslMode::Prefer,
            Protection::Require => PgSslMode::Require,
            Protection::VerifyCa => PgSslMode::VerifyCa,
            Protection::VerifyFull => PgSslMode::VerifyFull,
        });
    options = match &url.host {
        PostgresHost::Folder(folder) => options.socket(folder),
        PostgresHost::Name(name) => options.host(name),
    };
    if let Some(password) = &url.password {
        options = options.password(password.expose());
    }
    if let Some(authorities) = &url.authorities {
        options = options.ssl_root_cert(authorities);
    }
    if let Some((cert, key)) = &url.identity {
        options = options.ssl_client_cert(cert).ssl_client_key(key);
    }
    options.disable_statement_logging()
}

/// Connects to a server, whatever it holds.
pub(super) async fn reach(url: &PostgresUrl) -> Result<PgConnection, Error> {
    let reached = timeout(CONNECT_TIMEOUT, options(url).connect()).await;
    reached.map_err(|_elapsed| silent())?
}

/// Connects to a server, and finds out first that it holds a log of this version and keeps what it
/// is told.
pub(in crate::audit) async fn connect(
    url: &PostgresUrl,
) -> Result<(PgConnection, Standing), Error> {
    let connected = timeout(CONNECT_TIMEOUT, async {
        let mut connection = options(url).connect().await?;
        let standing = check(&mut connection).await?;
        Ok((connection, standing))
    });
    connected.await.map_err(|_elapsed| silent())?
}

/// Holds that a server is fit for a log, apart from its tables.
pub(super) async fn check_server(connection: &mut PgConnection) -> Result<(), Error> {
    let asked = "SELECT current_setting('server_version_num')::int AS version, \
        current_setting('fsync')::bool AS fsync, pg_is_in_recovery() AS standby";
    fits(&sqlx::raw_sql(asked).fetch_one(connection).await?)
}

fn fits(row: &PgRow) -> Result<(), Error> {
    let version: i32 = row.try_get("version")?;
    if version < SERVER_VERSION_MIN {
        return Err(unfit(UnfitServer::Old(version / 10_000)));
    }
    if row.try_get("standby")? {
        return Err(unfit(UnfitServer::Standby));
    }
    if !row.try_get::<bool, _>("fsync")? {
        return Err(unfit(UnfitServer::NotDurable));
    }
    Ok(())
}

async fn check(connection: &mut PgConnection) -> Result<Standing, Error> {
    let row = check_tables(connection).await?;
    if row.try_get("copying")? {
        return Err(unfit(UnfitServer::Copying));
    }
    Ok(Standing { lags: row.try_get("lags")?, timeline: row.try_get("timeline")? })
}

/// Holds that a server is fit for a log, and has its tables, whatever is in them.
pub(super) async fn check_tables(connection: &mut PgConnection) -> Result<PgRow, Error> {
    let row = match sqlx::raw_sql(CHECK).fetch_one(&mut *connection).await {
        Ok(row) => row,
        // No such schema or table, or no right to it; but the server itself may be the fault.
        Err(error) if matches!(code(&error).as_deref(), Some("3F000" | "42P01" | "42501")) => {
            check_server(connection).await?;
            return Err(unfit(UnfitServer::NoTables));
        }
        Err(error) => return Err(error),
    };
    fits(&row)?;
    if row.try_get("hides")? {
        return Err(unfit(UnfitServer::RowSecurity));
    }
    let found = row.try_get::<Option<i32>, _>("tables")?.unwrap_or(0);
    let known = TABLES_VERSION;
    if found < known || !row.try_get::<bool, _>("granted")? {
        return Err(unfit(UnfitServer::OldTables { found, needed: known }));
    }
    // Those of the version before go on while newer ones are rolled out.
    if row.try_get::<Option<i32>, _>("serves_from")?.is_some_and(|oldest| oldest > known) {
        return Err(unfit(UnfitServer::NewTables { found, known }));
    }
    Ok(row)
}

/// Runs statements as one transaction, durable once this answers, with a limit on each of them.
/// They must be of this program's own making: a value in them is a literal of [`super::literal`].
pub(super) async fn run(
    connection: &mut PgConnection,
    statements: &str,
    limit: Duration,
) -> Result<Vec<PgRow>, Error> {
    let millis = limit.as_millis();
    // Several statements in one message are one transaction, to which LOCAL settings are bound.
    let sql = format!(
        "SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}; \
         SET LOCAL synchronous_commit = on; {statements}"
    );
    let ran = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection);
    timeout(limit + GRACE, ran).await.map_err(|_elapsed| silent())?
}
