//! Under which key the log was written.

use serde_json::json;
use sqlx::SqliteConnection;

use super::Writes;
use super::error::ambiguous;
use crate::audit::store::StoreError;
use crate::base::clock::Timestamp;
use crate::base::key::KeyId;

/// Where the next change goes: no number is given twice, even where the newest ones were pruned.
const NEXT_CHANGE: &str =
    "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0) + 1";

/// The key in force.
pub(super) async fn in_force(
    connection: &mut SqliteConnection,
) -> Result<Option<KeyId>, sqlx::Error> {
    let newest = "SELECT id FROM keys ORDER BY number DESC LIMIT 1";
    let newest: Option<Vec<u8>> = sqlx::query_scalar(newest).fetch_optional(connection).await?;
    Ok(newest.and_then(|id| id.try_into().ok()).map(KeyId::from_bytes))
}

/// Records `key` as the one in force, unless it is. The first one is that of all there is.
pub(super) async fn adopt(
    connection: &mut SqliteConnection,
    key: KeyId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if in_force(connection).await? == Some(key) {
        return Ok(());
    }
    let adopted = format!(
        "INSERT INTO keys (id, first_seq, at) SELECT ?, \
         CASE WHEN EXISTS (SELECT 1 FROM keys) THEN {NEXT_CHANGE} ELSE 1 END, ?"
    );
    let adopted = sqlx::query(sqlx::AssertSqlSafe(adopted)).bind(key.as_bytes().to_vec());
    adopted.bind(now.millis()).execute(connection).await?;
    Ok(())
}

impl Writes {
    /// Records that another key is in force from now on, and tells from which change on.
    pub(in crate::audit) async fn change_key(
        &mut self,
        former: Option<KeyId>,
        key: KeyId,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut connection = self.ready().await?;
        let changed = change(&mut connection, former, key, now).await.map_err(ambiguous);
        self.keep(connection, changed)
    }
}

async fn change(
    connection: &mut SqliteConnection,
    former: Option<KeyId>,
    key: KeyId,
    now: Timestamp,
) -> Result<i64, sqlx::Error> {
    use sqlx::Connection as _;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    adopt(&mut transaction, key, now).await?;
    let first = "SELECT first_seq FROM keys ORDER BY number DESC LIMIT 1";
    let first: i64 = sqlx::query_scalar(first).fetch_one(&mut *transaction).await?;
    let detail = json!({
        "from": former.map(|former| former.to_string()),
        "to": key.to_string(),
        "first_seq": first,
    });
    let event = sqlx::query("INSERT INTO events (at, kind, detail) VALUES (?, 'key_rotation', ?)");
    event.bind(now.millis()).bind(detail.to_string()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(first)
}
