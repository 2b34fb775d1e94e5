//! A log with much in it.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};

use super::program::Folder;

/// The log of a folder, written without care for a power cut.
pub(crate) async fn opened(folder: &Folder) -> SqliteConnection {
    let database = SqliteConnectOptions::new().filename(folder.path().join("log.db"));
    database.pragma("synchronous", "OFF").connect().await.unwrap()
}

/// Adds the first change again and again, up to a place behind the one `former`; none has an end.
pub(crate) async fn add_changes(connection: &mut SqliteConnection, former: i64, until: i64) {
    let columns = "upstream, policy, node, operation, deployment, actor_fingerprint, actor_name, \
        actor_team, client_ip, user_agent, received_at, decided_at, decision, violations, \
        standing, patch, before, body_bytes, body_digest, redacted, method, unkept";
    let again = format!(
        "WITH RECURSIVE more (n) AS \
         (SELECT ?1 + 1 UNION ALL SELECT n + 1 FROM more WHERE n < ?2) \
         INSERT INTO changes (seq, id, request_id, {columns}) \
         SELECT n, unhex(printf('%032x', n)), request_id || n, {columns} \
         FROM changes, more WHERE seq = 1"
    );
    let query = sqlx::query(AssertSqlSafe(again)).bind(former).bind(until);
    query.execute(connection).await.unwrap();
}

/// Ends what has no end.
pub(crate) async fn end_changes(connection: &mut SqliteConnection) {
    let ended = "INSERT INTO ends (seq, outcome, completed_at) SELECT seq, 'rejected', 0 \
        FROM pending";
    sqlx::query(ended).execute(connection).await.unwrap();
}
