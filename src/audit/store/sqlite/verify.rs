//! The statements that hold the log against itself.

use std::ops::RangeInclusive;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::asking::{Asking, Documents};
use super::select::Reads;
use crate::audit::store::Boxed;
use crate::audit::store::leaves::{Gap, RECORDS, Unfit};
use crate::base::ids::ChangeId;

/// The most rows that a question of this kind tells.
const TOLD_MAX: i64 = 1_000;

/// Numbers from `?1` to `?2` that were given, are in no row, and are those of no leaves: what a
/// leaf tells of is found missing by itself, or was pruned.
const GAPS: &str = "SELECT first + leaves AS first, last FROM (SELECT first, last, \
    (SELECT count(*) FROM leaves WHERE kind = {kind} AND ref BETWEEN first AND last) AS leaves \
    FROM (SELECT lag(seq, 1, ?1 - 1) OVER (ORDER BY seq) + 1 AS first, seq - 1 AS last \
    FROM {table} WHERE seq BETWEEN ?1 AND ?2 UNION ALL \
    SELECT (SELECT coalesce(max(seq), ?1 - 1) + 1 FROM {table} WHERE seq BETWEEN ?1 AND ?2), \
    min(?2, (SELECT seq FROM sqlite_sequence WHERE name = '{table}'))) WHERE first <= last) \
    WHERE first + leaves <= last LIMIT ?3";

impl Reads {
    /// The highest number that was ever given to a record of a kind.
    pub(in crate::audit) async fn last_number(&self, kind: i64) -> Result<i64, Boxed> {
        let Some((table, column)) = table_of(kind) else { return Ok(0) };
        let query = format!(
            "SELECT max(coalesce((SELECT max({column}) FROM {table}), 0), \
             coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{sequence}'), 0))",
            sequence = if kind == 1 { "changes" } else { table },
        );
        let mut asking = Asking::on(&self.evidence).await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut *asking).await?)
    }

    /// Records of a kind whose numbers are in the range, that are no leaves.
    pub(in crate::audit) async fn without_leaf(
        &self,
        kind: i64,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<i64>, Boxed> {
        let Some((table, column)) = table_of(kind) else { return Ok(Vec::new()) };
        let query = format!(
            "SELECT r.{column} FROM {table} r WHERE NOT EXISTS \
             (SELECT 1 FROM leaves l WHERE l.kind = {kind} AND l.ref = r.{column}) \
             AND r.{column} BETWEEN ? AND ? LIMIT ?"
        );
        let mut asking = Asking::on(&self.evidence).await?;
        let rows = sqlx::query_scalar(AssertSqlSafe(query));
        let rows = rows.bind(*numbers.start()).bind(*numbers.end()).bind(TOLD_MAX);
        Ok(rows.fetch_all(&mut *asking).await?)
    }

    /// Numbers in the range that were given to a change or an event, and are in no row.
    pub(in crate::audit) async fn gaps(
        &self,
        kind: i64,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Gap>, Boxed> {
        let table = match kind {
            1 => "changes",
            4 => "events",
            _without_a_sequence => return Ok(Vec::new()),
        };
        let mut asking = Asking::on(&self.evidence).await?;
        let query = GAPS.replace("{table}", table).replace("{kind}", &kind.to_string());
        let query = sqlx::query(AssertSqlSafe(query));
        let query = query.bind(*numbers.start()).bind(*numbers.end()).bind(TOLD_MAX);
        let rows = query.fetch_all(&mut *asking).await?;
        let gap = |row: &SqliteRow| {
            Ok(Gap { kind, first: row.try_get("first")?, last: row.try_get("last")? })
        };
        rows.iter().map(gap).collect()
    }

    /// Changes whose numbers are in the range, that have not ended and do not wait for it.
    pub(in crate::audit) async fn neither_open_nor_ended(
        &self,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Unfit>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let rows = sqlx::query(
            "SELECT seq, id FROM changes c WHERE NOT EXISTS (SELECT 1 FROM ends WHERE seq = c.seq) \
             AND NOT EXISTS (SELECT 1 FROM pending WHERE seq = c.seq) \
             AND c.seq BETWEEN ? AND ? LIMIT ?",
        );
        let rows = rows.bind(*numbers.start()).bind(*numbers.end()).bind(TOLD_MAX);
        let rows = rows.fetch_all(&mut *asking).await?;
        rows.iter().map(|row| unfit(row.try_get("seq")?, row.try_get("id")?)).collect()
    }

    /// Reads documents behind the number `after` whole, as many as are read at once: the numbers of
    /// those that are not what they were, and the last one. `None` behind the last of all.
    pub(in crate::audit) async fn damaged_documents(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<Option<(i64, Vec<i64>)>, Boxed> {
        let mut documents = Documents::by(Asking::on(&self.evidence).await?);
        let rows = sqlx::query(
            "SELECT number, base, digest, body FROM snapshots WHERE number > ? \
             ORDER BY number LIMIT ?",
        );
        let rows = rows.bind(after).bind(limit).fetch_all(&mut **documents.asking()).await?;
        let (mut last, mut damaged) = (None, Vec::new());
        for row in &rows {
            let number: i64 = row.try_get("number")?;
            last = Some(number);
            let packed = (row.try_get("base")?, row.try_get("digest")?, row.try_get("body")?);
            if documents.text_of(number, packed).await.is_err() {
                damaged.push(number);
            }
        }
        Ok(last.map(|last| (last, damaged)))
    }

    /// Changes of which a document is this one.
    pub(in crate::audit) async fn changes_with(&self, document: i64) -> Result<Vec<Unfit>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let rows = sqlx::query(
            "SELECT c.seq, c.id FROM changes c LEFT JOIN ends e ON e.seq = c.seq \
             WHERE c.before = ?1 OR e.after = ?1 LIMIT ?2",
        );
        let rows = rows.bind(document).bind(TOLD_MAX).fetch_all(&mut *asking).await?;
        rows.iter().map(|row| unfit(row.try_get("seq")?, row.try_get("id")?)).collect()
    }

    /// Whether the file's own structure holds; a text says what does not.
    pub(in crate::audit) async fn structure(&self) -> Result<Vec<String>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let found = sqlx::query_scalar("PRAGMA integrity_check(100)");
        let found: Vec<String> = found.fetch_all(&mut *asking).await?;
        Ok(found.into_iter().filter(|text| text != "ok").collect())
    }
}

/// The table of a kind of record, and the column of its numbers; SQLite has no late ends.
fn table_of(kind: i64) -> Option<(&'static str, &'static str)> {
    let known = RECORDS.into_iter().find(|(number, ..)| *number == kind);
    known.map(|(_, table, column)| (table, column)).filter(|(table, _)| *table != "late")
}

fn unfit(seq: i64, id: &[u8]) -> Result<Unfit, Boxed> {
    Ok(Unfit { seq, id: ChangeId::from_bytes(id)? })
}
