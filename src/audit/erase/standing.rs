//! Erasures that the log tells of, and since when each is complete: once the key is gone under
//! which the keys of its originals were wrapped, no backup opens them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::EraseError;
use crate::audit::erased::sealed_under;
use crate::audit::store::{Boxed, Reads};
use crate::base::clock::Timestamp;
use crate::base::database::Database;

/// The most erasures that are told: the newest.
const TOLD_MAX: usize = 1_000;

/// An erasure, all its steps together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// When its first step was done.
    pub at: Timestamp,
    /// The change, where it was of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The deployment, where it was of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Why.
    pub reason: String,
    /// The login of who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How many changes lost their bodies.
    pub changes: u64,
    /// How many others lost a document that they shared with those.
    pub beside: u64,
    /// How many sealed originals went.
    pub originals: u64,
    /// The keys that these were under and that are not destroyed yet.
    pub waits_for: Vec<String>,
    /// Since when it is complete; `None` while it waits for a key to be destroyed.
    pub complete_at: Option<Timestamp>,
}

/// The erasures that the log tells of, the oldest first.
pub async fn erasures(database: &Database) -> Result<Vec<Erasure>, EraseError> {
    let failed = |source| EraseError::Store { database: database.to_string(), source };
    let reads = Reads::open(database).await.map_err(failed)?;
    all(&reads).await.map_err(failed)
}

/// How many erasures that wait for keys wait for that one alone.
pub(in crate::audit) async fn completed_by(reads: &Reads, key: &str) -> Result<usize, Boxed> {
    let waiting = all(reads).await?;
    Ok(waiting.iter().filter(|erasure| erasure.waits_for == [key]).count())
}

/// How many erasures wait for a key to be destroyed.
pub(in crate::audit) async fn waiting(reads: &Reads) -> Result<usize, Boxed> {
    Ok(all(reads).await?.iter().filter(|erasure| erasure.complete_at.is_none()).count())
}

async fn all(reads: &Reads) -> Result<Vec<Erasure>, Boxed> {
    let destroyed = destroyed(reads).await?;
    let (mut told, mut after): (Vec<Erasure>, i64) = (Vec::new(), 0);
    loop {
        let words = reads.erase_words(after).await?;
        let Some(last) = words.last() else { return Ok(told) };
        after = last.seq;
        for word in words {
            let detail: Value = serde_json::from_str(&word.detail)?;
            let step = Erasure::of(word.seq, word.at, &detail, &destroyed);
            match told.last_mut().filter(|former| former.is_same(&step)) {
                Some(former) => former.add(step),
                None => told.push(step),
            }
        }
        let beyond = told.len().saturating_sub(TOLD_MAX);
        told.drain(..beyond);
    }
}

/// The keys that were destroyed, each with the place of the event that says so, and when.
async fn destroyed(reads: &Reads) -> Result<BTreeMap<String, (i64, Timestamp)>, Boxed> {
    let (mut keys, mut after) = (BTreeMap::new(), 0);
    loop {
        let words = reads.seal_words(after).await?;
        let Some(last) = words.last() else { return Ok(keys) };
        after = last.seq;
        for word in words {
            let detail: Value = serde_json::from_str(&word.detail)?;
            if let Some(key) = detail.get("from").and_then(Value::as_str) {
                keys.insert(key.to_owned(), (word.seq, word.at));
            }
        }
    }
}

impl Erasure {
    fn of(
        seq: i64,
        at: Timestamp,
        detail: &Value,
        destroyed: &BTreeMap<String, (i64, Timestamp)>,
    ) -> Self {
        let text = |member: &str| detail.get(member).and_then(Value::as_str).map(str::to_owned);
        let listed = |member: &str| {
            let list = detail.get(member).and_then(Value::as_array);
            list.map_or(0, |list| u64::try_from(list.len()).unwrap_or(u64::MAX))
        };
        let (mut waits_for, mut complete_at) = (Vec::new(), Some(at));
        for key in sealed_under(detail) {
            // A rotation that was before it does not count.
            match destroyed.get(&key).filter(|(after, _at)| *after > seq) {
                Some((_seq, since)) => complete_at = complete_at.max(Some(*since)),
                None => waits_for.push(key),
            }
        }
        Self {
            at,
            change: text("change"),
            deployment_id: text("deployment_id"),
            reason: text("reason").unwrap_or_default(),
            by: text("by"),
            changes: listed("changes"),
            beside: listed("beside"),
            originals: detail.get("originals").and_then(Value::as_u64).unwrap_or(0),
            complete_at: complete_at.filter(|_| waits_for.is_empty()),
            waits_for,
        }
    }

    /// Whether another step is one of the same erasure.
    fn is_same(&self, step: &Self) -> bool {
        (&self.change, &self.deployment_id, &self.reason, &self.by)
            == (&step.change, &step.deployment_id, &step.reason, &step.by)
    }

    fn add(&mut self, step: Self) {
        self.changes += step.changes;
        self.beside += step.beside;
        self.originals += step.originals;
        for key in step.waits_for {
            if !self.waits_for.contains(&key) {
                self.waits_for.push(key);
            }
        }
        let latest = self.complete_at.zip(step.complete_at).map(|(one, other)| one.max(other));
        self.complete_at = latest.filter(|_| self.waits_for.is_empty());
    }
}
