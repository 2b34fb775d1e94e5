//! A log in PostgreSQL that is made a copy of one in SQLite, by the owner of its tables.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::postgres::PgCopyIn;
use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection, Postgres, Row as _, Transaction};

use super::error::{code, told};
use super::link::{check_tables, reach};
use super::literal::{bytes, text};
use super::migrate::RIGHTS;
use crate::audit::store::Boxed;
use crate::audit::store::copied::{TABLES, Table};
use crate::base::clock::Timestamp;
use crate::base::database::PostgresUrl;

/// Beside no migration, and no other copy, that begins or ends.
const BEGIN: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL synchronous_commit = on; \
    SELECT pg_advisory_xact_lock(1128743252, 4)";

/// Rows, and triggers that refuse or add some, of which the copy has its own.
const TRIGGERS_OFF: &str = "DO $$ DECLARE kept record; BEGIN \
    FOR kept IN SELECT DISTINCT c.relname FROM pg_trigger t \
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'changegate' AND NOT t.tgisinternal \
    LOOP EXECUTE format('ALTER TABLE changegate.%I DISABLE TRIGGER USER', kept.relname); \
    END LOOP; END $$; \
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA changegate FROM changegate";

/// The tree that was copied, and the records that are to come into it.
const TREE: &str = "UPDATE changegate.tree \
    SET size = (SELECT coalesce(max(position) + 1, 0) FROM changegate.leaves); \
    DO $$ DECLARE record text[]; BEGIN \
    FOREACH record SLICE 1 IN ARRAY ARRAY[['ends', '1', 'seq'], ['settlements', '2', 'seq'], \
        ['events', '4', 'seq'], ['policies', '5', 'number'], ['keys', '6', 'number'], \
        ['approvals', '7', 'number'], ['approval_steps', '8', 'number'], \
        ['log_keys', '9', 'number']] \
    LOOP EXECUTE format('INSERT INTO changegate.unsequenced (kind, ref) SELECT %2$s, r.%3$I \
        FROM changegate.%1$I r WHERE NOT EXISTS (SELECT FROM changegate.leaves l \
            WHERE l.kind = %2$s AND l.ref = r.%3$I) ORDER BY r.%3$I', \
        record[1], record[2], record[3]); \
    END LOOP; END $$";

const TRIGGERS_ON: &str = "DO $$ DECLARE kept record; BEGIN \
    FOR kept IN SELECT t.tgname, c.relname FROM pg_trigger t \
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'changegate' AND NOT t.tgisinternal \
    LOOP EXECUTE format('ALTER TABLE changegate.%I ENABLE ALWAYS TRIGGER %I', \
        kept.relname, kept.tgname); \
    END LOOP; END $$";

/// Why a database can't become the copy of a log.
#[derive(Debug, thiserror::Error)]
pub(in crate::audit::store) enum UnfitTarget {
    #[error(
        "it holds the rows of another log, or of this one before it went on: name an empty \
         database, or have its owner run DROP SCHEMA changegate CASCADE and `changegate migrate` \
         first, where nothing in it is needed"
    )]
    OtherRows,
    #[error("gateways run on it ({0}): stop them first, and wait ten seconds")]
    Running(String),
    #[error("this login is not the owner of its tables: name the owner in the URL")]
    NotOwner,
}

/// How far an earlier copy of the same log had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit::store) enum Begun {
    /// There was none, or it was broken off.
    Open,
    /// To its end.
    Done,
}

/// The copy.
pub(in crate::audit::store) struct Target {
    connection: PgConnection,
}

impl Target {
    pub(in crate::audit::store) async fn open(url: &PostgresUrl) -> Result<Self, Boxed> {
        let mut connection = reach(url).await.map_err(told)?;
        check_tables(&mut connection).await.map_err(told)?;
        Ok(Self { connection })
    }

    /// How far an earlier copy of the log of this identity had come. `None` where there was none.
    pub(in crate::audit::store) async fn found(
        &mut self,
        identity: &[u8],
    ) -> Result<Option<Begun>, Boxed> {
        let former = "SELECT log, until_at IS NOT NULL AS is_done FROM changegate.copies";
        let former = sqlx::raw_sql(former).fetch_optional(&mut self.connection).await;
        let Some(row) = former.map_err(told)? else { return Ok(None) };
        if row.try_get::<Vec<u8>, _>("log")? != identity {
            return Err(UnfitTarget::OtherRows.into());
        }
        Ok(Some(if row.try_get("is_done")? { Begun::Done } else { Begun::Open }))
    }

