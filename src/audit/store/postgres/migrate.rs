//! The tables and functions of a log in PostgreSQL, made and brought up to date by their owner.

use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection, Row as _};

use super::error::{code, told};
use super::link::{TABLES_VERSION, check_server, reach};
use crate::audit::store::Boxed;
use crate::base::database::PostgresUrl;

/// Each migration: its name, its text, and the oldest version of the tables such that programs that
/// know no newer one may go on after it.
const MIGRATIONS: [(&str, &str, i32); 1] =
    [("log", include_str!("../../../../migrations/postgres/0001_log.sql"), 1)];

/// The functions, which are made anew each time.
const FUNCTIONS: [&str; 9] = [
    include_str!("../../../../migrations/postgres/functions/1_write.sql"),
    include_str!("../../../../migrations/postgres/functions/2_turns.sql"),
    include_str!("../../../../migrations/postgres/functions/3_policy.sql"),
    include_str!("../../../../migrations/postgres/functions/4_counts.sql"),
    include_str!("../../../../migrations/postgres/functions/5_evidence.sql"),
    include_str!("../../../../migrations/postgres/functions/6_prune.sql"),
    include_str!("../../../../migrations/postgres/functions/7_sinks.sql"),
    include_str!("../../../../migrations/postgres/functions/8_originals.sql"),
    include_str!("../../../../migrations/postgres/functions/9_erase.sql"),
];

/// The roles, and what they are for.
const ROLES: [&str; 2] = ["changegate", "changegate_auditor"];

/// One owner at a time, for so long.
const BEGIN: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL client_min_messages = warning; \
    SELECT pg_advisory_xact_lock(1128743252, 4); \
    CREATE SCHEMA IF NOT EXISTS changegate; \
    CREATE TABLE IF NOT EXISTS changegate.migrations (version integer PRIMARY KEY, \
        name text NOT NULL, serves_from integer NOT NULL, \
        at timestamptz NOT NULL DEFAULT clock_timestamp())";

/// Whether a copy into the tables is under way, or was broken off.
const COPYING: &str =
    "SELECT EXISTS (SELECT FROM changegate.copies WHERE until_at IS NULL) AS copying";

/// The rights of the two roles, and of nobody else.
pub(super) const RIGHTS: &str = "REVOKE ALL ON SCHEMA changegate FROM PUBLIC; \
    REVOKE ALL ON ALL TABLES IN SCHEMA changegate FROM PUBLIC, changegate, changegate_auditor; \
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA changegate FROM PUBLIC; \
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA changegate FROM PUBLIC, changegate; \
    GRANT USAGE ON SCHEMA changegate TO changegate, changegate_auditor; \
    GRANT SELECT ON ALL TABLES IN SCHEMA changegate TO changegate, changegate_auditor; \
    GRANT EXECUTE ON FUNCTION changegate.horizon() TO changegate_auditor; \
    DO $$ DECLARE called regprocedure; BEGIN \
        FOR called IN SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
            WHERE n.nspname = 'changegate' AND p.prosecdef \
        LOOP EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO changegate', called); END LOOP; \
    END $$";

/// The work that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The roles that were missing.
    pub roles: Vec<&'static str>,
    /// The migrations that were missing, by their numbers and names.
    pub migrations: Vec<(i32, &'static str)>,
    /// The version of the tables now.
    pub version: i32,
}

/// Why the tables are as they were.
#[derive(Debug, thiserror::Error)]
pub(in crate::audit::store) enum MigrateError {
    #[error(
        "the role {0} is missing, and this login may not make it: have a superuser run \
         CREATE ROLE {0} LOGIN, then run this again"
    )]
    Role(&'static str),
    #[error("the tables are of version {0}, which this program does not know: run a newer one")]
    Newer(i32),
    #[error(
        "a log is being copied into it: let `changegate audit copy` come to its end first, or \
         empty it by DROP SCHEMA changegate CASCADE"
    )]
    Copying,
    #[error("this login is not the owner of the database: name the owner in the URL")]
    NotOwner,
    #[error(transparent)]
    Store(Boxed),
}

impl From<Error> for MigrateError {
    fn from(error: Error) -> Self {
        match code(&error).as_deref() {
            Some("42501") => Self::NotOwner,
            _other => Self::Store(told(error)),
        }
    }
}

/// Makes the roles, the tables and the functions, or brings them up to date: all of it or nothing.
pub(in crate::audit::store) async fn migrate(url: &PostgresUrl) -> Result<Migrated, MigrateError> {
    let mut connection = reach(url).await?;
    check_server(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(BEGIN).execute(&mut *transaction).await?;
    let former: Option<i32> = sqlx::raw_sql("SELECT max(version) AS v FROM changegate.migrations")
        .fetch_one(&mut *transaction)
        .await?
        .try_get("v")?;
    let former = former.unwrap_or(0);
    if former > TABLES_VERSION {
        return Err(MigrateError::Newer(former));
    }
    let roles = make_roles(&mut transaction).await?;
    let mut migrations = Vec::new();
    for (version, (name, text, serves_from)) in (1..).zip(MIGRATIONS) {
        if version <= former {
            continue;
        }
        sqlx::raw_sql(text).execute(&mut *transaction).await?;
        let noted = format!(
            "INSERT INTO changegate.migrations (version, name, serves_from) \
             VALUES ({version}, '{name}', {serves_from})"
        );
        sqlx::raw_sql(AssertSqlSafe(noted)).execute(&mut *transaction).await?;
        migrations.push((version, name));
    }
    for functions in FUNCTIONS {
        sqlx::raw_sql(functions).execute(&mut *transaction).await?;
    }
    let copying = sqlx::raw_sql(COPYING).fetch_one(&mut *transaction).await?;
    if copying.try_get("copying")? {
        return Err(MigrateError::Copying);
    }
    sqlx::raw_sql(RIGHTS).execute(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(Migrated { roles, migrations, version: TABLES_VERSION })
}

/// Makes the roles that are missing. They are those of all databases of a server, where others may
/// make them at the same time.
async fn make_roles(connection: &mut PgConnection) -> Result<Vec<&'static str>, MigrateError> {
    let mut made = Vec::new();
    for role in ROLES {
        let asked =
            format!("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') AS is_there");
        let found = sqlx::raw_sql(AssertSqlSafe(asked)).fetch_one(&mut *connection).await?;
        if found.try_get("is_there")? {
            continue;
        }
        let make = format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN; \
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        match sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *connection).await {
            Ok(_) => made.push(role),
            Err(error) if code(&error).as_deref() == Some("42501") => {
                return Err(MigrateError::Role(role));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(made)
}
