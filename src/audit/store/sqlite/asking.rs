//! A connection that one question has for itself. What it runs ends with the question: SQLite would
//! go on looking through millions of rows for an asker who is gone.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, SqlitePool};

use crate::audit::store::{Boxed, documents};

/// The documents of one question.
pub(in crate::audit) type Documents = documents::Documents<Asking>;

/// The steps of SQLite's machine between two looks at whether the answer is still wanted: a
/// fraction of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// A connection and its one question. Dropping it interrupts the statement that runs.
pub(in crate::audit) struct Asking {
    // Before the connection, which goes back to its pool once its statement has ended.
    _wanted: Wanted,
    connection: PoolConnection<Sqlite>,
}

/// Sets the flag that the answer is no longer wanted, once this is dropped.
#[derive(Default)]
struct Wanted(Arc<AtomicBool>);

impl Asking {
    /// A connection of `pool`, once one is free.
    pub(super) async fn on(pool: &SqlitePool) -> Result<Self, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let wanted = Wanted::default();
        let gone = Arc::clone(&wanted.0);
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS_BETWEEN_LOOKS, move || !gone.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self { _wanted: wanted, connection })
    }
}

impl documents::Ask for Asking {
    type Row = SqliteRow;

    async fn found(&mut self, statement: &str) -> Result<Vec<SqliteRow>, Boxed> {
        // Its numbers are in it, so that it is another one each time.
        let query = sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false);
        Ok(query.fetch_all(&mut **self).await?)
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Deref for Asking {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Asking {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::SqlitePoolOptions;
    use tokio::time::timeout;

    use super::*;

    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    #[tokio::test]
    async fn a_statement_ends_with_its_question() {
        let one = SqlitePoolOptions::new().max_connections(1);
        let pool = one.connect_lazy("sqlite::memory:").unwrap();
        for _ in 0..3 {
            let mut asking = Asking::on(&pool).await.unwrap();
            let endless = sqlx::query(ENDLESS).fetch_all(&mut *asking);
            assert!(timeout(Duration::from_millis(20), endless).await.is_err(), "it has no end");
        }
        // The one connection is free again, and sound.
        let mut asking =
            timeout(Duration::from_secs(20), Asking::on(&pool)).await.unwrap().unwrap();
        let sum = sqlx::query_scalar::<_, i64>("SELECT 1 + 1").fetch_one(&mut *asking);
        assert_eq!(sum.await.unwrap(), 2);
    }
}
