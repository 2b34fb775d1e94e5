//! The statements that read leaves and the tree over them, and the calls by which both grow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use super::asking::Asking;
use super::literal::{bytes, text};
use super::select::Reads;
use crate::audit::evidence::leaf::LeafKind;
use crate::audit::evidence::tree::Hash;
use crate::audit::sealed::{Sealed, SignedTree};
use crate::audit::store::Boxed;
use crate::audit::store::leaves::{FoundRecord, LeafRow, Unsealed, facts, leaf, select};
use crate::audit::store::rows::{Bytes, cell, maybe};
use crate::base::clock::Timestamp;
use crate::base::ids::ChangeId;
use crate::base::key::KeyId;

impl Reads {
    /// How many leaves are in the tree.
    pub(in crate::audit::store) async fn tree_size(&self) -> Result<u64, Boxed> {
        self.number("SELECT size AS number FROM tree").await
    }

    /// The position behind the last leaf.
    pub(in crate::audit::store) async fn leaves_end(&self) -> Result<u64, Boxed> {
        self.number("SELECT coalesce(max(position), -1) + 1 AS number FROM leaves").await
    }

    /// How many finished records are not in the tree.
    pub(in crate::audit::store) async fn outside_of_tree(&self) -> Result<u64, Boxed> {
        self.number("SELECT count(*) AS number FROM unsequenced").await
    }

    async fn number(&self, query: &str) -> Result<u64, Boxed> {
        let row = self.evidence.ask().await?.row(query).await?;
        let number: Option<i64> = row.as_ref().map(|row| cell(row, "number")).transpose()?;
        Ok(u64::try_from(number.unwrap_or(0))?)
    }

    /// The leaves of a range, with their records.
    pub(in crate::audit::store) async fn leaves(
        &self,
        range: Range<u64>,
    ) -> Result<Vec<LeafRow>, Boxed> {
        let mut asking = self.evidence.ask().await?;
        let within = format!("position >= {} AND position < {}", range.start, range.end);
        let query = format!(
            "SELECT position, kind::bigint AS kind, ref, hash, salt, entry FROM leaves \
             WHERE {within} ORDER BY position"
        );
        let rows = asking.rows(&query).await?;
        let mut leaves = rows.iter().map(leaf).collect::<Result<Vec<_>, _>>()?;
        let kinds: Vec<i64> = leaves.iter().map(|leaf| leaf.record.0).collect();
        let mut found = records(&mut asking, &kinds, "leaves", &format!("l.{within}")).await?;
        for leaf in &mut leaves {
            if let Some(record) = found.remove(&leaf.record) {
                leaf.found = record;
            }
        }
        Ok(leaves)
    }

    /// Records that are finished and in no tree yet, at most `limit` of them.
    pub(in crate::audit::store) async fn unsealed(
        &self,
        _size: u64,
        limit: u64,
    ) -> Result<Vec<Unsealed>, Boxed> {
        let mut asking = self.evidence.ask().await?;
        let query = format!(
            "SELECT number, kind::bigint AS kind, ref FROM unsequenced \
             ORDER BY number LIMIT {limit}"
        );
        let rows = asking.rows(&query).await?;
        let mut unsealed = Vec::with_capacity(rows.len());
        let mut last: i64 = 0;
        for row in &rows {
            last = cell(row, "number")?;
            let record = (cell(row, "kind")?, cell(row, "ref")?);
            unsealed.push(Unsealed { record, found: FoundRecord::Missing });
        }
        let kinds: Vec<i64> = unsealed.iter().map(|one| one.record.0).collect();
        let which = format!("l.number <= {last}");
        let mut found = records(&mut asking, &kinds, "unsequenced", &which).await?;
        for one in &mut unsealed {
            if let Some(record) = found.remove(&one.record) {
                one.found = record;
            }
        }
        Ok(unsealed)
    }

