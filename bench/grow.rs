//! A log made long: what is in it is written again and again, as the gateway itself would have in
//! hours.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::table::note;

/// Changes again, three seconds later for each place and under other ids; the snapshots are those
/// of the first ones.
const CHANGES: &str = "INSERT INTO changes (seq, id, upstream, policy, node, operation, \
    deployment, actor_fingerprint, actor_name, actor_team, client_ip, user_agent, request_id, \
    received_at, decided_at, decision, violations, standing, patch, before, body_bytes, \
    body_digest, redacted, method, unkept) \
    SELECT seq + ?1, unhex(printf('%016x%016x', seq + ?1, abs(random() / 2))), upstream, policy, \
    node, operation, deployment, actor_fingerprint, actor_name, actor_team, client_ip, user_agent, \
    'req_' || lower(hex(randomblob(16))), received_at + 3000 * ?1, decided_at + 3000 * ?1, \
    decision, violations, standing, patch, before, body_bytes, body_digest, redacted, method, \
    unkept FROM changes WHERE seq <= ?2";

const ENDS: &str = "INSERT INTO ends (seq, outcome, completed_at, upstream_call, upstream_status, \
    upstream_request_id, after, effect, reason, redacted, unkept, after_violations, touched) \
    SELECT seq + ?1, outcome, completed_at + 3000 * ?1, upstream_call, upstream_status, \
    upstream_request_id, after, effect, reason, redacted, unkept, after_violations, touched \
    FROM ends WHERE seq <= ?2";

/// Where the first changes changed their deployments: the index itself is not in their order.
const FIRST_TOUCHED: &str = "CREATE TEMP TABLE first_touched AS SELECT * FROM touched";

const TOUCHED: &str = "INSERT INTO touched SELECT place, seq + ?1, kind FROM first_touched \
    WHERE seq <= ?2";

/// Lets the log at `database` grow to at least `changes`. No gateway may be on it.
pub(crate) fn grow(database: &Path, changes: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new()
            .filename(database)
            .pragma("synchronous", "OFF")
            .pragma("cache_size", "-2000000");
        let mut connection = options.connect().await?;
        let count = "SELECT max(seq) FROM changes";
        let first: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
        sqlx::query(FIRST_TOUCHED).execute(&mut connection).await?;
        let mut last = first;
        while last < i64::try_from(changes)? {
            again(&mut connection, last, first).await?;
            last += first;
            note(&format!("{last} changes"));
        }
        connection.close().await?;
        Ok(())
    })
}

async fn again(connection: &mut SqliteConnection, after: i64, first: i64) -> anyhow::Result<()> {
    let mut transaction = connection.begin().await?;
    for statement in [CHANGES, ENDS, TOUCHED] {
        sqlx::query(statement).bind(after).bind(first).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
