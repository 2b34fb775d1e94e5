//! The statements that hold the log against itself.

use std::ops::RangeInclusive;

use super::asking::Documents;
use super::select::Reads;
use crate::audit::store::Boxed;
use crate::audit::store::leaves::{Gap, RECORDS, Unfit};
use crate::audit::store::rows::{Bytes, cell, change_id, maybe};

/// The most rows that a question of this kind tells.
const TOLD_MAX: i64 = 1_000;

impl Reads {
    /// The highest number of a record of a kind.
    pub(in crate::audit::store) async fn last_number(&self, kind: i64) -> Result<i64, Boxed> {
        let Some((_, table, column)) = RECORDS.into_iter().find(|(number, ..)| *number == kind)
        else {
            return Ok(0);
        };
        let table = if kind == 1 { "changes" } else { table };
        let query = format!("SELECT coalesce(max({column}), 0)::bigint AS number FROM {table}");
        let rows = self.evidence.ask().await?.rows(&query).await?;
        rows.first().map_or(Ok(0), |row| cell(row, "number"))
    }

    /// Records of a kind whose numbers are in the range, that are no leaves and wait for none.
    pub(in crate::audit::store) async fn without_leaf(
        &self,
        kind: i64,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<i64>, Boxed> {
        let Some((_, table, column)) = RECORDS.into_iter().find(|(number, ..)| *number == kind)
        else {
            return Ok(Vec::new());
        };
        let query = format!(
            "SELECT r.{column} AS number FROM {table} r WHERE NOT EXISTS \
             (SELECT FROM leaves l WHERE l.kind = {kind} AND l.ref = r.{column}) AND NOT EXISTS \
             (SELECT FROM unsequenced u WHERE u.kind = {kind} AND u.ref = r.{column}) \
             AND r.{column} BETWEEN {first} AND {last} LIMIT {TOLD_MAX}",
            first = numbers.start(),
            last = numbers.end(),
        );
        let rows = self.evidence.ask().await?.rows(&query).await?;
        rows.iter().map(|row| cell(row, "number")).collect()
    }

    /// Numbers that are in no row say nothing here: what a transaction takes that is rolled back is
    /// given to nobody.
    #[expect(clippy::unused_async, reason = "another kind of store asks")]
    pub(in crate::audit::store) async fn gaps(
        &self,
        _kind: i64,
        _numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Gap>, Boxed> {
        Ok(Vec::new())
    }

    /// Changes whose numbers are in the range, that have not ended and do not wait for it.
    pub(in crate::audit::store) async fn neither_open_nor_ended(
        &self,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Unfit>, Boxed> {
        self.unfit(&format!(
            "SELECT seq, id FROM changes c WHERE NOT EXISTS (SELECT FROM ends WHERE seq = c.seq) \
             AND NOT EXISTS (SELECT FROM pending WHERE seq = c.seq) \
             AND c.seq BETWEEN {} AND {} LIMIT {TOLD_MAX}",
            numbers.start(),
            numbers.end(),
        ))
        .await
    }

    /// Reads documents behind the number `after` whole, as many as are read at once: the numbers of
    /// those that are not what they were, and the last one. `None` behind the last of all.
    pub(in crate::audit::store) async fn damaged_documents(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<Option<(i64, Vec<i64>)>, Boxed> {
        let mut asking = self.evidence.ask().await?;
        let query = format!(
            "SELECT number, base, digest, body FROM snapshots WHERE number > {after} \
             ORDER BY number LIMIT {limit}"
        );
        let rows = asking.rows(&query).await?;
        let mut documents = Documents::by(asking);
        let (mut last, mut damaged) = (None, Vec::new());
        for row in &rows {
            let number: i64 = cell(row, "number")?;
            last = Some(number);
            let (digest, body): (Bytes<'_>, Bytes<'_>) = (cell(row, "digest")?, cell(row, "body")?);
            let packed = (maybe(row, "base")?, &*digest, &*body);
            if documents.text_of(number, packed).await.is_err() {
                damaged.push(number);
            }
        }
        Ok(last.map(|last| (last, damaged)))
    }

    /// Changes of which a document is this one.
    pub(in crate::audit::store) async fn changes_with(
        &self,
        document: i64,
    ) -> Result<Vec<Unfit>, Boxed> {
        self.unfit(&format!(
            "SELECT c.seq, c.id FROM changes c LEFT JOIN ends e ON e.seq = c.seq \
             WHERE c.before = {document} OR e.after = {document} LIMIT {TOLD_MAX}"
        ))
        .await
    }

    async fn unfit(&self, query: &str) -> Result<Vec<Unfit>, Boxed> {
        let rows = self.evidence.ask().await?.rows(query).await?;
        rows.iter().map(|row| Ok(Unfit { seq: cell(row, "seq")?, id: change_id(row)? })).collect()
    }

    /// The server sees to its own structure.
    #[expect(clippy::unused_async, reason = "another kind of store asks")]
    pub(in crate::audit::store) async fn structure(&self) -> Result<Vec<String>, Boxed> {
        Ok(Vec::new())
    }
}