    /// Hashes of a level of tiles, from the first one on without gaps.
    pub(in crate::audit::store) async fn hashes(
        &self,
        level: u8,
        range: Range<u64>,
    ) -> Result<Vec<Hash>, Boxed> {
        let Range { start, end } = range;
        let query = match level {
            0 => format!(
                "SELECT hash FROM leaves WHERE position >= {start} AND position < {end} \
                 ORDER BY position"
            ),
            level => format!(
                "SELECT hash FROM subtrees WHERE level = {level} AND number >= {start} \
                 AND number < {end} ORDER BY number"
            ),
        };
        let rows = self.evidence.ask().await?.rows(&query).await?;
        rows.iter().map(|row| Ok((&*cell::<Bytes<'_>>(row, "hash")?).try_into()?)).collect()
    }

    /// The newest checkpoint.
    pub(in crate::audit::store) async fn checkpoint(&self) -> Result<Option<String>, Boxed> {
        let row = self.evidence.ask().await?.row("SELECT note FROM checkpoint").await?;
        row.as_ref().map(|row| cell(row, "note")).transpose()
    }

    /// The keys by which trees are signed, the oldest first.
    pub(in crate::audit::store) async fn log_keys(&self) -> Result<Vec<String>, Boxed> {
        let query = "SELECT vkey FROM log_keys ORDER BY number LIMIT 1000";
        let rows = self.evidence.ask().await?.rows(query).await?;
        rows.iter().map(|row| cell(row, "vkey")).collect()
    }

    /// The first key that the log was written under.
    pub(in crate::audit::store) async fn first_key(&self) -> Result<Option<KeyId>, Boxed> {
        let query = "SELECT id FROM keys ORDER BY number LIMIT 1";
        let row = self.evidence.ask().await?.row(query).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(KeyId::from_bytes((&*cell::<Bytes<'_>>(&row, "id")?).try_into()?)))
    }

    /// The position of a change, once it is a leaf.
    pub(in crate::audit::store) async fn position_of(
        &self,
        id: ChangeId,
    ) -> Result<Option<u64>, Boxed> {
        let query = format!(
            "SELECT l.position FROM changes c JOIN leaves l ON l.kind = 1 AND l.ref = c.seq \
             WHERE c.id = {}",
            bytes(id.as_bytes())
        );
        let row = self.evidence.ask().await?.row(&query).await?;
        let position: Option<i64> = row.as_ref().map(|row| cell(row, "position")).transpose()?;
        Ok(position.map(u64::try_from).transpose()?)
    }

    /// The lowest position of a change that came at or after `time`, or the end of the leaves.
    pub(in crate::audit::store) async fn position_since(
        &self,
        time: Timestamp,
    ) -> Result<u64, Boxed> {
        let query = format!(
            "SELECT coalesce((SELECT min(l.position) FROM (SELECT seq FROM changes \
                 WHERE received_at >= {} ORDER BY received_at LIMIT 1000) c \
                 JOIN leaves l ON l.kind = 1 AND l.ref = c.seq), \
             (SELECT coalesce(max(position), -1) + 1 FROM leaves)) AS number",
            time.millis()
        );
        self.number(&query).await
    }

    /// Has leaves come into the tree; tells whether they did, since another gateway may have been
    /// faster.
    pub(in crate::audit) async fn seal(&self, sealed: &Sealed) -> Result<bool, Boxed> {
        let (mut leaves, mut subtrees) = (String::new(), String::new());
        for leaf in &sealed.leaves {
            let comma = if leaves.is_empty() { "" } else { "," };
            write!(leaves, "{comma}[{},{}]", leaf.record.0, leaf.record.1)?;
        }
        for full in &sealed.completed {
            let comma = if subtrees.is_empty() { "" } else { "," };
            let hash = crate::base::ids::Hex(&full.hash);
            write!(subtrees, "{comma}[{},{},\"\\\\x{hash}\"]", full.level, full.index)?;
        }
        let call = format!(
            "SELECT changegate.seal_v1({}, '[{leaves}]'::jsonb, {}, '[{subtrees}]'::jsonb) AS done",
            sealed.first,
            bytes(&sealed.bytes())
        );
        let row = self.evidence.ask().await?.row(&call).await?;
        Ok(row.as_ref().map(|row| maybe(row, "done")).transpose()?.flatten().unwrap_or(false))
    }

    /// Keeps the checkpoint of the newest tree.
    pub(in crate::audit) async fn sign(&self, signed: &SignedTree) -> Result<(), Boxed> {
        let SignedTree { size, at, note } = signed;
        let (at, note) = (at.millis(), text(Some(note)));
        let call = format!("SELECT changegate.sign_v1({size}, {at}, {note})");
        self.evidence.ask().await?.row(&call).await?;
        Ok(())
    }

    /// Records keys by which trees are signed, where they are not known.
    pub(in crate::audit) async fn add_log_keys(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<(), Boxed> {
        let mut asking = self.evidence.ask().await?;
        for key in keys {
            let key = text(Some(key));
            let call = format!("SELECT changegate.add_log_key_v1({key}, {})", now.millis());
            asking.row(&call).await?;
        }
        Ok(())
    }
}

/// Records among those of a source, by their kinds and rows.
pub(super) async fn records(
    asking: &mut Asking,
    kinds: &[i64],
    source: &str,
    which: &str,
) -> Result<BTreeMap<(i64, i64), FoundRecord>, Boxed> {
    let mut found = BTreeMap::new();
    for kind in LeafKind::ALL.into_iter().filter(|kind| kinds.contains(&kind.number())) {
        let query =
            format!("{} WHERE l.kind = {} AND {which}", select(kind, source, true), kind.number());
        for row in &asking.rows(&query).await? {
            let record = match facts(kind, row) {
                Ok(facts) => FoundRecord::Whole(Box::new(facts)),
                Err(error) => FoundRecord::Unreadable(error),
            };
            found.insert((kind.number(), cell(row, "ref")?), record);
        }
    }
    Ok(found)
}
