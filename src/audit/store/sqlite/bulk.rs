//! Statements that take several rows at once. Each statement is a message to SQLite's thread and
//! back, so that rows one by one cost more than the writing of them.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Error, SqliteConnection};

/// A query and what is bound to it so far.
pub(super) type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// How many rows one statement takes: few sizes, so that SQLite's compiled statements are found
/// again, and small enough for its bound on parameters.
const SIZES: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// One statement in every size.
pub(super) struct Bulk {
    texts: [(usize, Arc<str>); SIZES.len()],
}

impl Bulk {
    /// A statement of `head`, `row` as often as there are rows, and `tail`.
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        let text =
            |rows: usize| format!("{head} {}{row} {tail}", format!("{row}, ").repeat(rows - 1));
        Self { texts: SIZES.map(|rows| (rows, text(rows).into())) }
    }

    /// Writes `rows` in as few statements as there are sizes for. `bind` binds one of them.
    pub(super) async fn write<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(Query, &T) -> Result<Query, Error>,
    ) -> Result<(), Error> {
        for (size, text) in &self.texts {
            while let Some((now, later)) = rows.split_at_checked(*size) {
                let query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
                let query = now.iter().try_fold(query, &bind)?;
                query.execute(&mut *connection).await?;
                rows = later;
            }
        }
        Ok(())
    }
}
