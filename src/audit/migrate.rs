//! The tables of a log in PostgreSQL, which their owner makes: gateways never do.

use super::store;
pub use super::store::Migrated;
use crate::base::database::PostgresUrl;

/// Why they are as they were.
#[derive(Debug, thiserror::Error)]
#[error("the tables of {database} are as they were")]
pub struct MigrateError {
    database: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Makes the roles `changegate` and `changegate_auditor`, the tables and the functions of a log
/// where they are missing, and brings them up to date where they are not: all of it, or nothing.
pub async fn migrate(url: &PostgresUrl) -> Result<Migrated, MigrateError> {
    let migrated = store::migrate(url).await;
    migrated.map_err(|source| MigrateError { database: url.to_string(), source })
}
