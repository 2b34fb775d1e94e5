//! The statements that hold the log against itself.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};

use super::asking::Asking;
use super::documents::Documents;
use super::select::Reads;
use crate::audit::store::Boxed;
use crate::audit::store::leaves::{Gap, RECORDS, Unfit};
use crate::base::ids::ChangeId;

/// The most rows that a question of this kind tells.
const TOLD_MAX: i64 = 1_000;

/// Numbers that were given, are in no row, and are those of no leaves: what a leaf tells of is
/// found missing by itself, or was pruned.
const GAPS: &str = "SELECT first + leaves AS first, last FROM (SELECT first, last, \
    (SELECT count(*) FROM leaves WHERE kind = {kind} AND ref BETWEEN first AND last) AS leaves \
    FROM (SELECT lag(seq, 1, 0) OVER (ORDER BY seq) + 1 AS first, seq - 1 AS last FROM {table} \
    UNION ALL SELECT (SELECT coalesce(max(seq), 0) + 1 FROM {table}), seq FROM sqlite_sequence \
    WHERE name = '{table}') WHERE first <= last) WHERE first + leaves <= last LIMIT ?";

impl Reads {
    /// Records of a kind, by their rows, that are no leaves.
    pub(in crate::audit) async fn without_leaf(&self, kind: i64) -> Result<Vec<i64>, Boxed> {
        let Some((_, table, column)) = RECORDS.into_iter().find(|(number, ..)| *number == kind)
        else {
            return Ok(Vec::new());
        };
        if table == "late" {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT r.{column} FROM {table} r WHERE NOT EXISTS \
             (SELECT 1 FROM leaves l WHERE l.kind = {kind} AND l.ref = r.{column}) LIMIT ?"
        );
        let mut asking = Asking::on(&self.evidence).await?;
        let rows = sqlx::query_scalar(AssertSqlSafe(query)).bind(TOLD_MAX);
        Ok(rows.fetch_all(&mut *asking).await?)
    }

    /// Places that were given to a change or an event, and are in no row.
    pub(in crate::audit) async fn gaps(&self) -> Result<Vec<Gap>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let mut gaps = Vec::new();
        for (kind, table) in [(1, "changes"), (4, "events")] {
            let query = GAPS.replace("{table}", table).replace("{kind}", &kind.to_string());
            let query = sqlx::query(AssertSqlSafe(query)).bind(TOLD_MAX);
            let mut rows = query.fetch(&mut *asking);
            while let Some(row) = rows.try_next().await? {
                gaps.push(Gap { kind, first: row.try_get("first")?, last: row.try_get("last")? });
            }
        }
        Ok(gaps)
    }

    /// Changes that have not ended and do not wait for it.
    pub(in crate::audit) async fn neither_open_nor_ended(&self) -> Result<Vec<Unfit>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let rows = sqlx::query(
            "SELECT seq, id FROM changes c WHERE NOT EXISTS (SELECT 1 FROM ends WHERE seq = c.seq) \
             AND NOT EXISTS (SELECT 1 FROM pending WHERE seq = c.seq) LIMIT ?",
        );
        let rows = rows.bind(TOLD_MAX).fetch_all(&mut *asking).await?;
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
        let rows = rows.bind(after).bind(limit).fetch_all(documents.asking()).await?;
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

fn unfit(seq: i64, id: &[u8]) -> Result<Unfit, Boxed> {
    Ok(Unfit { seq, id: ChangeId::from_bytes(id)? })
}
