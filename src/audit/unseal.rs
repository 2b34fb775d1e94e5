//! Originals, taken out of their seals: each time is on record before anything is shown; and the
//! key that they are sealed under, changed for another.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::entry::Entry;
use super::erase::completed_by;
use super::keys::{KeyError, RotateError, unreadable};
use super::originals::{SealingKey, UnsealError};
use super::query::QueryError;
use super::record::{Event, EventKind};
use super::store::{Boxed, Preparation, Store};
use super::store::{OriginalRow, Rewrapped};
use super::{Audit, Unavailable, take};
use crate::base::clock::{Clock, Timestamp};
use crate::base::database::Database;
use crate::base::ids::ChangeId;
use crate::base::key::{Key, KeyId, Staged};
use crate::policy::approvals::REASON_BYTES_MAX;

/// How many data keys are wrapped anew in one transaction.
const PART: u16 = 500;

/// Somebody who asks for originals, and why.
#[derive(Clone, Debug)]
pub struct Unsealing {
    /// The name of the admin token; `None` where nobody has to log in.
    pub by: Option<String>,
    /// Its holder.
    pub person: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Why originals are not shown.
#[derive(Debug, thiserror::Error)]
pub enum NotUnsealed {
    /// No sealing key is configured.
    #[error("no originals are kept: set seal.key_file")]
    NotSealing,
    /// They can't be opened.
    #[error(transparent)]
    Sealed(#[from] UnsealError),
    /// The log can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The log can't be written, so that they are not shown.
    #[error(transparent)]
    Unrecorded(#[from] Unavailable),
}

/// A sealing key that was changed for another.
#[derive(Clone, Debug)]
pub struct SealRotation {
    /// The key in force.
    pub key: KeyId,
    /// The one before.
    pub former: KeyId,
    /// How many data keys were wrapped anew.
    pub rewrapped: u64,
    /// How many were left: they are under other keys, or not what they were.
    pub left: u64,
    /// How many erasures are complete now.
    pub completed: usize,
}

impl Audit {
    /// The originals of a change, by the names of their bodies; `None` where none are kept. That
    /// they were asked for is durable before.
    pub async fn unseal(
        &self,
        (id, seq): (ChangeId, i64),
        asked: Unsealing,
    ) -> Result<Option<Map<String, Value>>, NotUnsealed> {
        let Some(key) = &self.shared.sealing else { return Err(NotUnsealed::NotSealing) };
        let rows = self.shared.reader.reads().originals(seq).await.map_err(QueryError::Store)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut originals = Map::new();
        for row in rows {
            originals.extend(key.open(&row.sealed, row.change, row.half)?);
        }
        let event = Event {
            at: asked.at,
            kind: EventKind::Unsealing,
            actor: None,
            client_ip: None,
            request_id: None,
            detail: json!({
                "change": id,
                "by": asked.by,
                "person": asked.person,
                "reason": self.gateway_words(&asked.reason, REASON_BYTES_MAX),
            }),
        };
        self.submit(Entry::Happening(Box::new(event))).await?;
        Ok(Some(originals))
    }
}

/// Changes the sealing key of a log that no gateway runs on: every data key is wrapped anew, and
/// the former key is destroyed. Broken off at any point, the next call completes it.
pub async fn rotate_seal(
    database: &Database,
    key_file: &Path,
    clock: &Clock,
) -> Result<SealRotation, RotateError> {
    if database.is_missing() {
        return Err(KeyError::NoLog { database: database.clone() }.into());
    }
    let now = clock.now();
    let hold = take(database, now)?;
    let former = Key::load(key_file)?;
    let staged = match Staged::found(key_file)? {
        Some(begun) => begun,
        None => Staged::make(key_file, Some(key_file))?,
    };
    let unfit = || unreadable(database, "a sealing key can't be made of its file".into());
    let keys = SealingKey::of(&former).zip(SealingKey::of(staged.key()));
    let (former, newer) = keys.ok_or_else(unfit)?;
    let opened = Store::open_alone(hold, Preparation { key: None, at: now }).await;
    let mut store = opened.map_err(|error| unreadable(database, error))?;
    let begun = store.begin_seal_rotation().await;
    begun.map_err(|fault| unreadable(database, fault.into()))?;
    let rewrapped = rewrap(&mut store, &former, &newer).await;
    let (rewrapped, left) = rewrapped.map_err(|error| unreadable(database, error))?;
    let completed = completed_by(&store.reads(), &former.id().to_string()).await;
    let completed = completed.map_err(|error| unreadable(database, error))?;
    let detail = json!({
        "from": former.id().to_string(),
        "to": newer.id().to_string(),
        "originals": rewrapped,
        "left": left,
    });
    let (kind, at) = (EventKind::SealRotation, now);
    let told = Event { at, kind, actor: None, client_ip: None, request_id: None, detail };
    let told = store.write_each(&[&Entry::Happening(Box::new(told))]).await;
    told.map_err(|fault| unreadable(database, fault.into()))?;
    let closed = store.close().await;
    let _hold = closed.map_err(|fault| unreadable(database, fault.into()))?;
    let (key, former) = (newer.id(), former.id());
    staged.replace()?;
    Ok(SealRotation { key, former, rewrapped, left, completed })
}

/// Wraps all data keys that are under the former key anew; tells how many, and how many others
/// there are.
async fn rewrap(
    store: &mut Store,
    former: &SealingKey,
    newer: &SealingKey,
) -> Result<(u64, u64), Boxed> {
    let (mut after, mut count, mut left) = (0, 0, 0);
    loop {
        let rows = store.reads().originals_behind(after, PART).await?;
        let Some(last) = rows.last() else { return Ok((count, left)) };
        // Both halves of the last change may not be there.
        let whole = rows.first().is_none_or(|first| first.seq == last.seq);
        let until = if rows.len() < usize::from(PART) || whole { last.seq } else { last.seq - 1 };
        after = until;
        let old = rows.iter().filter(|row| row.seq <= until && row.sealed.key != newer.id());
        let done: Vec<Option<Rewrapped>> =
            old.map(|row| wrapped(row, former, newer).ok()).collect();
        let all = done.len();
        let old: Vec<Rewrapped> = done.into_iter().flatten().collect();
        (count, left) = (count + u64::try_from(old.len())?, left + u64::try_from(all - old.len())?);
        if !old.is_empty() {
            store.rewrap(&old).await?;
        }
    }
}

fn wrapped(
    row: &OriginalRow,
    former: &SealingKey,
    newer: &SealingKey,
) -> Result<Rewrapped, UnsealError> {
    let wrapped = former.rewrapped(&row.sealed, (row.change, row.half), newer)?;
    Ok(Rewrapped { seq: row.seq, half: row.half, key: newer.id(), wrapped })
}
