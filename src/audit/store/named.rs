//! Deployments found by their names. A name stands in the newest document of its deployment and
//! nowhere else, so that what is concealed, pruned or erased of that is gone from here too. Names
//! that were read are kept in memory: all of them while nothing is written, and each for as long as
//! its document is the newest one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The most records without a place in the order of the log by which its state is told.
pub(super) const WAITING_MAX: i64 = 1_000;

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

/// A deployment with its newest name.
#[derive(Clone, Debug)]
pub(super) struct NamedDeployment {
    pub(super) number: i64,
    pub(super) id: Arc<str>,
    /// The place of its newest change.
    last: i64,
    /// How many were looked at before it.
    rank: i64,
    name: Arc<str>,
}

/// Names that were read. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct KnownNames {
    known: Arc<Mutex<Known>>,
    /// The question for the state of the log.
    state: &'static str,
}

#[derive(Debug, Default)]
struct Known {
    /// By the numbers of their deployments.
    each: HashMap<i64, KnownName>,
    all: Option<Arc<Listing>>,
}

/// A name, and the digest of the document that it stands in.
#[derive(Clone, Debug)]
struct KnownName {
    digest: Vec<u8>,
    name: Option<Arc<str>>,
}

/// How far the log is written: its newest change, the last of the records that are in its order,
/// the newest and the number of those that are not. No name changes while it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State([i64; 4]);

/// The names that a search has looked at, of the log in a state.
#[derive(Debug)]
struct Listing {
    state: Option<State>,
    deployments: Vec<NamedDeployment>,
    /// How many were looked at.
    looked: i64,
    is_whole: bool,
}

impl KnownNames {
    /// None yet; `state` asks for the state of the log: the columns `newest`, `ended`, `waiting`
    /// and `count`.
    pub(super) fn by(state: &'static str) -> Self {
        Self { known: Arc::default(), state }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, number: i64, digest: &[u8]) -> Option<KnownName> {
        self.lock().each.get(&number).filter(|known| known.digest == digest).cloned()
    }

    fn keep(&self, number: i64, read: KnownName) {
        let each = &mut self.lock().each;
        let is_short = read.name.as_ref().is_none_or(|name| name.len() <= KEPT_BYTES_MAX);
        if is_short && (each.len() < KEPT_MAX || each.contains_key(&number)) {
            each.insert(number, read);
        } else {
            each.remove(&number);
        }
    }

    fn forget(&self, number: i64) {
        self.lock().each.remove(&number);
    }

    /// The names of the log in this state, as far as a search goes.
    fn listing(&self, state: State, extent: Extent) -> Option<Arc<Listing>> {
        let listing = self.lock().all.clone()?;
        let is_enough = listing.is_whole || listing.looked >= extent.looked_max;
        (listing.state == Some(state) && is_enough).then_some(listing)
    }
}

impl Listing {
    fn add(&mut self, one: NamedDeployment) {
        if one.name.len() > KEPT_BYTES_MAX || self.deployments.len() == KEPT_MAX {
            // One that is not whole is of no use, and has no state.
            (self.state, self.deployments) = (None, Vec::new());
        }
        if self.state.is_some() {
            self.deployments.push(one);
        }
    }

    fn named(&self, text: &Folded, extent: Extent) -> Vec<NamedDeployment> {
        let looked = self.deployments.iter().filter(|one| one.rank < extent.looked_max);
        let mut found = looked.filter(|one| text.is_in(&one.name)).cloned().collect();
        keep_newest(&mut found, extent.found_max);
        found
    }
}

/// Keeps those that were changed last, these first.
fn keep_newest(found: &mut Vec<NamedDeployment>, most: usize) {
    found.sort_unstable_by_key(|one| std::cmp::Reverse(one.last));
    found.truncate(most);
}

impl<A: Ask> Documents<A> {
    /// The deployments whose newest name holds `text`, those that were changed last first.
    pub(super) async fn named(
        &mut self,
        names: &KnownNames,
        text: &Folded,
        extent: Extent,
    ) -> Result<Vec<NamedDeployment>, Boxed> {
        // Before anything else: what is written meanwhile makes it another one.
        let state = self.state(names).await?;
        if let Some(listing) = state.and_then(|state| names.listing(state, extent)) {
            return Ok(listing.named(text, extent));
        }
        let (mut found, mut before) = (Vec::new(), i64::MAX);
        let mut listing = Listing { state, deployments: Vec::new(), looked: 0, is_whole: false };
        loop {
            let part = (extent.looked_max - listing.looked).min(PART_MAX);
            let rows = self.asking().found(&newest_documents(before, part)).await?;
            for rows in rows.chunks(AHEAD) {
                for one in self.names_of(names, rows, listing.looked).await? {
                    if text.is_in(&one.name) {
                        found.push(one.clone());
                    }
                    listing.add(one);
                }
                listing.looked += i64::try_from(rows.len())?;
            }
            keep_newest(&mut found, extent.found_max);
            listing.is_whole = i64::try_from(rows.len())? < part;
            match rows.last() {
                Some(last) if !listing.is_whole && listing.looked < extent.looked_max => {
                    before = cell(last, "number")?;
                }
                _end => break,
            }
        }
        if listing.state.is_some() {
            names.lock().all = Some(Arc::new(listing));
        }
        Ok(found)
    }

    /// The state of the log; `None` where much is about to come into its order.
    async fn state(&mut self, names: &KnownNames) -> Result<Option<State>, Boxed> {
        let rows = self.asking().found(names.state).await?;
        let row = rows.first().ok_or("an aggregate has no row")?;
        let count = cell(row, "count")?;
        let state = [cell(row, "newest")?, cell(row, "ended")?, cell(row, "waiting")?, count];
        Ok((count < WAITING_MAX).then_some(State(state)))
    }

    /// Those of these deployments that have a name, `rank` others before them.
    async fn names_of(
        &mut self,
        names: &KnownNames,
        rows: &[A::Row],
        rank: i64,
    ) -> Result<Vec<NamedDeployment>, Boxed> {
        let mut known = Vec::with_capacity(rows.len());
        let mut unread = Vec::new();
        for (row, rank) in rows.iter().zip(rank..) {
            let number = cell(row, "number")?;
            // What no document tells of has no name any more.
            let Some(digest) = maybe::<Bytes<'_>>(row, "digest")? else {
                names.forget(number);
                continue;
            };
            let name = names.find(number, &digest);
            if name.is_none() {
                unread.push(cell(row, "snapshot")?);
            }
            known.push((row, rank, name));
        }
        self.read_texts_ahead(&unread).await?;
        let mut named = Vec::with_capacity(known.len());
        for (row, rank, name) in known {
            let name = match name {
                Some(known) => known.name,
                None => self.read_name(row, names).await?,
            };
            if let Some(name) = name {
                let id = cell::<&str>(row, "deployment_id")?.into();
                let (number, last) = (cell(row, "number")?, cell(row, "last")?);
                named.push(NamedDeployment { number, id, last, rank, name });
            }
        }
        Ok(named)
    }

    /// The name in the newest document of a deployment, which is kept.
    async fn read_name(
        &mut self,
        row: &A::Row,
        names: &KnownNames,
    ) -> Result<Option<Arc<str>>, Boxed> {
        let text = self.text(maybe(row, "snapshot")?).await;
        let name: Option<Arc<str>> = name_in(text, cell(row, "deployment_id")?)?.map(Arc::from);
        let digest = cell::<Bytes<'_>>(row, "digest")?.into_owned();
        names.keep(cell(row, "number")?, KnownName { digest, name: name.clone() });
        Ok(name)
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
