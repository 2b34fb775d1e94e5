//! The statements that read leaves and the tree over them.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::asking::Asking;
use super::select::Reads;
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::evidence::tree::Hash;
use crate::audit::store::Boxed;
use crate::audit::store::leaves::{
    FoundRecord, LeafRow, Unsealed, leaf, packed_facts, select_packed,
};
use crate::audit::store::rows::cell;
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::key::KeyId;

const LEAVES: &str = "SELECT position, kind, ref, hash, salt, entry FROM leaves \
    WHERE position >= ? AND position < ? ORDER BY position";

impl Reads {
    /// How many leaves are in the tree.
    pub(in crate::audit) async fn tree_size(&self) -> Result<u64, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let size: Option<i64> =
            sqlx::query_scalar("SELECT size FROM tree").fetch_optional(&mut *asking).await?;
        Ok(u64::try_from(size.unwrap_or(0))?)
    }

    /// The position behind the last leaf.
    pub(in crate::audit) async fn leaves_end(&self) -> Result<u64, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let end = sqlx::query_scalar("SELECT coalesce(max(position), -1) + 1 FROM leaves");
        let end: i64 = end.fetch_one(&mut *asking).await?;
        Ok(u64::try_from(end)?)
    }

    /// How many finished records are not in the tree.
    pub(in crate::audit) async fn outside_of_tree(&self) -> Result<u64, Boxed> {
        Ok(self.leaves_end().await?.saturating_sub(self.tree_size().await?))
    }

    /// The leaves of a range, with their records.
    pub(in crate::audit) async fn leaves(&self, range: Range<u64>) -> Result<Vec<LeafRow>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let (from, to) = (i64::try_from(range.start)?, i64::try_from(range.end)?);
        let mut leaves = Vec::new();
        let mut rows = sqlx::query(LEAVES).bind(from).bind(to).fetch(&mut *asking);
        while let Some(row) = rows.try_next().await? {
            leaves.push(leaf(&row)?);
        }
        drop(rows);
        for kind in LeafKind::ALL {
            let number = kind.number();
            if !leaves.iter().any(|leaf| leaf.record.0 == number) {
                continue;
            }
            let mut found = records(&mut asking, kind, (from, to)).await?;
            for leaf in leaves.iter_mut().filter(|leaf| leaf.record.0 == number) {
                if let Some(record) = found.remove(&leaf.record.1) {
                    leaf.found = record;
                }
            }
        }
        Ok(leaves)
    }

    /// Records that are finished and not in the tree of that size, at most `limit` of them.
    pub(in crate::audit) async fn unsealed(
        &self,
        size: u64,
        limit: u64,
    ) -> Result<Vec<Unsealed>, Boxed> {
        let leaves = self.leaves(size..size.saturating_add(limit)).await?;
        Ok(leaves
            .into_iter()
            .map(|LeafRow { record, found, .. }| Unsealed { record, found })
            .collect())
    }

    /// Hashes of a level of tiles, from the first one on without gaps.
    pub(in crate::audit) async fn hashes(
        &self,
        level: u8,
        range: Range<u64>,
    ) -> Result<Vec<Hash>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let statement = match level {
            0 => {
                "SELECT hash FROM leaves WHERE ?3 = 0 AND position >= ?1 AND position < ?2 \
                AND hash IS NOT NULL ORDER BY position"
            }
            _ => {
                "SELECT hash FROM subtrees WHERE level = ?3 AND number >= ?1 AND number < ?2 \
                ORDER BY number"
            }
        };
        let hashes = sqlx::query_scalar(statement)
            .bind(i64::try_from(range.start)?)
            .bind(i64::try_from(range.end)?)
            .bind(i64::from(level));
        let hashes: Vec<Vec<u8>> = hashes.fetch_all(&mut *asking).await?;
        hashes.iter().map(|hash| Ok(hash.as_slice().try_into()?)).collect()
    }

    /// The newest checkpoint.
    pub(in crate::audit) async fn checkpoint(&self) -> Result<Option<String>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let note = sqlx::query_scalar("SELECT note FROM checkpoint");
        Ok(note.fetch_optional(&mut *asking).await?)
    }

    /// The keys by which trees are signed, the oldest first.
    pub(in crate::audit) async fn log_keys(&self) -> Result<Vec<String>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let keys = sqlx::query_scalar("SELECT vkey FROM log_keys ORDER BY number LIMIT 1000");
        Ok(keys.fetch_all(&mut *asking).await?)
    }

    /// The first key that the log was written under.
    pub(in crate::audit) async fn first_key(&self) -> Result<Option<KeyId>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let key = sqlx::query_scalar("SELECT id FROM keys ORDER BY number LIMIT 1");
        let key: Option<Vec<u8>> = key.fetch_optional(&mut *asking).await?;
        Ok(key.and_then(|key| key.try_into().ok()).map(KeyId::from_bytes))
    }

    /// The position of a change, once it is a leaf.
    pub(in crate::audit) async fn position_of(&self, id: ChangeId) -> Result<Option<u64>, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let position = sqlx::query_scalar(
            "SELECT l.position FROM changes c JOIN leaves l ON l.kind = 1 AND l.ref = c.seq \
             WHERE c.id = ?",
        );
        let position = position.bind(id.as_bytes().to_vec());
        let position: Option<i64> = position.fetch_optional(&mut *asking).await?;
        Ok(position.map(u64::try_from).transpose()?)
    }

    /// The lowest position of a change that came at or after `time`, or the end of the leaves.
    pub(in crate::audit) async fn position_since(&self, time: Timestamp) -> Result<u64, Boxed> {
        let mut asking = Asking::on(&self.evidence).await?;
        let position = sqlx::query_scalar(
            "SELECT coalesce((SELECT min(l.position) FROM (SELECT seq FROM changes \
                 WHERE received_at >= ? ORDER BY received_at LIMIT 1000) c \
                 JOIN leaves l ON l.kind = 1 AND l.ref = c.seq), \
             (SELECT coalesce(max(position), -1) + 1 FROM leaves))",
        );
        let position: i64 = position.bind(time.millis()).fetch_one(&mut *asking).await?;
        Ok(u64::try_from(position)?)
    }
}

/// The question for the records of a kind among the leaves from a position up to another. The index
/// of all leaves of the kind is kept out of it by the plus: it has nothing of positions.
pub(super) fn within(kind: LeafKind) -> String {
    let (select, kind) = (select_packed(kind, "leaves"), kind.number());
    format!("{select} WHERE +l.kind = {kind} AND l.position >= ? AND l.position < ?")
}

/// The records of a kind among the leaves of a range, by their rows.
pub(super) async fn records(
    connection: &mut SqliteConnection,
    kind: LeafKind,
    (from, to): (i64, i64),
) -> Result<BTreeMap<i64, FoundRecord>, Boxed> {
    let query = sqlx::query(AssertSqlSafe(within(kind))).bind(from).bind(to);
    let mut found = BTreeMap::new();
    // SQLite's thread reads on meanwhile.
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let record = packed_facts(kind, &row).map(|facts| FoundRecord::Whole(Box::new(facts)));
        found.insert(cell(&row, "ref")?, record.unwrap_or_else(FoundRecord::Unreadable));
    }
    Ok(found)
}
