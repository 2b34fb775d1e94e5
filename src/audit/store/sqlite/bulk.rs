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

/// A statement that inserts rows, in parts.
pub(super) struct Insert<'t> {
    /// The table and its columns.
    pub(super) into: &'t str,
    /// The expressions that are inserted, made of `column1`, `column2` and so on.
    pub(super) values: &'t str,
    /// How many values are bound for each row.
    pub(super) width: usize,
    /// The table that is joined to each row, and the condition.
    pub(super) join: Option<(&'t str, &'t str)>,
    /// The clause for a row that is there already.
    pub(super) conflict: &'t str,
}

impl Insert<'_> {
    /// The statement of so many rows. It does nothing for a row whose first value is NULL: such
    /// ones fill up a size.
    fn text(&self, rows: usize) -> String {
        let Self { into, values, width, join, conflict } = self;
        // Most batches are of one change. A single row is spared the tables in memory into which
        // SQLite puts what it selects for a table with triggers.
        match join {
            None if rows == 1 => {
                format!("INSERT INTO {into} VALUES ({}) {conflict}", bound(values))
            }
            Some((table, on)) if rows == 1 => {
                let [values, on] = [values, on].map(|text| text.replace("column", "?"));
                format!("INSERT INTO {into} SELECT {values} FROM {table} WHERE {on} {conflict}")
            }
            _many => {
                let row = format!("(?{})", ", ?".repeat(width - 1));
                let rows = vec![row; rows].join(", ");
                let join = join.map(|(table, on)| format!("CROSS JOIN {table} ON {on} "));
                format!(
                    "INSERT INTO {into} SELECT {values} FROM (VALUES {rows}) {} \
                     WHERE column1 IS NOT NULL {conflict}",
                    join.unwrap_or_default()
                )
            }
        }
    }
}

impl Bulk {
    pub(super) fn new(insert: &Insert<'_>) -> Self {
        Self { width: insert.width, texts: SIZES.map(|rows| (rows, insert.text(rows).into())) }
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

/// `values` with a parameter for each column, which are in order: unlike numbered ones, sqlx looks
/// up no name for them.
fn bound(values: &str) -> String {
    let mut parts = values.split("column");
    let first = parts.next().unwrap_or_default().to_owned();
    let digits = |part: &'_ str| part.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    parts.fold(first, |text, part| text + "?" + &digits(part))
}
