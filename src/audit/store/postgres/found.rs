//! The contents of a database, found out before anything is written to it.

use sqlx::{Connection as _, Error, PgConnection, Row as _};

use super::error::told;
use super::link::connect;
use crate::audit::store::{FindError, LogFacts};
use crate::base::database::PostgresUrl;
use crate::base::key::KeyId;

const FACTS: &str = "SELECT EXISTS (SELECT FROM changegate.changes) \
    OR EXISTS (SELECT FROM changegate.events) AS has_rows, \
    (SELECT id FROM changegate.keys ORDER BY number DESC LIMIT 1) AS key";

/// Looks into the log at `url`, and alters nothing of it.
pub(in crate::audit::store) async fn find(url: &PostgresUrl) -> Result<LogFacts, FindError> {
    let found = async {
        let (mut connection, _lags) = connect(url).await?;
        let found = look(&mut connection).await?;
        connection.close().await?;
        Ok::<_, Error>(found)
    };
    found.await.map_err(|error| FindError::Store(told(error)))
}

async fn look(connection: &mut PgConnection) -> Result<LogFacts, Error> {
    let row = sqlx::raw_sql(FACTS).fetch_one(connection).await?;
    let key: Option<Vec<u8>> = row.try_get("key")?;
    let key = key.and_then(|id| id.try_into().ok()).map(KeyId::from_bytes);
    Ok(LogFacts { has_rows: row.try_get("has_rows")?, key, moved_to: None })
}