    /// Has the database be the copy of the log of this identity and of no other, and nobody else
    /// write to it.
    pub(in crate::audit::store) async fn begin(
        &mut self,
        identity: &[u8],
        source: &str,
        now: Timestamp,
    ) -> Result<(), Boxed> {
        let mut transaction = begun(&mut self.connection).await?;
        let running = "SELECT string_agg(DISTINCT node, ', ') AS nodes FROM changegate.leases \
            WHERE until_at > clock_timestamp()";
        let running = sqlx::raw_sql(running).fetch_one(&mut *transaction).await?;
        if let Some(nodes) = running.try_get("nodes")? {
            return Err(UnfitTarget::Running(nodes).into());
        }
        let off = sqlx::raw_sql(TRIGGERS_OFF).execute(&mut *transaction).await;
        off.map_err(|error| match code(&error).as_deref() {
            Some("42501") => UnfitTarget::NotOwner.into(),
            _other => told(error),
        })?;
        // Who has written is seen now: the tables are locked.
        for table in &TABLES {
            let any = format!("SELECT EXISTS (SELECT FROM changegate.{}) AS any", table.name);
            let any = sqlx::raw_sql(AssertSqlSafe(any)).fetch_one(&mut *transaction).await?;
            if any.try_get("any")? {
                return Err(UnfitTarget::OtherRows.into());
            }
        }
        let noted = format!(
            "INSERT INTO changegate.copies (one, log, source, since_at) VALUES (1, {}, {}, {})",
            bytes(identity),
            text(Some(source)),
            now.millis()
        );
        sqlx::raw_sql(AssertSqlSafe(noted)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How many rows of a table are there.
    pub(in crate::audit::store) async fn count(&mut self, table: &Table) -> Result<i64, Boxed> {
        let count = format!("SELECT count(*) AS rows FROM changegate.{}", table.name);
        let count = sqlx::raw_sql(AssertSqlSafe(count)).fetch_one(&mut self.connection);
        Ok(count.await?.try_get("rows")?)
    }

    /// Begins to add rows, which are there all at once at the end, or not at all.
    pub(in crate::audit::store) async fn filling(
        &mut self,
        table: &Table,
    ) -> Result<Filling<'_>, Boxed> {
        let Table { name, columns, .. } = table;
        let statement = format!("COPY changegate.{name} ({columns}) FROM STDIN");
        // What a crash of the server takes back is copied once more; the end of it all waits.
        let lazily = sqlx::raw_sql("SET synchronous_commit = off");
        lazily.execute(&mut self.connection).await.map_err(told)?;
        let copying = self.connection.copy_in_raw(&statement).await.map_err(told)?;
        Ok(Filling { copying })
    }

    /// The rows of a table, in order.
    pub(in crate::audit::store) async fn lines(
        &mut self,
        table: &Table,
    ) -> Result<TargetLines<'_>, Boxed> {
        let Table { name, columns, order, .. } = table;
        let order = order.replace("BINARY", "\"C\"");
        let order = order.replace("QUOTED(value)", "(to_json(value)::text)");
        let statement =
            format!("COPY (SELECT {columns} FROM changegate.{name} ORDER BY {order}) TO STDOUT");
        let stream = self.connection.copy_out_raw(&statement).await.map_err(told)?;
        Ok(TargetLines { stream, line: Vec::new(), rest: Bytes::new() })
    }

    /// Makes a log of the copy: its numbers go on behind those that were ever given, its triggers
    /// hold, and gateways may write.
    pub(in crate::audit::store) async fn finish(
        &mut self,
        given: &[(&str, i64)],
        now: Timestamp,
    ) -> Result<(), Boxed> {
        let mut transaction = begun(&mut self.connection).await?;
        let mut statements = String::new();
        for (table, greatest) in given {
            let (column, sequence) = match *table {
                table @ ("changes" | "events") => ("seq", format!("'changegate.{table}_seq'")),
                "snapshots" => ("number", "'changegate.snapshots_seq'".to_owned()),
                table => {
                    let name = format!("pg_get_serial_sequence('changegate.{table}', 'number')");
                    ("number", name)
                }
            };
            write!(
                statements,
                "SELECT setval({sequence}, greatest({greatest}, max({column}))) \
                 FROM changegate.{table} HAVING greatest({greatest}, max({column})) > 0; "
            )?;
        }
        let at = now.millis();
        write!(
            statements,
            "{TREE}; {TRIGGERS_ON}; {RIGHTS}; UPDATE changegate.copies SET until_at = {at}"
        )?;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await.map_err(told)?;
        transaction.commit().await.map_err(told)?;
        // Only who asks of it before its time is slower without.
        let tables: Vec<String> =
            TABLES.iter().map(|table| format!("changegate.{}", table.name)).collect();
        let analyze = format!("ANALYZE {}", tables.join(", "));
        let _later = sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut self.connection).await;
        Ok(())
    }
}

async fn begun(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, Boxed> {
    let mut transaction = connection.begin().await.map_err(told)?;
    sqlx::raw_sql(BEGIN).execute(&mut *transaction).await.map_err(told)?;
    Ok(transaction)
}

/// Rows on their way to a table.
pub(in crate::audit::store) struct Filling<'t> {
    copying: PgCopyIn<&'t mut PgConnection>,
}

impl Filling<'_> {
    /// Adds whole lines.
    pub(in crate::audit::store) async fn add(&mut self, lines: &[u8]) -> Result<(), Boxed> {
        self.copying.send(lines).await.map_err(told)?;
        Ok(())
    }

    pub(in crate::audit::store) async fn finish(self) -> Result<(), Boxed> {
        self.copying.finish().await.map_err(told)?;
        Ok(())
    }
}

/// Rows as lines of COPY.
pub(in crate::audit::store) struct TargetLines<'t> {
    stream: BoxStream<'t, Result<Bytes, Error>>,
    line: Vec<u8>,
    rest: Bytes,
}

impl TargetLines<'_> {
    /// The next line, with its end; `None` at the end.
    pub(in crate::audit::store) async fn next(&mut self) -> Result<Option<&[u8]>, Boxed> {
        self.line.clear();
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(self.rest.len(), |end| end + 1);
            self.line.extend_from_slice(&self.rest.split_to(length));
            if end.is_some() {
                return Ok(Some(&self.line));
            }
            match self.stream.try_next().await.map_err(told)? {
                Some(more) => self.rest = more,
                None if self.line.is_empty() => return Ok(None),
                None => return Ok(Some(&self.line)),
            }
        }
    }
}
