//! Statements that take several rows at once. Each statement is a message to SQLite's thread and
//! back, two switches of threads, so that a few of them cost more than the writing of their rows.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Error, SqliteConnection};

/// A query and what is bound to it so far.
pub(super) type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// How many rows one statement takes: few sizes, so that SQLite's compiled statements are found
/// again, and small enough for its bound on parameters.
const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 24, 32, 48, 64];

/// One statement in every size.
pub(super) struct Bulk {
    /// How many values a row has.
    width: usize,
    texts: [(usize, Arc<str>); SIZES.len()],
}

impl Bulk {
    /// A statement of `head`, a row of `width` values as often as there are rows, and `tail`. The
    /// statement does nothing for a row whose first value is NULL: such ones fill up a size.
    pub(super) fn new(head: &str, width: usize, tail: &str) -> Self {
        let row = format!("(?{})", ", ?".repeat(width - 1));
        let text =
            |rows: usize| format!("{head} {row}{} {tail}", format!(", {row}").repeat(rows - 1));
        Self { width, texts: SIZES.map(|rows| (rows, text(rows).into())) }
    }

    /// Writes `rows` in as few statements as can be. `bind` binds one of them.
    pub(super) async fn write<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(Query, &T) -> Result<Query, Error>,
    ) -> Result<(), Error> {
        while !rows.is_empty() {
            let fits = self.texts.iter().find(|(size, _text)| *size >= rows.len());
            let Some((size, text)) = fits.or(self.texts.last()) else { break };
            let (now, later) = rows.split_at(rows.len().min(*size));
            let query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
            let mut query = now.iter().try_fold(query, &bind)?;
            for _value in 0..(size - now.len()) * self.width {
                query = query.bind(None::<i64>);
            }
            query.execute(&mut *connection).await?;
            rows = later;
        }
        Ok(())
    }
}
