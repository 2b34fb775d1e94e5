//! A log in SQLite whose rows are copied elsewhere, and which is sealed then.

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection, TypeInfo as _,
    ValueRef as _,
};

use super::lock::Lock;
use super::{BUSY_TIMEOUT, Writes, options};
use crate::audit::store::copied::{MOVE, Table};
use crate::audit::store::turn_name::name_of;
use crate::audit::store::{Boxed, Preparation};
use crate::base::clock::Timestamp;

/// The facts that tell one log from all others, and from itself once it has gone on: a gateway
/// that starts leaves an event.
const IDENTITY: &str = "SELECT json_array(\
    (SELECT json_group_array(hex(id) || at) FROM keys), \
    (SELECT hex(id) FROM changes ORDER BY seq DESC LIMIT 1), \
    (SELECT json_array(seq, at, kind) FROM events ORDER BY seq LIMIT 1), \
    (SELECT json_array(seq, at, kind) FROM events WHERE kind <> ? ORDER BY seq DESC LIMIT 1))";

/// A text as the other side has it, where NUL stands for itself in none.
const QUOTED: &str = "replace(json_quote(value), '\\u0000', char(65533))";

/// How many rows SQLite's thread is ahead of who takes them.
const ROWS_AHEAD: usize = 200;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The log, which nobody else writes meanwhile.
pub(in crate::audit::store) struct Source {
    connection: SqliteConnection,
    /// Held until all of it is copied.
    lock: Lock,
}

impl Source {
    /// Ends what is open in the log that `lock` is of, as a start would, and opens it.
    pub(in crate::audit::store) async fn open(lock: Lock, at: Timestamp) -> Result<Self, Boxed> {
        let (writes, fault) = Writes::open(lock, Preparation { key: None, at }).await?;
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        let lock = writes.close().await?;
        let options = SqliteConnectOptions::new()
            .filename(lock.path())
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(ROWS_AHEAD)
            .read_only(true)
            .disable_statement_logging();
        Ok(Self { connection: options.connect().await?, lock })
    }

    /// A digest of what tells this log from any other.
    pub(in crate::audit::store) async fn identity(&mut self) -> Result<[u8; 32], Boxed> {
        let identity = sqlx::query_scalar(IDENTITY).bind(MOVE).fetch_one(&mut self.connection);
        let identity: String = identity.await?;
        Ok(Sha256::digest(identity).into())
    }

    /// How many rows a table has.
    pub(in crate::audit::store) async fn count(&mut self, table: &Table) -> Result<i64, Boxed> {
        let which = table.which.unwrap_or("true");
        let count = format!("SELECT count(*) FROM {} WHERE {which}", table.name);
        Ok(sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut self.connection).await?)
    }

    /// The greatest number that a table ever gave, which may be more than there is now.
    pub(in crate::audit::store) async fn greatest(&mut self, name: &str) -> Result<i64, Boxed> {
        let greatest = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?";
        Ok(sqlx::query_scalar(greatest).bind(name).fetch_one(&mut self.connection).await?)
    }

    /// The rows of a table behind the first so many, in order.
    pub(in crate::audit::store) fn lines(&mut self, table: &Table, behind: i64) -> SourceLines<'_> {
        let Table { name, columns, order, asked, which, ends_in_turn } = table;
        let columns = asked.unwrap_or(columns);
        let order = order.replace("QUOTED(value)", QUOTED);
        let which = which.unwrap_or("true");
        let sql = format!(
            "SELECT {columns} FROM {name} WHERE {which} ORDER BY {order} LIMIT -1 OFFSET {behind}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut self.connection);
        SourceLines { rows, ends_in_turn: *ends_in_turn }
    }

    /// Adds the last event, which tells where the log goes on, and has the tables refuse any other
    /// row.
    pub(in crate::audit::store) async fn seal(
        &mut self,
        (from, to): (&str, &str),
        (rows, digest): (i64, &str),
        at: Timestamp,
    ) -> Result<(), Boxed> {
        let mut connection = options(self.lock.path()).connect().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let detail = json!({"from": from, "to": to, "rows": rows, "digest": digest}).to_string();
        sqlx::query("INSERT INTO events (at, kind, detail) VALUES (?, ?, ?)")
            .bind(at.millis())
            .bind(MOVE)
            .bind(detail)
            .execute(&mut *transaction)
            .await?;
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' \
            AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_%' ESCAPE '\\'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *transaction).await?;
        let word = format!("the log was moved to {to}").replace('\'', "''");
        for table in tables {
            let refused = format!(
                "CREATE TRIGGER {table}_moved BEFORE INSERT ON {table} \
                 BEGIN SELECT RAISE(ABORT, '{word}'); END"
            );
            sqlx::raw_sql(AssertSqlSafe(refused)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        connection.close().await?;
        Ok(())
    }
}

/// Rows of a table as lines of PostgreSQL's text form of COPY, byte by byte as it writes them
/// itself.
pub(in crate::audit::store) struct SourceLines<'s> {
    rows: BoxStream<'s, Result<SqliteRow, sqlx::Error>>,
    ends_in_turn: bool,
}

impl SourceLines<'_> {
    /// Adds the next line, with its end, to `text`; tells whether there was one.
    pub(in crate::audit::store) async fn next(
        &mut self,
        text: &mut Vec<u8>,
    ) -> Result<bool, Boxed> {
        let Some(row) = self.rows.try_next().await? else { return Ok(false) };
        let last = row.len().saturating_sub(1);
        for place in 0..row.len() {
            if place > 0 {
                text.push(b'\t');
            }
            let value = row.try_get_raw(place)?;
            if value.is_null() {
                text.extend_from_slice(b"\\N");
                continue;
            }
            match value.type_info().name() {
                "INTEGER" => {
                    let number: i64 = row.try_get_unchecked(place)?;
                    text.extend_from_slice(number.to_string().as_bytes());
                }
                "BLOB" => push_bytes(text, row.try_get_unchecked(place)?),
                _text if self.ends_in_turn && place == last => {
                    push_uuid(text, &name_of([row.try_get_unchecked::<&[u8], _>(place)?]));
                }
                _text => push_text(text, row.try_get_unchecked(place)?),
            }
        }
        text.push(b'\n');
        Ok(true)
    }
}

/// A text; NUL, which PostgreSQL takes in none, becomes the replacement character.
fn push_text(text: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            0 => text.extend_from_slice("\u{fffd}".as_bytes()),
            b'\\' => text.extend_from_slice(b"\\\\"),
            0x08 => text.extend_from_slice(b"\\b"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            0x0b => text.extend_from_slice(b"\\v"),
            0x0c => text.extend_from_slice(b"\\f"),
            b'\r' => text.extend_from_slice(b"\\r"),
            other => text.push(*other),
        }
    }
}

fn push_hex(text: &mut Vec<u8>, value: &[u8]) {
    let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or_default();
    text.extend(value.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

fn push_bytes(text: &mut Vec<u8>, value: &[u8]) {
    text.extend_from_slice(b"\\\\x");
    push_hex(text, value);
}

fn push_uuid(text: &mut Vec<u8>, value: &[u8; 16]) {
    for (place, byte) in value.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        push_hex(text, &[*byte]);
    }
}
