//! Deployments found by their names. A name stands in the newest document of its deployment and
//! nowhere else, so that what is concealed, pruned or erased of that is gone from here too: names
//! that were read are kept in memory, each for as long as its document is the newest one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::documents::{AHEAD, Ask, Documents};
use super::folded::Folded;
use super::rows::{Bytes, cell, maybe};
use super::texts::name_in;
use crate::audit::store::Boxed;

/// The most deployments that are asked for at once.
const PART_MAX: i64 = 1_000;

/// The most names that are kept, and the most bytes of one.
const KEPT_MAX: usize = 16_384;
const KEPT_BYTES_MAX: usize = 512;

/// How far a search for deployments goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// The most that are found: of more, those that were changed last.
    pub(super) found_max: usize,
    /// The most that are looked at: of more, those that the log has known for the shortest time.
    pub(super) looked_max: i64,
}

/// That of the text of `q`, which is looked for in much else.
pub(super) const BESIDE: Extent = Extent { found_max: 64, looked_max: 5_000 };

/// That of a filter, which looks at all of them.
pub(super) fn whole(found_max: usize) -> Extent {
    Extent { found_max, looked_max: i64::MAX }
}

/// A deployment whose name holds a text.
#[derive(Debug)]
pub(super) struct NamedDeployment {
    pub(super) number: i64,
    pub(super) id: String,
    /// The place of its newest change.
    last: i64,
}

/// Names that were read, by the numbers of their deployments. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownNames(Arc<Mutex<HashMap<i64, KnownName>>>);

/// A name, and the digest of the document that it stands in.
#[derive(Clone, Debug)]
struct KnownName {
    digest: Vec<u8>,
    name: Option<Arc<str>>,
}

impl KnownNames {
    fn find(&self, number: i64, digest: &[u8]) -> Option<KnownName> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&number).filter(|known| known.digest == digest).cloned()
    }

    fn keep(&self, number: i64, read: KnownName) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_short = read.name.as_ref().is_none_or(|name| name.len() <= KEPT_BYTES_MAX);
        if is_short && (known.len() < KEPT_MAX || known.contains_key(&number)) {
            known.insert(number, read);
        } else {
            known.remove(&number);
        }
    }

    fn forget(&self, number: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

impl<A: Ask> Documents<A> {
    /// The deployments whose newest name holds `text`, those that were changed last first.
    pub(super) async fn named(
        &mut self,
        known: &KnownNames,
        text: &Folded,
        extent: Extent,
    ) -> Result<Vec<NamedDeployment>, Boxed> {
        let (mut found, mut before, mut left) = (Vec::new(), i64::MAX, extent.looked_max);
        loop {
            let part = left.min(PART_MAX);
            let rows = self.asking().found(&newest_documents(before, part)).await?;
            for rows in rows.chunks(AHEAD) {
                self.add_named(&mut found, known, text, rows).await?;
            }
            found.sort_unstable_by_key(|one: &NamedDeployment| std::cmp::Reverse(one.last));
            found.truncate(extent.found_max);
            left -= part;
            let is_last = i64::try_from(rows.len())? < part || left == 0;
            match rows.last() {
                Some(last) if !is_last => before = cell(last, "number")?,
                _end => return Ok(found),
            }
        }
    }

    /// Adds those of these deployments whose name holds `text`.
    async fn add_named(
        &mut self,
        found: &mut Vec<NamedDeployment>,
        known: &KnownNames,
        text: &Folded,
        rows: &[A::Row],
    ) -> Result<(), Boxed> {
        let mut names = Vec::with_capacity(rows.len());
        let mut unread = Vec::new();
        for row in rows {
            let number = cell(row, "number")?;
            // What no document tells of has no name any more.
            let Some(digest) = maybe::<Bytes<'_>>(row, "digest")? else {
                known.forget(number);
                continue;
            };
            let name = known.find(number, &digest);
            if name.is_none() {
                unread.push(cell(row, "snapshot")?);
            }
            names.push((row, name));
        }
        self.read_texts_ahead(&unread).await?;
        for (row, name) in names {
            let name = match name {
                Some(name) => name,
                None => self.read_name(row, known).await?,
            };
            if name.name.is_some_and(|name| text.is_in(&name)) {
                let id = cell::<&str>(row, "deployment_id")?.to_owned();
                let (number, last) = (cell(row, "number")?, cell(row, "last")?);
                found.push(NamedDeployment { number, id, last });
            }
        }
        Ok(())
    }

    /// The name in the newest document of a deployment, which is kept.
    async fn read_name(&mut self, row: &A::Row, known: &KnownNames) -> Result<KnownName, Boxed> {
        let text = self.text(maybe(row, "snapshot")?).await;
        let name = name_in(text, cell(row, "deployment_id")?)?.map(Arc::from);
        let digest: Bytes<'_> = cell(row, "digest")?;
        let read = KnownName { digest: digest.into_owned(), name };
        known.keep(cell(row, "number")?, read.clone());
        Ok(read)
    }
}

/// The newest document of each deployment before a number, where there is one, and the place of its
/// newest change: a few looks into indexes for each.
pub(super) fn newest_documents(before: i64, limit: i64) -> String {
    format!(
        "WITH newest AS MATERIALIZED (SELECT d.number, d.id AS deployment_id, \
         (SELECT max(m.seq) FROM changes m WHERE m.deployment = d.number) AS last, \
         (SELECT coalesce(e.after, c.before) FROM changes c LEFT JOIN ends e ON e.seq = c.seq \
             WHERE c.deployment = d.number AND (e.after IS NOT NULL OR c.before IS NOT NULL) \
             ORDER BY c.seq DESC LIMIT 1) AS snapshot \
         FROM deployments d WHERE d.number < {before} ORDER BY d.number DESC LIMIT {limit}) \
         SELECT number, deployment_id, last, snapshot, \
         (SELECT s.digest FROM snapshots s WHERE s.number = snapshot) AS digest \
         FROM newest ORDER BY number DESC"
    )
}
